// SPDX-License-Identifier: Apache-2.0
// The client, by real gRPC to runtimes that do well and that do not.
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_runtime.hpp"
#include "kube/cri_client.hpp"
#include "sys/fd.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::kube;
using testing::FakeRuntime;
using testing::TemporaryDirectory;
using namespace std::chrono_literals;

namespace {

// Nothing but what is asked for makes a listing, but for the first one.
CriClient::Options options(const std::filesystem::path& socket) {
    return {.sockets = {socket},
            .owner = ::getuid(),
            .deadline = 60s,
            .least_pause = 1ms,
            .poll = 24h,
            .poll_with_events = 24h,
            .first_retry = 10ms,
            .last_retry = 20ms};
}

std::unique_ptr<CriClient> started(CriClient::Options chosen) {
    auto client = CriClient::start(std::move(chosen));
    REQUIRE(client.has_value());
    return std::move(*client);
}

// What is known as soon as `is_it` holds of it.
CriClient::Known wait_for(CriClient& client, const std::function<bool(const CriClient::Known&)>& is_it) {
    for (;;) {
        const auto known = client.take();
        if (is_it(known)) return known;
        pollfd awaited{.fd = client.fd(), .events = POLLIN, .revents = 0};
        if (::poll(&awaited, 1, 60'000) == 0) FAIL("still: " << known.state.error);
    }
}

bool is_connected(const CriClient::Known& known) { return known.state.connected; }
bool has_error(const CriClient::Known& known) { return !known.state.error.empty(); }
std::function<bool(const CriClient::Known&)> has_pods(std::size_t count) {
    return [=](const auto& known) { return known.listing && known.listing->sandboxes.size() == count; };
}

std::function<bool(const CriClient::Known&)> is_at(const std::filesystem::path& socket) {
    return [=](const auto& known) { return known.state.connected && known.state.socket == socket; };
}

sockaddr_un address_at(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

// There, and refuses: nobody listens.
sys::Fd refusing_socket(const std::filesystem::path& path) {
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_at(path);
    REQUIRE(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return socket;
}

// Connections to it are taken, answered with `answer`, and kept open.
class RawServer {
public:
    RawServer(const std::filesystem::path& path, std::string answer)
        : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), answer_(std::move(answer)) {
        const sockaddr_un address = address_at(path);
        REQUIRE(::bind(listener_.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(listener_.value(), 8) == 0);
        thread_ = std::thread([this] { run(); });
    }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;
    ~RawServer() {
        ::shutdown(listener_.value(), SHUT_RDWR);
        thread_.join();
    }

private:
    void run() {
        std::vector<sys::Fd> connections;
        for (;;) {
            sys::Fd connection(::accept4(listener_.value(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!connection) return;
            [[maybe_unused]] const auto sent = ::send(connection.value(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
            connections.push_back(std::move(connection));
        }
    }

    sys::Fd listener_;
    std::string answer_;
    std::thread thread_;
};

} // namespace

TEST_CASE("a container runtime's pods are listed with their labels, annotations and containers") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock");
    auto& pod = runtime.add_pod("web");
    pod.set_created_at(1234);
    auto& label = *pod.add_labels();
    label.set_key("app");
    label.set_value("shop\xff");
    auto& annotation = *pod.add_annotations();
    annotation.set_key("bpftune-k8s.io/mode");
    annotation.set_value("observe");
    runtime.add_container("web", "nginx");

    const auto client = started(options(directory / "cri.sock"));
    const auto known = wait_for(*client, is_connected);
    CHECK(known.state.socket == directory / "cri.sock");
    CHECK(known.listing->runtime == "fake 1.2");
    CHECK(known.listing->sandboxes == std::vector{Sandbox{.id = "sandbox-web",
                                                          .uid = "uid-web",
                                                          .ns = "default",
                                                          .name = "web",
                                                          .ready = true,
                                                          .created_ns = 1234,
                                                          .labels = {{"app", "shop\\xff"}},
                                                          .annotations = {{"bpftune-k8s.io/mode", "observe"}}}});
    CHECK(known.listing->containers ==
          std::vector{Container{.id = "web-nginx", .sandbox_id = "sandbox-web", .name = "nginx", .running = true}});
}

TEST_CASE("a pod that was made since is known when it is asked for") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock");
    const auto client = started(options(directory / "cri.sock"));
    wait_for(*client, has_pods(0));
    runtime.add_pod("late");
    client->ask();
    CHECK(wait_for(*client, has_pods(1)).listing->sandboxes[0].name == "late");
}

TEST_CASE("what has not changed is the same object") {
    const TemporaryDirectory directory;
    const FakeRuntime runtime(directory / "cri.sock");
    const auto client = started(options(directory / "cri.sock"));
    const auto first = wait_for(*client, is_connected);
    client->ask();
    const auto second =
        wait_for(*client, [&](const auto& known) { return known.state.listings > first.state.listings; });
    CHECK(second.listing == first.listing);
}

TEST_CASE("those who ask at once get one listing together") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock");
    auto chosen = options(directory / "cri.sock");
    chosen.least_pause = 50ms;
    const auto began = std::chrono::steady_clock::now();
    const auto client = started(chosen);
    wait_for(*client, is_connected);
    for (int i = 0; i < 1000; ++i) {
        client->ask();
        std::this_thread::sleep_for(100us);
    }
    const auto pauses = (std::chrono::steady_clock::now() - began) / chosen.least_pause;
    CHECK(runtime.listings() <= pauses + 1);
}

TEST_CASE("an event of the runtime makes a listing") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock", {.answers_watchers = std::nullopt});
    const auto client = started(options(directory / "cri.sock"));
    wait_for(*client, has_pods(0));
    runtime.add_pod("late");
    runtime.tell_event();
    wait_for(*client, has_pods(1));
    CHECK(wait_for(*client, is_connected).state.events);
}

TEST_CASE("events are not taken from kubelet: containerd before 2.0 tells each to one watcher") {
    const TemporaryDirectory directory;
    const auto [version, watched] = GENERATE(table<std::string, bool>(
        {{"1.7.24", false}, {"v1.7.11-k3s2", false}, {"no number", false}, {"v2.0.0", true}, {"2.1.1", true}}));
    FakeRuntime runtime(directory / "cri.sock",
                        {.name = "containerd", .version = version, .answers_watchers = std::nullopt});
    {
        auto chosen = options(directory / "cri.sock");
        chosen.poll = 10ms;
        const auto client = started(chosen);
        wait_for(*client, [](const auto& known) { return known.state.listings >= 10; });
        if (watched) {
            runtime.add_pod("late");
            runtime.tell_event();
            wait_for(*client, has_pods(1));
        }
    }
    CHECK(runtime.watchers() == (watched ? 1 : 0));
}

TEST_CASE("a runtime whose events are turned off is asked from time to time, over one connection") {
    const TemporaryDirectory directory;
    const auto answer =
        GENERATE(as<grpc::Status>{}, grpc::Status::OK, grpc::Status(grpc::StatusCode::UNKNOWN, "not implemented"));
    FakeRuntime runtime(directory / "cri.sock", {.answers_watchers = answer});
    auto chosen = options(directory / "cri.sock");
    chosen.poll = 10ms;
    const auto client = started(chosen);
    const auto known = wait_for(*client, [](const auto& is) { return is.state.listings >= 20; });
    CHECK_FALSE(known.state.events);
    CHECK(runtime.watchers() == 1);
}

TEST_CASE("what is known stays while the runtime is away, and goes on when it is back") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock");
    runtime.add_pod("old");
    const auto client = started(options(directory / "cri.sock"));
    wait_for(*client, has_pods(1));

    runtime.stop();
    client->ask();
    const auto away = wait_for(*client, has_error);
    CHECK_FALSE(away.state.connected);
    REQUIRE(away.listing);
    CHECK(away.listing->sandboxes.size() == 1);

    runtime.add_pod("new");
    runtime.start();
    const auto back = wait_for(*client, has_pods(2));
    CHECK(back.state.connected);
    CHECK(back.state.error.empty());
}

TEST_CASE("a runtime that goes away while it tells of events is known to be away without being asked") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock", {.answers_watchers = std::nullopt});
    const auto client = started(options(directory / "cri.sock"));
    wait_for(*client, is_connected);
    runtime.stop();
    wait_for(*client, has_error);
}

TEST_CASE("a socket that takes connections and says nothing is an error after the deadline") {
    const TemporaryDirectory directory;
    const RawServer server(directory / "cri.sock", "");
    auto chosen = options(directory / "cri.sock");
    chosen.deadline = 100ms;
    const auto client = started(chosen);
    const auto known = wait_for(*client, has_error);
    CHECK(known.state.error == (directory / "cri.sock").native() + " has not answered within 100ms");
    CHECK(known.listing == nullptr);
}

TEST_CASE("the client ends without waiting for a deadline") {
    const TemporaryDirectory directory;
    const RawServer server(directory / "cri.sock", "");
    auto chosen = options(directory / "cri.sock");
    chosen.deadline = 24h;
    const auto client = started(chosen);
    std::this_thread::sleep_for(50ms); // it is most likely in its first call
}

TEST_CASE("a socket that answers in another protocol is an error in words") {
    const TemporaryDirectory directory;
    const auto garbage = GENERATE(as<std::string>{}, "HTTP/1.1 400 Bad Request\r\n\r\n", "\x1b[31m\xff\xfe\n",
                                  std::string(1 << 16, '\0'));
    const RawServer server(directory / "cri.sock", garbage);
    auto chosen = options(directory / "cri.sock");
    chosen.deadline = 200ms; // too few bytes are waited for
    const auto client = started(chosen);
    const auto known = wait_for(*client, has_error);
    const std::string& error = known.state.error;
    CHECK(known.listing == nullptr);
    CHECK_THAT(error, Catch::StartsWith((directory / "cri.sock").native() + " "));
    CHECK(error.find_first_of("\n\x1b\xff") == std::string::npos);
}

TEST_CASE("an answer that is too long is an error, and no listing") {
    const TemporaryDirectory directory;
    FakeRuntime runtime(directory / "cri.sock");
    const int mebibytes = GENERATE(16, 40); // the second is cut off on its way
    runtime.add_pod("web").add_annotations()->set_value(std::string(std::size_t(mebibytes) << 20, 'x'));
    const auto client = started(options(directory / "cri.sock"));
    const auto known = wait_for(*client, has_error);
    CHECK(known.state.error == (directory / "cri.sock").native() + " answers with more than 16 MiB");
    CHECK(known.listing == nullptr);
}

TEST_CASE("a socket that is not there, is none, or belongs to another user is said to be so") {
    const TemporaryDirectory directory;
    const auto path = directory / "cri.sock";
    auto chosen = options(path);
    std::string expected = "no container runtime at " + path.native();
    SECTION("not there") {}
    SECTION("no socket") {
        std::ofstream(path) << "text";
        expected = path.native() + " is no socket";
    }
    SECTION("another user's") {
        chosen.owner = ::getuid() + 1;
        expected = path.native() + " belongs to user " + std::to_string(::getuid()) + ", not to user " +
                   std::to_string(chosen.owner);
    }
    std::unique_ptr<FakeRuntime> runtime;
    if (chosen.owner != ::getuid()) runtime = std::make_unique<FakeRuntime>(path);
    const auto client = started(chosen);
    CHECK(wait_for(*client, has_error).state.error == expected);
}

TEST_CASE("the first socket that is there is taken") {
    const TemporaryDirectory directory;
    const FakeRuntime runtime(directory / "second.sock");
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    const auto client = started(chosen);
    CHECK(wait_for(*client, is_connected).state.socket == directory / "second.sock");
}

TEST_CASE("a better socket that comes to be there later is taken, whether it has pods yet or not") {
    const TemporaryDirectory directory;
    const FakeRuntime idle(directory / "second.sock", {.name = "idle"});
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    chosen.first_retry = chosen.last_retry = 24h; // but for its coming nobody would look again
    const auto client = started(chosen);
    wait_for(*client, is_at(directory / "second.sock"));
    client->ask();
    wait_for(*client, [](const auto& known) { return known.state.listings >= 2; });

    FakeRuntime late(directory / "first.sock");
    const bool has_one = GENERATE(true, false);
    if (has_one) late.add_pod("web");
    client->ask();
    CHECK(wait_for(*client, is_at(directory / "first.sock")).listing->runtime == "fake 1.2");
    late.add_pod("db");
    client->ask(); // it is the one that is asked from now on
    wait_for(*client, has_pods(has_one ? 2 : 1));
}

TEST_CASE("a runtime that comes between two tries is known to be unheard before the next one") {
    const TemporaryDirectory directory;
    std::unique_ptr<FakeRuntime> other; // which is no runtime
    if (GENERATE(true, false))
        other = std::make_unique<FakeRuntime>(directory / "first.sock", testing::RuntimeKind{.speaks_cri = false});
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    chosen.first_retry = chosen.last_retry = 24h;
    const auto client = started(chosen);
    CHECK_FALSE(wait_for(*client, has_error).state.unheard);
    const FakeRuntime late(directory / "second.sock");
    CHECK(client->take().state.unheard);
}

TEST_CASE("where the runtime that answers has no pods, one that comes later and has some is asked at once") {
    const TemporaryDirectory directory;
    const FakeRuntime idle(directory / "first.sock", {.name = "idle"});
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    chosen.first_retry = chosen.last_retry = 24h; // but for its coming nobody would look again
    const auto client = started(chosen);
    wait_for(*client, is_at(directory / "first.sock"));
    client->ask();
    wait_for(*client, [](const auto& known) { return known.state.listings >= 2; });

    FakeRuntime late(directory / "second.sock");
    late.add_pod("web");
    CHECK(client->take().state.unheard); // which asks
    CHECK(wait_for(*client, is_at(directory / "second.sock")).listing->sandboxes[0].name == "web");
}

TEST_CASE("where the runtime that answers has no pods, one that has is taken") {
    const TemporaryDirectory directory;
    FakeRuntime empty(directory / "first.sock", {.name = "empty"});
    FakeRuntime kubelets(directory / "second.sock");
    kubelets.add_pod("web");
    if (GENERATE(true, false)) empty.add_pod("gone").set_state(testing::cri::SANDBOX_NOTREADY);
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    const auto client = started(chosen);
    wait_for(*client, is_connected);
    client->ask();
    CHECK(wait_for(*client, is_at(directory / "second.sock")).listing->sandboxes[0].name == "web");
}

TEST_CASE("a runtime that has pods is kept, whatever others there are") {
    const TemporaryDirectory directory;
    FakeRuntime kubelets(directory / "first.sock");
    kubelets.add_pod("web");
    FakeRuntime other(directory / "second.sock", {.name = "other"});
    other.add_pod("other");
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    chosen.poll = 1ms;
    const auto client = started(chosen);
    const auto known = wait_for(*client, [](const auto& is) { return is.state.listings >= 20; });
    CHECK(known.state.socket == directory / "first.sock");
    CHECK_FALSE(known.state.unheard);
    CHECK(other.listings() == 0);
}

TEST_CASE("as long as one that has no pods answers, another that has not answered may know more") {
    const TemporaryDirectory directory;
    sys::Fd starting = refusing_socket(directory / "first.sock");
    FakeRuntime second(directory / "second.sock");
    auto chosen = options(directory / "first.sock");
    chosen.sockets.push_back(directory / "second.sock");
    const auto client = started(chosen);
    CHECK(wait_for(*client, is_connected).state.unheard);
    SECTION("it comes to answer") {
        starting = {};
        std::filesystem::remove(directory / "first.sock");
        FakeRuntime first(directory / "first.sock");
        first.add_pod("web");
        client->ask();
        CHECK_FALSE(wait_for(*client, is_at(directory / "first.sock")).state.unheard);
    }
    SECTION("this one comes to have pods") {
        second.add_pod("web");
        client->ask();
        CHECK_FALSE(wait_for(*client, has_pods(1)).state.unheard);
    }
}

TEST_CASE("a socket that is there and does not answer may be a runtime's, and one that knows no CRI is none's") {
    const TemporaryDirectory directory;
    const auto path = directory / "cri.sock";
    sys::Fd refusing;
    std::unique_ptr<FakeRuntime> runtime;
    bool expected = false;
    SECTION("not there") {}
    SECTION("it refuses") {
        refusing = refusing_socket(path);
        expected = true;
    }
    SECTION("it knows no CRI") {
        runtime = std::make_unique<FakeRuntime>(path, testing::RuntimeKind{.speaks_cri = false});
    }
    const auto client = started(options(path));
    CHECK(wait_for(*client, has_error).state.unheard == expected);
}
