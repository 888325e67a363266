// SPDX-License-Identifier: Apache-2.0
// By real cgroups and processes, where a snapshot says what is not so any more.
#include "kube/owners.hpp"

#include <array>
#include <future>
#include <thread>

#include <catch2/catch.hpp>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "netns/cgroup.hpp"
#include "sys/clock.hpp"
#include "sys/process_links.hpp"
#include "sys/sockets.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::kube;

namespace {

struct Holder {
    const Cgroup& cgroup;
    Process process{[this] {
        cgroup.enter();
        static const sys::Fd socket = listen_on("127.0.0.1", 0, 8);
        return static_cast<std::uint64_t>(socket.value());
    }};

    [[nodiscard]] Listener row() const {
        Listener row;
        row.cookie = 7;
        row.pid = process.pid();
        row.fd = static_cast<int>(process.value());
        row.netns = {.cookie = 1, .inode = inode_of("ns/net")};
        row.inode = inode_of("fd/" + std::to_string(row.fd));
        return row;
    }

private:
    [[nodiscard]] std::uint32_t inode_of(const std::string& file) const {
        struct stat about{};
        must(::stat(fmt::format("/proc/{}/{}", process.pid(), file).c_str(), &about) == 0, "stat " + file);
        return static_cast<std::uint32_t>(about.st_ino);
    }
};

std::uint32_t netns_inode_of(pid_t pid) {
    const std::uint64_t inode = sys::namespaces_of(std::array{pid})[0].inode;
    must(inode != 0, "see a network namespace");
    return static_cast<std::uint32_t>(inode);
}

Snapshot snapshot_of(const Listener& listener) {
    Snapshot snapshot;
    snapshot.time = sys::now();
    snapshot.host = listener.netns;
    snapshot.listeners = {listener};
    return snapshot;
}

// A process of that number, which nobody has now.
class SameNumber {
public:
    SameNumber(pid_t pid, const Cgroup& cgroup) {
        clone_args arguments{};
        const std::array wanted{pid};
        arguments.exit_signal = SIGCHLD;
        arguments.set_tid = reinterpret_cast<std::uintptr_t>(wanted.data());
        arguments.set_tid_size = wanted.size();
        pid_ = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
        must(pid_ >= 0, "take a process number");
        if (pid_ > 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        cgroup.enter();
        while (true) ::pause();
    }
    SameNumber(const SameNumber&) = delete;
    SameNumber& operator=(const SameNumber&) = delete;
    ~SameNumber() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_ = -1;
};

} // namespace

TEST_CASE("a process that has the number of one that has gone is not taken for it", "[any-kernel]") {
    const Hierarchy hierarchy(CgroupVersion::v1);
    const PodCgroup pod;
    const PodCgroup other;
    const Cgroup cgroup(hierarchy, pod.path());
    const Cgroup others(hierarchy, other.path());
    Holder holder{cgroup};
    const Listener row = holder.row();
    Owners owners(processes_of(), Pods(PodLogs("/none"), {}));

    Snapshot before = snapshot_of(row);
    owners.name(before, sys::now().mono);
    CHECK(before.listeners[0].pod == Pod{"", pod.uid, pod.short_container(), pod.uid});

    Owners late(processes_of(), Pods(PodLogs("/none"), {}));
    holder.process.end();
    const SameNumber later(row.pid, others);
    const auto is_others = [&] {
        return sys::read_file(fmt::format("/proc/{}/cgroup", row.pid)).value_or("").find(other.uid) !=
               std::string::npos;
    };
    REQUIRE(comes_true(is_others));
    for (Owners* each : {&owners, &late}) {
        Snapshot after = snapshot_of(row);
        each->name(after, sys::now().mono);
        CHECK((!after.listeners[0].pod || after.listeners[0].pod->uid == pod.uid));
    }
}

TEST_CASE("a thread that its process has sent into a namespace does not tell whose that is", "[any-kernel]") {
    const Hierarchy hierarchy(CgroupVersion::v1);
    const PodCgroup pod;
    const Cgroup cgroup(hierarchy, pod.path());
    const Process agent([&] {
        cgroup.enter();
        std::promise<pid_t> inside;
        std::thread([&inside] {
            must(::unshare(CLONE_NEWNET) == 0, "unshare the network");
            inside.set_value(::gettid());
            while (true) ::pause();
        }).detach();
        return static_cast<std::uint64_t>(inside.get_future().get());
    });
    const auto thread = static_cast<pid_t>(agent.value());
    const auto pod_by = [&](pid_t pid) {
        Owners owners(processes_of(), Pods(PodLogs("/none"), {}));
        Snapshot snapshot;
        snapshot.time = sys::now();
        snapshot.tcp.resize(1);
        snapshot.tcp[0].netns = {.cookie = 1, .inode = netns_inode_of(pid)};
        snapshot.tcp[0].pid = pid;
        owners.name(snapshot, sys::now().mono);
        return snapshot.tcp[0].pod;
    };
    REQUIRE(netns_inode_of(thread) != netns_inode_of(agent.pid()));
    CHECK(pod_by(thread) == std::nullopt);
    CHECK(pod_by(agent.pid()) == Pod{"", pod.uid, "", pod.uid});
}
