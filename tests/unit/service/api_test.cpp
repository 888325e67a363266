// SPDX-License-Identifier: Apache-2.0
// The local API over a real socket, with a handler that answers what it was asked.
#include <array>
#include <filesystem>
#include <list>
#include <string>
#include <thread>

#include <catch2/catch.hpp>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "service/api.hpp"

using namespace bpftune;
using namespace bpftune::service;

namespace {

class Server {
public:
    Server() {
        REQUIRE(sd_event_new(&loop_) >= 0);
        auto started = ApiServer::start(loop_, path_, [this](const std::string& line) {
            asked.push_back(line);
            return ApiServer::Answer{"<" + line + ">", line == "follow"};
        });
        REQUIRE(started.has_value());
        api = std::move(*started);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        api.reset();
        sd_event_unref(loop_);
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    [[nodiscard]] sys::Fd connect() const {
        sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::connect(socket.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        return socket;
    }
    // What it does of itself, turn by turn; a source that is always ready would keep it from coming to an end.
    void work() {
        int turns = 0;
        while (sd_event_run(loop_, 0) > 0) REQUIRE(++turns < 10'000);
    }

    std::unique_ptr<ApiServer> api;
    std::vector<std::string> asked;

private:
    static std::filesystem::path made() {
        std::string name = (std::filesystem::temp_directory_path() / "bpftune-api-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        return name;
    }
    std::filesystem::path folder_ = made();
    std::filesystem::path path_ = folder_ / "api.sock";
    sd_event* loop_ = nullptr;
};

// Nothing can be opened but in the place of what is closed.
class NoFreeDescriptor {
public:
    NoFreeDescriptor() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit none = before_;
        none.rlim_cur = static_cast<rlim_t>(sys::Fd(::dup(STDIN_FILENO)).value()); // the lowest that is free
        ::setrlimit(RLIMIT_NOFILE, &none);
    }
    NoFreeDescriptor(const NoFreeDescriptor&) = delete;
    NoFreeDescriptor& operator=(const NoFreeDescriptor&) = delete;
    ~NoFreeDescriptor() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

void send(const sys::Fd& socket, const std::string& text) {
    REQUIRE(::send(socket.value(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

struct Received {
    std::string text;
    bool ended = false;
};

Received receive(const sys::Fd& socket) {
    Received received;
    std::array<char, 65536> chunk{};
    ssize_t size = 0;
    while ((size = ::recv(socket.value(), chunk.data(), chunk.size(), 0)) > 0)
        received.text.append(chunk.data(), static_cast<std::size_t>(size));
    received.ended = size == 0;
    return received;
}

} // namespace

TEST_CASE("what was sent before the client's side was closed is answered, the last line without an end too") {
    Server server;
    const auto client = server.connect();
    send(client, "one\ntwo\nthree");
    ::shutdown(client.value(), SHUT_WR);
    server.work();
    const Received got = receive(client);
    CHECK(got.text == "<one>\n<two>\n<three>\n");
    CHECK(got.ended);
}

TEST_CASE("a client whose side is closed with nothing asked is let go of") {
    Server server;
    const auto client = server.connect();
    ::shutdown(client.value(), SHUT_WR);
    server.work();
    CHECK(receive(client).ended);
    CHECK(server.asked.empty());
}

TEST_CASE("for a client that has gone nothing is done") {
    Server server;
    send(server.connect(), "restore\n");
    server.work();
    CHECK(server.asked.empty());
}

TEST_CASE("requests sent at one go are answered one by one, with those of others between") {
    Server server;
    const auto greedy = server.connect();
    std::string many;
    for (int i = 0; i < 2000; ++i) many += "many\n";
    send(greedy, many);
    const auto other = server.connect();
    send(other, "other\n");
    std::string answers;
    for (std::string some = "."; !some.empty(); answers += some) {
        server.work();
        some = receive(greedy).text;
    }
    CHECK(answers.size() == 2000 * 7);
    CHECK(server.asked.size() == 2001);
    CHECK(std::ranges::find(server.asked, "other") - server.asked.begin() < 5);
}

TEST_CASE("a line that is too long is told so") {
    Server server;
    const std::string error = "{\"error\":\"a line has at most 65536 bytes\"}\n";
    for (const bool ends : {false, true}) {
        const auto client = server.connect();
        send(client, std::string(65'537, 'x') + (ends ? "\n" : ""));
        server.work();
        CHECK(receive(client).text == error);
        CHECK(server.asked.empty());
    }
    const auto client = server.connect();
    send(client, std::string(65'536, 'x') + "\n");
    server.work();
    CHECK(receive(client).text.size() == 65'539);
}

TEST_CASE("a follower that closes its side goes on to receive, until it has gone") {
    Server server;
    const auto client = server.connect();
    send(client, "follow\n");
    ::shutdown(client.value(), SHUT_WR);
    server.work();
    CHECK(server.api->has_followers());
    server.api->publish("more");
    server.work();
    const Received got = receive(client);
    CHECK(got.text == "<follow>\nmore\n");
    CHECK_FALSE(got.ended);
    ::shutdown(client.value(), SHUT_RD);
    server.work();
    CHECK_FALSE(server.api->has_followers());
}

TEST_CASE("one client more than there is room for ends who asked nothing for longest") {
    Server server;
    std::list<sys::Fd> clients;
    for (int i = 0; i < 32; ++i) clients.push_back(server.connect());
    server.work();
    send(clients.front(), "first\n");
    const auto other = server.connect();
    send(other, "other\n");
    while (server.asked.size() < 2) server.work(); // past the limit of its rate
    CHECK(receive(other).text == "<other>\n");
    CHECK(receive(clients.front()).text == "<first>\n");
    const Received ended = receive(*std::next(clients.begin()));
    CHECK(ended.text == "{\"error\":\"32 clients are connected, and this one asked nothing for longest\"}\n");
    CHECK(ended.ended);
    CHECK_FALSE(receive(clients.front()).ended);
    CHECK_FALSE(receive(clients.back()).ended);
}

TEST_CASE("a thousand clients that ask nothing keep nobody from being answered") {
    Server server;
    std::list<sys::Fd> silent;
    for (int i = 0; i < 1000; ++i) {
        silent.push_back(server.connect());
        for (Received got; i >= 32 && !got.ended; got = receive(*std::next(silent.begin(), i - 32))) server.work();
    }
    const auto client = server.connect();
    send(client, "top\n");
    while (server.asked.empty()) server.work();
    CHECK(receive(client).text == "<top>\n");
}

TEST_CASE("who follows is not ended for others, and only four do") {
    Server server;
    std::list<sys::Fd> followers;
    for (int i = 0; i < 5; ++i) {
        followers.push_back(server.connect());
        send(followers.back(), "follow\n");
        server.work();
    }
    const Received fifth = receive(followers.back());
    CHECK(fifth.text == "{\"error\":\"4 clients follow already\"}\n");
    CHECK(fifth.ended);
    followers.pop_back();
    std::list<sys::Fd> others;
    for (int i = 0; i < 40; ++i) {
        others.push_back(server.connect());
        for (Received got; i >= 28 && !got.ended; got = receive(*std::next(others.begin(), i - 28))) server.work();
    }
    server.api->publish("more");
    for (const sys::Fd& follower : followers) {
        const Received got = receive(follower);
        CHECK(got.text == "<follow>\nmore\n");
        CHECK_FALSE(got.ended);
    }
}

TEST_CASE("what followers leave unread is bounded for all of them together") {
    Server server;
    std::list<sys::Fd> followers;
    for (int i = 0; i < 4; ++i) {
        followers.push_back(server.connect());
        send(followers.back(), "follow\n");
        server.work();
    }
    const std::string megabyte(1 << 20, 'x');
    for (int i = 0; i < 6; ++i) server.api->publish(megabyte);
    for (const sys::Fd& follower : followers) {
        std::string all;
        for (Received got; !got.ended; all += got.text) {
            server.work();
            got = receive(follower);
        }
        CHECK(all.ends_with("{\"error\":\"too much was left unread: nothing more is sent\"}\n"));
        CHECK(all.size() < 5 << 20);
    }
}

TEST_CASE("a follower that does not stop talking is let go of") {
    Server server;
    const auto client = server.connect();
    send(client, "follow\n");
    server.work();
    const std::string much(100'000, 'x');
    for (int i = 0; i < 100 && server.api->has_followers(); ++i) {
        (void)::send(client.value(), much.data(), much.size(), MSG_NOSIGNAL);
        server.work();
    }
    CHECK_FALSE(server.api->has_followers());
}

TEST_CASE("a client that asks nothing for too long is let go of, and told so") {
    Server server;
    const auto client = server.connect();
    send(client, "{\"comm");
    Received got;
    while (!got.ended) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        server.work();
        const Received more = receive(client);
        got = {got.text + more.text, more.ended};
    }
    CHECK(got.text == "{\"error\":\"nothing was asked for 10 s\"}\n");
}

TEST_CASE("without a free descriptor the next client takes the place of one that asks nothing") {
    Server server;
    const auto first = server.connect();
    server.work();
    const auto second = server.connect();
    send(second, "second\n");
    const auto third = server.connect();
    send(third, "third\n");
    const NoFreeDescriptor none;
    while (server.asked.size() < 2) server.work();
    CHECK(receive(second).text == "<second>\n");
    CHECK(receive(third).text == "<third>\n");
    CHECK(receive(first).ended);
}

TEST_CASE("without a free descriptor it is not busy, and answers when there is one again") {
    Server server;
    const auto client = server.connect();
    send(client, "late\n");
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit none = before;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NOFILE, &none);
    server.work();
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(server.asked.empty());
    while (server.asked.empty()) server.work();
    CHECK(receive(client).text == "<late>\n");
}
