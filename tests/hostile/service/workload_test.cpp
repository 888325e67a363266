// SPDX-License-Identifier: Apache-2.0
// Attacks by a workload in a network namespace of its own, beside another whose bursts the service has to see.
#include <catch2/catch.hpp>

#include "workload.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t descriptors = 20'000 - 100; // of a process: what CI's machine lets one have, and some for us

// A cgroup that may have so much memory, maps and other memory of the kernel for it included.
class MemoryLimit {
public:
    explicit MemoryLimit(const std::string& bytes) {
        const bool is_first_version = fs::exists("/sys/fs/cgroup/memory");
        group_ = fs::path(is_first_version ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") / random_name("bpftune-test-");
        fs::create_directory(group_);
        write_text(group_ / (is_first_version ? "memory.limit_in_bytes" : "memory.max"), bytes);
    }
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;
    ~MemoryLimit() { ::rmdir(group_.c_str()); }

    // The calling process.
    void enter() const { write_text(group_ / "cgroup.procs", std::to_string(::getpid())); }

private:
    fs::path group_;
};

// So many sockets that listen, on ports from 10,000 on.
std::vector<sys::Fd> listeners(std::size_t count) {
    std::vector<sys::Fd> made;
    for (std::size_t i = 0; i < count; ++i)
        made.push_back(listen_on("127.0.0.1", static_cast<std::uint16_t>(10'000 + i), 128));
    return made;
}

// Listens anew at a port that was closed a moment ago. A look at all descriptors, by the service or by any `ss -p`, may
// hold the old socket a little longer: then it does not, this time.
sys::Fd listen_anew(std::uint16_t at, int backlog) {
    try {
        return listen_on("127.0.0.1", at, backlog);
    } catch (const std::runtime_error&) {
        if (errno != EADDRINUSE) throw;
        return {};
    }
}

// A process with all descriptors of this one, as long as this one lives.
void stay_idle() {
    if (::fork() != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
}

} // namespace

TEST_CASE("who listens and closes without end hurts nobody") {
    hurts_nobody([] { (void)listen_anew(port, 7); });
}

TEST_CASE("3,000 listeners, of which 500 have a thousand connections a second, hurt nobody") {
    hurts_nobody([made = std::vector<sys::Fd>(), next = 0]() mutable {
        if (made.empty()) made = listeners(3000);
        for (int i = 0; i < 10; ++i, next = (next + 1) % 500) {
            const auto client = clients(1, "127.0.0.1", static_cast<std::uint16_t>(10'000 + next));
            const sys::Fd accepted = accept_one(made[static_cast<std::size_t>(next)]);
        }
        std::this_thread::sleep_for(10ms);
    });
}

TEST_CASE("1,500 listeners, each made anew every second and overflowing, hurt nobody") {
    hurts_nobody([made = std::vector<sys::Fd>(1500), next = std::size_t{0}]() mutable {
        for (int i = 0; i < 15; ++i, next = (next + 1) % made.size()) {
            const auto at = static_cast<std::uint16_t>(10'000 + next);
            made[next].reset();
            made[next] = listen_anew(at, 1);
            const auto waiting = clients(4, "127.0.0.1", at);
        }
        std::this_thread::sleep_for(10ms);
    });
}

TEST_CASE("10,000 idle listeners hurt nobody, not with a memory limit of 64 MiB either") {
    const MemoryLimit limit("64M");
    hurts_nobody(
        [made = std::vector<sys::Fd>()]() mutable {
            if (made.empty()) made = listeners(10'000);
            std::this_thread::sleep_for(100ms);
        },
        {.service = {.policy = automatic, .before = [&] { limit.enter(); }}});
}

TEST_CASE("60,000 loopback addresses hurt nobody") {
    hurts_nobody([listener = sys::Fd(), next = 0U]() mutable {
        if (!listener) listener = listen_on("0.0.0.0", port, 1024);
        for (int i = 0; i < 100; ++i, next = (next + 1) % 60'000) {
            const auto client = clients(1, fmt::format("127.1.{}.{}", next / 250, 1 + next % 250).c_str(), port);
            const sys::Fd accepted = accept_one(listener);
        }
    });
}

TEST_CASE("a listener in flight beside processes that share 20,000 descriptors hurts nobody") {
    const int processes = GENERATE(300, 1000);
    hurts_nobody([processes, in_flight = std::unique_ptr<InFlight>(), held = std::vector<sys::Fd>()]() mutable {
        if (!in_flight) {
            while (held.size() < descriptors) held.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
            for (int i = 0; i < processes; ++i) stay_idle();
            in_flight = std::make_unique<InFlight>(listen_on("127.0.0.1", port, 4));
        }
        const auto waiting = clients(8, "127.0.0.1", port);
        std::this_thread::sleep_for(100ms);
    });
}

TEST_CASE("a value that is flipped a thousand times a second hurts nobody") {
    hurts_nobody(
        [listener = sys::Fd(), times = 0]() mutable {
            if (!listener) listener = listen_on("127.0.0.1", port, 4096);
            must(sys::write_file("/proc/sys/net/core/somaxconn", times % 2 == 0 ? "8" : "16").has_value(), "flip");
            if (++times % 100 == 0) {
                const auto waiting = clients(30, "127.0.0.1", port);
                accept_all(listener);
            }
            std::this_thread::sleep_for(1ms);
        },
        {.rights = Attacker::Rights::root});
}
