// SPDX-License-Identifier: Apache-2.0
// Two services of one kernel, with state directories of their own.
#include <sys/mount.h>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

// As in a container that shares nothing but the kernel and /proc: neither files nor the abstract sockets of the node.
void in_other_namespaces() {
    must(::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0, "other namespaces");
    must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
}

struct Second {
    fs::path folder;
    std::string state = folder / "state";
    std::string socket = folder / "api.sock";
    Service service;

    Second(const Home& home, const std::string& name, const Program::Before& before = {})
        : folder(home / name), service(home, {.state = state, .socket = socket, .before = before}) {}
};

// Whether one of them is that service: the machine may have others.
bool has(const Json& services, pid_t pid, const std::string& state) {
    return std::ranges::find(services, Json{{"pid", pid}, {"state_dir", state}}) != services.end();
}

Json beside(const std::string& socket) {
    return json_of(run({"top", "--once", "-o", "json", "--socket", socket})).value("other_services", Json::array());
}

Json seen_by_doctor() { return Json::parse(run({"doctor", "-o", "json"}).out).value("services", Json::array()); }

} // namespace

TEST_CASE("two services of one kernel know of each other, whatever their namespaces, until one is killed") {
    const Home home;
    home.set_policy(policy_text("first", "mode: observe"));
    Running first(home);
    const bool apart = GENERATE(false, true);
    Program::Before before;
    if (apart) before = in_other_namespaces;
    Second second(home, "second", before);
    second.service.await_ready();
    const pid_t second_pid = second.service.pid();
    CHECK(second.service.says(
        fmt::format("another service runs on this kernel: pid {}, state directory {}", first.pid(), home.state())));
    CHECK(first.says(
        fmt::format("another service runs on this kernel: pid {}, state directory {}", second_pid, second.state)));
    CHECK(has(beside(second.socket), first.pid(), home.state()));
    CHECK(has(beside(home.socket()), second_pid, second.state));
    CHECK_THAT(run({"top", "--once", "--socket", home.socket()}).out,
               Catch::Contains("Another service runs on this kernel"));
    CHECK(has(seen_by_doctor(), first.pid(), home.state()));
    CHECK(has(seen_by_doctor(), second_pid, second.state));

    second.service.kill();
    CHECK(comes_true([&] { return !has(beside(home.socket()), second_pid, second.state); }));
    CHECK_FALSE(has(seen_by_doctor(), second_pid, second.state));
}

TEST_CASE("a service that was killed is not taken for another one by the next") {
    const Home home;
    home.set_policy(policy_text("again", "mode: observe"));
    for (int i = 0; i < 3; ++i) {
        Running service(home);
        CHECK(service.says(" ready: mode "));
        CHECK_FALSE(service.err().contains("state directory " + home.state()));
        service.kill();
    }
}
