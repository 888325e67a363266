// SPDX-License-Identifier: Apache-2.0
// Once started, the processes of the service are held to the system calls that they need.
#include <cerrno>

#include <seccomp.h>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

// How many filters of system calls it has.
int filters_of(const fs::path& task) {
    const std::string status = contents(task / "status");
    const std::string key = "\nSeccomp_filters:";
    const std::size_t found = status.find(key);
    return found == std::string::npos ? 0 : std::stoi(status.substr(found + key.size()));
}

std::vector<int> filters_of_threads(pid_t pid) {
    std::vector<int> filters;
    for (const auto& thread : fs::directory_iterator(fmt::format("/proc/{}/task", pid)))
        filters.push_back(filters_of(thread.path()));
    return filters;
}

// As where a unit or a container's profile does not name the call.
void without_seccomp() {
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
    must(filter != nullptr && ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) == 0 &&
             ::seccomp_load(filter) == 0,
         "refuse seccomp()");
    ::seccomp_release(filter);
}

} // namespace

TEST_CASE("each thread of the service, the writer and its child are held to their system calls") {
    const Home home;
    home.set_policy(policy_text("held", "mode: auto"));
    const Running service(home, {.listen = "127.0.0.1:0"});
    const int ours = filters_of("/proc/self"); // those of a container
    const auto is_held = [&](int filters) { return filters > ours; };

    const auto threads = filters_of_threads(service.pid());
    CHECK(threads.size() >= 2); // that of the HTTP port
    CHECK(std::ranges::all_of(threads, is_held));
    const pid_t writer = writer_of(service);
    const auto child = std::stoi(contents(fmt::format("/proc/{0}/task/{0}/children", writer)));
    CHECK(std::ranges::all_of(filters_of_threads(writer), is_held));
    CHECK(std::ranges::all_of(filters_of_threads(child), is_held));
    CHECK_FALSE(mentions(service.err(), "may make any system call"));
    const Ran doctor = run({"doctor", "-o", "json", "--socket", home.socket()});
    CHECK_FALSE(Json::parse(doctor.out)["service"].contains("unrestricted"));
}

TEST_CASE("where no filter can be had the service goes on, and its log, health and doctor say so", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("open", "mode: auto"));
    const Running service(home, {.before = without_seccomp});

    for (const std::string process : {"this process", "the writer"})
        CHECK(mentions(service.err(), process + " may make any system call: "));
    CHECK(run({"health", "--ready", "--socket", home.socket()}).status == 0);
    const Ran doctor = run({"doctor", "-o", "json", "--socket", home.socket()});
    CHECK(doctor.status == 1);
    const Json said = Json::parse(doctor.out)["service"];
    CHECK(mentions(said.value("unrestricted", ""), "the writer may make any system call: "));
    CHECK(mentions(run({"doctor", "--socket", home.socket()}).out, "WRONG: this process may make any system call: "));
}
