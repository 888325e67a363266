// SPDX-License-Identifier: Apache-2.0
// Clients of the API, who are root, and by fault or will do all that keeps others out.
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

// Connections to the socket of the API, each made anew when it has ended.
class ApiClients {
public:
    ApiClients(const Attacked& attacked, std::size_t count)
        : address_(take(service::address_of(attacked.socket()))), sockets_(count) {}

    void each(std::string_view says) {
        for (sys::Fd& socket : sockets_) {
            if (!socket) connect(socket);
            if (!hear(socket.value(), 65'536) || (!says.empty() && !say(socket.value(), says))) socket.reset();
        }
    }

private:
    void connect(sys::Fd& socket) const {
        socket = sys::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        must(::connect(socket.value(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0, "connect");
    }

    sockaddr_un address_;
    std::vector<sys::Fd> sockets_;
};

} // namespace

TEST_CASE("clients of the API that ask nothing do not lock others out") {
    Attacked attacked;
    ApiClients clients(attacked, GENERATE(32, 1000));
    const Attacker attacker(
        [&] {
            clients.each("");
            std::this_thread::sleep_for(10ms);
        },
        Attacker::Rights::root);
    attacked.holds_out(attacker);
}

TEST_CASE("clients of the API whose line comes byte by byte do not lock others out") {
    Attacked attacked;
    ApiClients clients(attacked, 100);
    const Attacker attacker(
        [&] {
            clients.each("x");
            std::this_thread::sleep_for(10ms);
        },
        Attacker::Rights::root);
    attacked.holds_out(attacker);
}

TEST_CASE("clients of the API that record and do not read do not lock others out") {
    Attacked attacked;
    std::vector<sys::Fd> recorders;
    const Attacker attacker(
        [&] {
            while (recorders.size() < 40)
                recorders.push_back(take(service::begin_to_ask(attacked.socket(), R"({"command": "record"})")));
            std::this_thread::sleep_for(1s);
        },
        Attacker::Rights::root);
    attacked.holds_out(attacker);
}
