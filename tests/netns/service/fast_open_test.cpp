// SPDX-License-Identifier: Apache-2.0
// What the service does where clients ask for Fast Open.
#include <atomic>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "netns/probes/traffic.hpp"
#include "netns/service/fixtures.hpp"
#include "sys/fd.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr const char* file = "sys/net/ipv4/tcp_fastopen";
constexpr const char* tunable = "net.ipv4.tcp_fastopen";
constexpr const char* named = "    net.ipv4.tcp_fastopen: {}\n";

// A server of this namespace, and clients that each send a request with their SYN where they may.
class Traffic {
public:
    Traffic(const Namespace& netns, int queue) {
        netns.inside([&] {
            server_ = sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            must(queue == 0 || ::setsockopt(server_.value(), IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) == 0,
                 "TCP_FASTOPEN");
            address_.sin_family = AF_INET;
            address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            socklen_t length = sizeof address_;
            must(::bind(server_.value(), reinterpret_cast<const sockaddr*>(&address_), length) == 0, "bind");
            must(::listen(server_.value(), 128) == 0, "listen");
            must(::getsockname(server_.value(), reinterpret_cast<sockaddr*>(&address_), &length) == 0, "getsockname");
            return 0;
        });
        thread_ = std::thread([this, &netns] {
            netns.inside([&] {
                while (!stop_) connect_once();
                return 0;
            });
        });
    }
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic() {
        stop_ = true;
        thread_.join();
    }

private:
    void connect_once() const {
        const sys::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        [[maybe_unused]] const auto sent = ::sendto(client.value(), "GET", 3, MSG_FASTOPEN | MSG_NOSIGNAL,
                                                    reinterpret_cast<const sockaddr*>(&address_), sizeof address_);
        ::poll(nullptr, 0, 20);
        const sys::Fd accepted(::accept4(server_.value(), nullptr, nullptr, SOCK_CLOEXEC));
    }

    sys::Fd server_;
    sockaddr_in address_{};
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

Json change_in(const Json& history, const std::string& state) {
    return row_where(history, {{"tunable", tunable}, {"state", state}});
}

} // namespace

TEST_CASE("a listener that asks for Fast Open, as its clients do, gets it, and restore takes it back") {
    const Home home;
    home.set_policy(policy_text("fast-open", "mode: auto", named));
    const Namespace netns;
    netns.write(file, "1");
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const Running service(home);
    const Json sources = home.top()["sources"];
    if (sources["time_wait"] == "procfs" || sources["listen"] == "netlink") return; // neither sees who asks
    const Traffic traffic(netns, 16);
    const bool set = comes_true([&] { return std::stoi(netns.read(file)) == 3; });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(set);
    CHECK(comes_true([&] { return netstat(netns, "TCPFastOpenPassive") > 0; }));
    CHECK(comes_true([&] { return change_in(home.history(), "applied")["to"] == "3"; }));

    REQUIRE(home.restore().size() == 1);
    CHECK(std::stoi(netns.read(file)) == 1);
}

TEST_CASE("clients that ask for Fast Open where no listener does change nothing, and are counted", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("fast-open", "mode: auto", named));
    const Namespace netns;
    netns.write(file, "1");
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const Running service(home);
    const auto asked = [&] { return netstat(netns, "TCPFastOpenCookieReqd"); };
    const auto row = [&] { return row_where(home.top()["syn_queue"], {{"netns", netns.inode()}}); };
    REQUIRE(comes_true([&] { return row().is_object(); }));
    const std::uint64_t before = asked();
    {
        const Traffic traffic(netns, 0);
        REQUIRE(comes_true([&] { return asked() > before + 100; }));
    }
    CHECK(comes_true([&] { return row()["fastopen_requests"] == asked() - before; }));
    CHECK(row()["fastopen_opened"] == 0);
    CHECK(std::stoi(netns.read(file)) == 1);
    CHECK(change_in(home.history(), "applied").is_null());
}
