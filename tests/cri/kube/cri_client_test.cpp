// SPDX-License-Identifier: Apache-2.0
// The client, with Debian's containerd and real pods.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include <catch2/catch.hpp>
#include <poll.h>

#include "cri/container_runtime.hpp"
#include "kube/cri_client.hpp"

using namespace bpftune;
using namespace bpftune::kube;
using namespace bpftune::testing;

namespace {

// Only what is asked for makes a listing, but for the first one of a connection.
std::unique_ptr<CriClient> started(const ContainerRuntime& runtime) {
    return must_be(CriClient::start({.sockets = {runtime.socket()},
                                     .deadline = std::chrono::seconds(60),
                                     .poll = std::chrono::hours(1),
                                     .poll_with_events = std::chrono::hours(1)}));
}

CriClient::Known wait_for(CriClient& client, const std::function<bool(const CriClient::Known&)>& is_it) {
    for (;;) {
        const auto known = client.take();
        if (is_it(known)) return known;
        pollfd awaited{.fd = client.fd(), .events = POLLIN, .revents = 0};
        if (::poll(&awaited, 1, 120'000) == 0) FAIL("still: " << known.state.error);
    }
}

std::function<bool(const CriClient::Known&)> has_pods(std::size_t count) {
    return [=](const auto& known) { return known.listing && known.listing->sandboxes.size() == count; };
}

const Sandbox& sandbox_of(const Listing& listing, const std::string& name) {
    const auto found = std::find_if(listing.sandboxes.begin(), listing.sandboxes.end(),
                                    [&](const Sandbox& one) { return one.name == name; });
    if (found == listing.sandboxes.end()) throw std::runtime_error("no pod " + name);
    return *found;
}

// The directory with it; empty: it cannot be had here.
std::string newer_containerd() {
    const std::string command = std::string(source_dir) + "/tests/cri/newer-containerd";
    const std::unique_ptr<FILE, int (*)(FILE*)> said(::popen(command.c_str(), "r"), ::pclose); // NOLINT(cert-env33-c)
    std::array<char, 4096> line{};
    if (!said || std::fgets(line.data(), line.size(), said.get()) == nullptr) return {};
    return std::string(line.data(), std::strcspn(line.data(), "\n"));
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

} // namespace

TEST_CASE("pods are listed as they were made") {
    ContainerRuntime runtime;
    const auto web = must_be(runtime.pods().run({.ns = "shop",
                                                 .name = "web-0",
                                                 .uid = runtime.uid(1),
                                                 .labels = {{"app", "web"}, {"tier", "front"}},
                                                 .annotations = {{"bpftune-k8s.io/mode", "observe"}},
                                                 .containers = {{.name = "nginx"}, {.name = "sidecar"}}}));
    const auto agent = must_be(runtime.pods().run({.ns = "kube-system",
                                                   .name = "agent",
                                                   .uid = runtime.uid(2),
                                                   .host_network = true,
                                                   .containers = {{.name = "main"}}}));
    const auto client = started(runtime);
    const auto known = wait_for(*client, has_pods(2));
    CHECK_THAT(known.listing->runtime, Catch::StartsWith("containerd 1."));

    const Sandbox& pod = sandbox_of(*known.listing, "web-0");
    CHECK(pod.id == web.sandbox);
    CHECK(pod.uid == runtime.uid(1));
    CHECK(pod.ns == "shop");
    CHECK(pod.ready);
    CHECK(pod.created_ns > 0);
    CHECK(pod.labels.at("app") == "web");
    CHECK(pod.labels.at("tier") == "front");
    CHECK(pod.annotations == std::map<std::string, std::string>{{"bpftune-k8s.io/mode", "observe"}});
    CHECK(sandbox_of(*known.listing, "agent").id == agent.sandbox);
    CHECK(agent.address.empty());

    std::vector<Container> expected{
        {.id = web.containers[0], .sandbox_id = web.sandbox, .name = "nginx", .running = true},
        {.id = web.containers[1], .sandbox_id = web.sandbox, .name = "sidecar", .running = true},
        {.id = agent.containers[0], .sandbox_id = agent.sandbox, .name = "main", .running = true}};
    std::sort(expected.begin(), expected.end(), [](auto& a, auto& b) { return a.id < b.id; });
    CHECK(known.listing->containers == expected);
}

TEST_CASE("a pod that was made since, a container that ended and a pod that went are known when it is asked") {
    ContainerRuntime runtime;
    const auto client = started(runtime);
    wait_for(*client, has_pods(0));
    const auto pod = must_be(
        runtime.pods().run({.name = "late", .uid = runtime.uid(1), .containers = {{.name = "a"}, {.name = "b"}}}));
    client->ask();
    wait_for(*client, has_pods(1));

    must_be(runtime.pods().stop_container(pod.containers[0]));
    client->ask();
    const auto known = wait_for(*client, [&](const auto& is) {
        return std::any_of(is.listing->containers.begin(), is.listing->containers.end(),
                           [&](const Container& one) { return one.id == pod.containers[0] && !one.running; });
    });
    CHECK(std::count_if(known.listing->containers.begin(), known.listing->containers.end(),
                        [](const Container& one) { return one.running; }) == 1);

    must_be(runtime.pods().remove(pod.sandbox));
    client->ask();
    wait_for(*client, has_pods(0));
}

TEST_CASE("what is known stays while containerd is stopped, and goes on when it is back") {
    ContainerRuntime runtime;
    must_be(runtime.pods().run({.name = "old", .uid = runtime.uid(1), .containers = {{.name = "main"}}}));
    const auto client = started(runtime);
    wait_for(*client, has_pods(1));

    runtime.stop();
    client->ask();
    const auto away = wait_for(*client, [](const auto& known) { return !known.state.connected; });
    CHECK_FALSE(away.state.error.empty());
    CHECK(away.listing->sandboxes.size() == 1);

    runtime.start();
    must_be(runtime.pods().run({.name = "new", .uid = runtime.uid(2), .containers = {{.name = "main"}}}));
    client->ask();
    const auto back = wait_for(*client, has_pods(2));
    CHECK(back.state.connected);
    CHECK(back.state.error.empty());
}

TEST_CASE("containerd 2 tells its events: what changed is known without being asked for") {
    const std::string newer = newer_containerd();
    if (newer.empty()) {
        if (std::getenv("CI") != nullptr) FAIL("no newer containerd can be had here");
        WARN("not tested: no newer containerd can be had here");
        return;
    }
    ContainerRuntime runtime({}, newer);
    const auto client = started(runtime);
    CHECK_THAT(wait_for(*client, has_pods(0)).listing->runtime, !Catch::StartsWith("containerd 1."));
    const auto pod =
        must_be(runtime.pods().run({.name = "late", .uid = runtime.uid(1), .containers = {{.name = "main"}}}));
    const auto known = wait_for(*client, [&](const auto& is) {
        return is.listing->containers ==
               std::vector{
                   Container{.id = pod.containers[0], .sandbox_id = pod.sandbox, .name = "main", .running = true}};
    });
    CHECK(known.state.events);
    must_be(runtime.pods().remove(pod.sandbox));
    wait_for(*client, has_pods(0));
}

TEST_CASE("the runtime of the tests leaves nothing behind") {
    std::string uid;
    pid_t process = 0;
    std::string directory;
    {
        ContainerRuntime runtime;
        uid = runtime.uid(1);
        directory = runtime.socket().parent_path();
        const auto pod = must_be(runtime.pods().run({.name = "web", .uid = uid, .containers = {{.name = "main"}}}));
        process = must_be(runtime.pods().process_of(pod.containers[0]));
        CHECK(exists(fmt::format("/proc/{}", process)));
        CHECK(exists("/sys/class/net/cri" + uid.substr(0, 8)));
        CHECK_FALSE(pod.address.empty());
    }
    CHECK_FALSE(exists(fmt::format("/proc/{}", process)));
    CHECK_FALSE(exists("/sys/class/net/cri" + uid.substr(0, 8)));
    CHECK_FALSE(exists(directory));
    CHECK_FALSE(exists("/sys/fs/cgroup/memory/kubepods/besteffort/pod" + uid));
    CHECK_FALSE(exists("/sys/fs/cgroup/kubepods/besteffort/pod" + uid));
}
