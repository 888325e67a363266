// SPDX-License-Identifier: Apache-2.0
// Kernels without BTF, and processes with fewer rights: what works, and what is said of the rest.
#include <linux/capability.h>
#include <sys/capability.h>
#include <sys/mount.h>

#include "fixtures.hpp"
#include "sys/capabilities.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr uid_t nobody = 65534;
constexpr std::array seeing{CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};

void without_btf() {
    must(::unshare(CLONE_NEWNS) == 0, "a mount namespace");
    must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
    must(::mount("none", "/sys/kernel/btf", "tmpfs", MS_RDONLY, nullptr) == 0, "hide BTF");
}

// As runtimes mount it in a container that is not privileged.
void with_read_only_sysctls() {
    must(::unshare(CLONE_NEWNS) == 0, "a mount namespace");
    must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
    must(::mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) == 0, "a mount of its own");
    must(::mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0, "make it read-only");
}

// Root that has no others, as in a container.
void with_rights_to_see() { must(sys::keep_capabilities(seeing).has_value(), "give up capabilities"); }

// Another user who has them by an ambient set, as systemd gives it.
void as_user_with_rights_to_see() {
    must(::prctl(PR_SET_KEEPCAPS, 1) == 0, "keep capabilities");
    must(::setresgid(nobody, nobody, nobody) == 0 && ::setresuid(nobody, nobody, nobody) == 0, "become nobody");
    const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> state(cap_init(), cap_free);
    for (const cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE, CAP_INHERITABLE})
        must(cap_set_flag(state.get(), flag, seeing.size(), seeing.data(), CAP_SET) == 0, "choose capabilities");
    must(cap_set_proc(state.get()) == 0, "give up capabilities");
    for (const cap_value_t value : seeing) must(cap_set_ambient(value, CAP_SET) == 0, "pass capabilities on");
}

void without_rights() {
    must(::setresgid(nobody, nobody, nobody) == 0 && ::setresuid(nobody, nobody, nobody) == 0, "become nobody");
}

const std::string automatic = policy_text("less", "mode: auto");

} // namespace

TEST_CASE("without BTF a burst that overflows is counted, raised, and taken back") {
    const Home home;
    home.set_policy(automatic);
    const Site site;
    const auto listener = site.listen(port);
    Running service(home, {.before = without_btf});
    const Json sources = home.top()["sources"];
    CHECK(sources["listen"] == "netlink");
    CHECK(sources["time_wait"] == "procfs");
    CHECK(service.says("probe listen: tracepoint not taken: "));

    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
    CHECK(comes_true([&] {
        const Json row = listener_row(home.top(), site, port);
        return row["overflows"] > 0 && row["overflows"] == netstat(site.netns, "ListenOverflows");
    }));
    const Json row = listener_row(home.top(), site, port);
    CHECK(row["pid"] == ::getpid());
    CHECK(row["arrivals"].is_null());
    CHECK(row["asked"].is_null());
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == 8);
}

TEST_CASE("with the rights to see alone the service sees, writes nothing, and says why") {
    const bool root = GENERATE(true, false);
    INFO((root ? "root" : "another user"));
    const Home home;
    home.set_policy(automatic);
    const Site site;
    const auto listener = site.listen(port);
    must(::chown((home / ".").c_str(), root ? 0 : nobody, root ? 0 : nobody) == 0, "give the home away");
    Running service(home, {.before = root ? with_rights_to_see : as_user_with_rights_to_see});
    const std::string reason = "mode auto was asked for, but nothing can be written without CAP_SYS_ADMIN, "
                               "CAP_SYS_PTRACE: observing";
    CHECK(service.says(reason));
    CHECK(home.top()["mode"] == "observe");
    CHECK(home.top()["mode_reason"] == reason);
    if (is_blind(home.top()["sources"]["listen"] != "netlink", "other namespaces without the right to enter them"))
        return;

    site.burst(listener, port);
    CHECK(comes_true([&] {
        const Json row = listener_row(home.top(), site, port);
        return row["queue_peak"] >= 9 && row["overflows"] == netstat(site.netns, "ListenOverflows");
    }));
    CHECK(limit_of(listener) == 8);
    CHECK(home.history().empty());
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}

TEST_CASE("where sysctls are mounted read-only the service observes, and says what to mount") {
    const Home home;
    home.set_policy(automatic);
    const Site site;
    const auto listener = site.listen(port);
    Running service(home, {.before = with_read_only_sysctls});
    const std::string reason = "mode auto was asked for, but nothing can be written without a /proc/sys that can be "
                               "written (it is mounted read-only here, as in a container: mount the node's /proc at "
                               "/host/proc as well): observing";
    CHECK(service.says(reason));
    CHECK(home.top()["mode"] == "observe");
    CHECK(home.top()["mode_reason"] == reason);

    site.burst(listener, port);
    CHECK(comes_true([&] { return listener_row(home.top(), site, port)["overflows"] > 0; }));
    CHECK(limit_of(listener) == 8);
    CHECK(home.history().empty());
}

TEST_CASE("doctor says what the rights that are missing would be for") {
    const bool root = GENERATE(true, false);
    INFO((root ? "root" : "another user"));
    const Ran ran = run({"doctor"}, root ? with_rights_to_see : as_user_with_rights_to_see);
    CHECK(ran.status == 1);
    CHECK(mentions(ran.out, "works with less"));
    CHECK(mentions(ran.out, "CAP_SYS_ADMIN                      MISSING  entering network namespaces"));
    CHECK(mentions(ran.out, "CAP_SYS_PTRACE                     MISSING  finding the namespaces of processes"));
    CHECK(mentions(ran.out, "CAP_BPF                            held"));
}

TEST_CASE("without any right every command says what to grant") {
    const std::string grant = "run it as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN";
    const Ran top = run({"top", "--once", "--socket", "/nonexistent"}, without_rights);
    CHECK(top.status == 1);
    CHECK(top.out.empty());
    CHECK(mentions(top.err, grant));
    const Ran doctor = run({"doctor"}, without_rights);
    CHECK(doctor.status == 2);
    CHECK(mentions(doctor.out, "cannot work"));
    CHECK(mentions(doctor.out, grant));
    const TemporaryDirectory folder;
    const Ran service = run({"run", "--state-dir", folder / "state", "--listen", "none"}, without_rights);
    CHECK(service.status == 1);
    CHECK(mentions(service.err, grant));
}
