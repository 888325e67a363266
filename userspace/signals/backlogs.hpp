// SPDX-License-Identifier: Apache-2.0
// Softirq backlogs by windows of a second or so: what each CPU lost, and whether it works its backlog off. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "sys/procfs.hpp"

namespace bpftune::signals {

// A CPU that is given more packets than it can take loses some whatever its backlog may hold. Whether it is so is asked
// of its work: at the time that a packet took, all that came, the lost ones too, would have taken so much of its time.
// (How long it had nothing to do tells nothing, as softirqs interrupt tasks; nor does the time that they took alone, as
// ksoftirqd, to which they are left where they last, shares the CPU with these.) The windows in which an overload
// begins and ends do not show it, being of before or after in part; so a loss is told with the busiest of three.
class Backlogs {
public:
    // Ticks come sooner where packets are lost, and /proc/stat counts hundredths of a second.
    static constexpr Nanoseconds shortest_window = std::chrono::milliseconds(900);

    // Fills in what the counters of `rows` do not tell by themselves. `cpus`: as of `read`, which may be before `now`.
    void tick(std::vector<SoftirqCpu>& rows, std::span<const sys::CpuInterrupts> cpus, MonoTime read, MonoTime now);

private:
    struct Window {
        std::uint64_t processed = 0;
        std::uint64_t lost = 0;
        std::uint64_t squeezed = 0;
        std::optional<double> softirq_percent;
        std::optional<double> idle_percent;
        std::uint64_t waiting = 0; // at its end
        MonoTime began;
        Nanoseconds length{};
    };
    // The counters when a window began.
    struct Mark {
        std::uint64_t processed = 0;
        std::uint64_t lost = 0;
        std::uint64_t squeezed = 0;
        std::optional<sys::CpuInterrupts> time;
    };
    struct Cpu {
        Mark tick;
        Mark begin;
        std::optional<Window> last;
        std::optional<Window> before;
    };

    static std::optional<double> needed_percent(const Window& window);
    static std::optional<BacklogLoss> loss_of(const Cpu& cpu, const Window& after);

    std::map<unsigned, Cpu> cpus_; // all that there have been: a machine has so many
    MonoTime begin_;
};

} // namespace bpftune::signals
