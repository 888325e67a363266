// SPDX-License-Identifier: Apache-2.0
// What the service can't do by itself, and has its writer do.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixtures.hpp"
#include "sys/capabilities.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

std::uint64_t capabilities(pid_t pid, const std::string& set) {
    const std::string status = contents(fmt::format("/proc/{}/status", pid));
    return std::stoull(status.substr(status.find("\n" + set + ":\t") + set.size() + 3), nullptr, 16);
}

std::vector<int> numbers_of(std::uint64_t set) {
    std::vector<int> numbers;
    for (int i = 0; i < 64; ++i)
        if (((set >> i) & 1) != 0) numbers.push_back(i);
    return numbers;
}

// How many ways root with these capabilities has to the memory and descriptors of a process.
std::uint64_t ways_to(pid_t pid, const std::vector<int>& kept) {
    const Process root([&] {
        must(sys::keep_capabilities(kept).has_value(), "give up capabilities");
        const std::string memory = fmt::format("/proc/{}/mem", pid);
        std::uint64_t ways = 0;
        for (const int mode : {O_RDONLY, O_RDWR})
            if (const sys::Fd opened(::open(memory.c_str(), mode | O_CLOEXEC)); opened) ++ways;
        char byte = 0;
        const iovec here{.iov_base = &byte, .iov_len = 1};
        const iovec there{.iov_base = nullptr, .iov_len = 1}; // where nobody's memory is
        if (::process_vm_writev(pid, &here, 1, &there, 1, 0) < 0 && errno == EFAULT) ++ways;
        if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0) ++ways; // until this process ends
        const sys::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (const sys::Fd fetched(static_cast<int>(::syscall(SYS_pidfd_getfd, process.value(), 0, 0))); fetched) ++ways;
        if (::access(fmt::format("/proc/{}/root/.", pid).c_str(), F_OK) == 0) ++ways;
        return ways;
    });
    return root.value();
}

pid_t child_of(pid_t pid) { return std::stoi(contents(fmt::format("/proc/{0}/task/{0}/children", pid))); }

// The only process of a network namespace that no path leads to: another user's, with a right that the service has not.
struct Stranger {
    Process process{[] {
        constexpr uid_t nobody = 65534;
        must(::unshare(CLONE_NEWNET) == 0, "a network namespace of its own");
        shell("ip link set lo up");
        static const sys::Fd listener = listen_on("127.0.0.1", port, 100);
        constexpr std::array kept{CAP_NET_RAW};
        must(::prctl(PR_SET_KEEPCAPS, 1) == 0 && ::setresuid(nobody, nobody, nobody) == 0, "become nobody");
        must(sys::keep_capabilities(kept).has_value() && sys::has_capability(CAP_NET_RAW), "keep a capability");
        must(::prctl(PR_SET_DUMPABLE, 1) == 0, "be dumpable, as after exec()");
        return std::uint64_t{0};
    }};
    std::uint64_t netns = [this] {
        struct stat about{};
        must(::stat(fmt::format("/proc/{}/ns/net", process.pid()).c_str(), &about) == 0, "stat its namespace");
        return about.st_ino;
    }();

    [[nodiscard]] Json listener_in(const Json& top) const {
        return row_where(top["listeners"], {{"netns", netns}, {"port", port}});
    }
};

const Words below_bpf{"--rung", "listen=netlink", "--rung", "time_wait=procfs"};

} // namespace

TEST_CASE("with the capabilities that the service keeps nobody gets at its writer") {
    const Home home;
    home.set_policy(policy_text("rights", "mode: auto"));
    const Running service(home);
    const std::uint64_t kept = capabilities(service.pid(), "CapPrm");
    CHECK(numbers_of(kept) == std::vector{CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF});
    CHECK(capabilities(service.pid(), "CapEff") == kept);
    for (const std::string set : {"CapInh", "CapAmb"}) CHECK(capabilities(service.pid(), set) == 0);
    for (const pid_t process : {writer_of(service), child_of(writer_of(service))}) {
        CHECK(numbers_of(capabilities(process, "CapEff")) ==
              std::vector{CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN});
        CHECK(ways_to(process, numbers_of(kept)) == 0);
        CHECK(ways_to(process, numbers_of(kept | std::uint64_t{1} << CAP_SYS_PTRACE)) == 6); // what it would be for
    }
}

TEST_CASE("below BPF a namespace of another user's process is found, and its listener's holder named") {
    const Home home;
    home.set_policy(policy_text("rights", "mode: observe"));
    const Running service(home, {.more = below_bpf});
    const Stranger stranger; // what was there at the start was seen with all rights
    Json row;
    CHECK(comes_true([&] {
        row = stranger.listener_in(home.top());
        return !row.is_null() && row["pid"] == stranger.process.pid();
    }));
    INFO(row.dump());
    CHECK(row["command"].get<std::string>() + "\n" == contents(fmt::format("/proc/{}/comm", stranger.process.pid())));
    CHECK_FALSE(row_where(home.top()["time_wait"], {{"netns", stranger.netns}}).is_null());
}

TEST_CASE("while the writer is busy, what was known of processes stays") {
    const Home home;
    home.set_policy(policy_text("rights", "mode: observe"));
    const Stranger stranger;
    const Running service(home, {.more = below_bpf});
    const auto is_known = [&] {
        const Json row = stranger.listener_in(home.top());
        return !row.is_null() && row["pid"] == stranger.process.pid();
    };
    REQUIRE(comes_true(is_known));
    const pid_t writer = writer_of(service);
    REQUIRE(::kill(writer, SIGSTOP) == 0);
    for (int ticks = 0; ticks < 3; ++ticks) {
        const Json time = home.top()["time"];
        CHECK(comes_true([&] { return home.top()["time"] != time; }));
        CHECK(is_known());
    }
    REQUIRE(::kill(writer, SIGCONT) == 0);
    CHECK(comes_true(is_known));
}

TEST_CASE("tables of connections are read by /proc in the namespaces of other users' processes") {
    const Home home;
    home.set_policy(policy_text("rights", "mode: observe"));
    const Namespace netns;
    track_connections(netns);
    const Process resident(netns, [] {
        constexpr uid_t nobody = 65534;
        must(::setresuid(nobody, nobody, nobody) == 0, "become nobody");
        return std::uint64_t{0};
    });
    const Running service(home, {.more = {"--rung", "conntrack=procfs"}});
    if (home.top()["sources"]["conntrack"] == "unavailable") return; // a kernel without it
    REQUIRE(home.top()["sources"]["conntrack"] == "procfs");
    send_datagrams(netns, 9000, 10);
    CHECK(comes_true([&] {
        const Json row = row_where(home.top()["conntrack"], {{"netns", netns.inode()}});
        return !row.is_null() && row["entries"] == 10;
    }));
}
