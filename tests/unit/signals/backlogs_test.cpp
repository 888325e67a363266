// SPDX-License-Identifier: Apache-2.0
#include "signals/backlogs.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

// One CPU, a tick each second.
class Cpu {
public:
    // `softirq`: hundredths of a second.
    SoftirqCpu tick(std::uint64_t processed, std::uint64_t dropped, unsigned softirq, Nanoseconds after = 1s) {
        now_ += after;
        time_.taken += softirq;
        time_.total += static_cast<std::uint64_t>(after / 10ms);
        row_.processed += processed;
        row_.dropped += dropped;
        std::vector<SoftirqCpu> rows{row_};
        backlogs_.tick(rows, std::span(&time_, 1), now_, now_);
        return rows.front();
    }
    // Without a reading of /proc/stat.
    SoftirqCpu tick_blindly(std::uint64_t dropped) {
        now_ += 1s;
        time_.total += 100;
        row_.dropped += dropped;
        std::vector<SoftirqCpu> rows{row_};
        backlogs_.tick(rows, {}, now_, now_);
        return rows.front();
    }
    void wait(std::uint64_t packets) { row_.backlog = packets; }
    void limit_flows(std::uint64_t packets) { row_.flow_limited += packets; }

private:
    Backlogs backlogs_;
    MonoTime now_{1h};
    SoftirqCpu row_{.cpu = 3};
    sys::CpuInterrupts time_{.cpu = 3, .taken = 500, .total = 1000};
};

} // namespace

TEST_CASE("what a backlog lost is told when the next second has ended, with the busiest of three seconds") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.wait(20);
    CHECK_FALSE(cpu.tick(1000, 0, 60).lost);
    cpu.wait(7);
    const SoftirqCpu losing = cpu.tick(6000, 300, 30);
    CHECK_FALSE(losing.lost);
    CHECK(losing.window_lost == 300);
    CHECK(losing.window_processed == 6000);
    CHECK(losing.packets_per_second == Approx(6000));
    CHECK(losing.softirq_percent == Approx(30));
    const SoftirqCpu told = cpu.tick(1000, 0, 40);
    REQUIRE(told.lost);
    CHECK(told.lost->began == MonoTime(1h + 2s));
    CHECK(told.lost->packets == 300);
    CHECK(told.lost->processed == 6000);
    CHECK(told.lost->waiting == 20);
    CHECK(told.lost->processed_per_second == Approx(6000));
    CHECK(told.lost->needed_percent == Approx(60));
    CHECK(told.window_lost == 0);
    CHECK_FALSE(cpu.tick(1000, 0, 60).lost);
}

TEST_CASE("the seconds in which an overload begins and ends are told as busy as it is") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.tick(1000, 0, 5);
    cpu.tick(6000, 300, 50); // it begins
    CHECK(cpu.tick(9000, 900, 100).lost->needed_percent == Approx(110));
    CHECK(cpu.tick(5000, 300, 50).lost->needed_percent == Approx(110)); // it ends
    CHECK(cpu.tick(1000, 0, 5).lost->needed_percent == Approx(110));
}

TEST_CASE("an overload is seen where ksoftirqd is given half of the CPU beside a task that wants all of it") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.tick(40000, 0, 45);
    cpu.tick(40000, 360000, 45);
    CHECK(cpu.tick(40000, 360000, 45).lost->needed_percent == Approx(450));
}

TEST_CASE("ticks that come sooner are one window, and no loss is told twice") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.tick(1000, 0, 80);
    cpu.tick(1000, 100, 4, 100ms);
    cpu.tick(1000, 100, 4, 100ms);
    CHECK_FALSE(cpu.tick(1000, 100, 72, 800ms).lost);
    const SoftirqCpu told = cpu.tick(0, 0, 100);
    REQUIRE(told.lost);
    CHECK(told.lost->packets == 300);
    CHECK(told.lost->processed_per_second == Approx(3000));
    CHECK_FALSE(cpu.tick(0, 0, 10, 100ms).lost);
}

TEST_CASE("where the CPU's time is not known, nothing is said of what it lost") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.tick(1000, 0, 80);
    CHECK_FALSE(cpu.tick_blindly(300).softirq_percent);
    CHECK_FALSE(cpu.tick(0, 0, 80).lost);
    CHECK_FALSE(cpu.tick(0, 0, 80).lost);
}

TEST_CASE("packets beyond one flow's share are not lost for want of room") {
    Cpu cpu;
    cpu.tick(0, 0, 0);
    cpu.tick(1000, 0, 80);
    cpu.limit_flows(300);
    CHECK(cpu.tick(6000, 300, 70).window_lost == 0);
    CHECK_FALSE(cpu.tick(0, 0, 80).lost);
}
