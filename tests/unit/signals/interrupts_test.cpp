// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/interrupts.hpp"

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

const probes::NetnsReading host{.netns = {.cookie = 1, .inode = 4026531833}, .pid = 1};

// Of eth0, delivered to CPU 0, to which it was given so often.
probes::InterruptReading interrupt(std::uint32_t irq, std::uint64_t taken) {
    return {.device = "eth0",
            .ifindex = 2,
            .irq = irq,
            .cpus = {.first = 3},
            .delivered_to = Cpus{.first = 1},
            .name = "eth0-rx-" + std::to_string(irq),
            .taken = {{0, taken}, {1, 7}}};
}

ObjectKey object(std::uint32_t irq, std::uint64_t ifindex = 2) {
    return {TunableId::smp_affinity, host.netns, ifindex << 32 | irq};
}

MonoTime at(Nanoseconds when) { return MonoTime(1h + when); }

} // namespace

TEST_CASE("interrupts for what comes are told from others by their names") {
    for (const auto* name : {"virtio0-input.0", "eth0-rx-1", "eth0-TxRx-3", "mlx5_comp0@pci:0000:08:00.0",
                             "i40e-eth0-TxRx-1", "ens5-Tx-Rx-0", "bnxt_en-eth0-TxRx-0", "hv_vmbus"}) {
        CAPTURE(name);
        CHECK(receives(name));
    }
    for (const auto* name : {"virtio0-output.0", "virtio0-config", "eth0-tx-1", "mlx5_async0@pci:0000:08:00.0",
                             "ena-mgmnt@pci:0000:00:05.0", ""}) {
        CAPTURE(name);
        CHECK_FALSE(receives(name));
    }
}

TEST_CASE("an interrupt that a hot CPU is given often is known after two looks, with where it goes") {
    Interrupts interrupts;
    interrupts.begin(0, at(0s));
    interrupts.update(host, std::vector{interrupt(24, 1000), interrupt(25, 50), interrupt(26, 70)});
    CHECK(interrupts.rows().empty());
    interrupts.begin(0, at(2s));
    interrupts.update(host, std::vector{interrupt(24, 3000), interrupt(25, 53), interrupt(26, 74)});
    const auto rows = interrupts.rows();
    REQUIRE(rows.size() == 2); // of a queue that hardly runs empty too, but not of one with three in two seconds
    CHECK(rows[0].netns == host.netns);
    CHECK(rows[0].device == "eth0");
    CHECK(rows[0].irq == 24);
    CHECK(rows[0].per_second == 1000);
    CHECK(rows[0].cpu == 0U);
    CHECK(rows[0].cpus == 3);
    CHECK(rows[0].read == at(2s));
    CHECK(rows[1].irq == 26);
    CHECK(rows[1].per_second == 2);
}

TEST_CASE("what a CPU that is not hot was given does not count, nor what the one before was given") {
    Interrupts interrupts;
    interrupts.begin(1, at(0s));
    interrupts.update(host, std::vector{interrupt(24, 1000)});
    interrupts.begin(1, at(1s));
    interrupts.update(host, std::vector{interrupt(24, 9000)});
    CHECK(interrupts.rows().empty());
    interrupts.begin(0, at(2s));
    interrupts.update(host, std::vector{interrupt(24, 19000)});
    CHECK(interrupts.rows().empty());
}

TEST_CASE("a number that counts from less is another interrupt") {
    Interrupts interrupts;
    interrupts.begin(0, at(0s));
    interrupts.update(host, std::vector{interrupt(24, 100000)});
    interrupts.begin(0, at(1s));
    interrupts.update(host, std::vector{interrupt(24, 500)});
    CHECK(interrupts.rows().empty());
    interrupts.begin(0, at(2s));
    interrupts.update(host, std::vector{interrupt(24, 1500)});
    CHECK(interrupts.rows().at(0).per_second == 1000);
}

TEST_CASE("one that may go to several CPUs, of which the kernel does not tell, goes to none that is known") {
    Interrupts interrupts;
    auto there = interrupt(24, 0);
    there.delivered_to.reset();
    interrupts.hold(object(24));
    interrupts.begin(std::nullopt, at(0s));
    interrupts.update(host, std::vector{there});
    CHECK_FALSE(interrupts.rows().at(0).cpu);
    there.cpus = {.first = 2};
    interrupts.update(host, std::vector{there});
    CHECK(interrupts.rows().at(0).cpu == 1U);
}

TEST_CASE("CPUs past the first 64 are told as such, and no others with them") {
    Interrupts interrupts;
    auto there = interrupt(24, 0);
    there.cpus.has_more = true;
    interrupts.hold(object(24));
    interrupts.begin(std::nullopt, at(0s));
    interrupts.update(host, std::vector{there});
    CHECK(interrupts.rows().at(0).has_more_cpus);
    CHECK_FALSE(interrupts.rows().at(0).cpus);
}

TEST_CASE("what is ours is looked at until it is not, and known for a while after") {
    Interrupts interrupts;
    interrupts.begin(0, at(0s));
    interrupts.update(host, std::vector{interrupt(24, 0)});
    interrupts.begin(0, at(1s));
    interrupts.update(host, std::vector{interrupt(24, 1000)});
    CHECK_FALSE(interrupts.holds_any());
    interrupts.hold(object(24));
    interrupts.let_go_unless([](const ObjectKey& held) { return held == object(24); });
    CHECK(interrupts.holds_any());
    interrupts.begin(std::nullopt, at(3h));
    CHECK_FALSE(interrupts.rows().at(0).cpus); // nobody has looked in this tick
    interrupts.update(host, std::vector{interrupt(24, 1000)});
    CHECK(interrupts.rows().at(0).cpus == 3);
    CHECK(interrupts.rows().at(0).per_second == 0);
    interrupts.let_go_unless([](const ObjectKey&) { return false; });
    CHECK_FALSE(interrupts.holds_any());
    interrupts.begin(std::nullopt, at(3h + 1s));
    CHECK(interrupts.rows().empty());
}

TEST_CASE("what a device received is told with its interrupts, while a CPU is hot or one is ours") {
    Interrupts interrupts;
    interrupts.hold(object(24));
    for (int second = 0; second <= 4; ++second) {
        auto there = std::vector{interrupt(24, 0), interrupt(25, 0)};
        for (auto& each : there)
            each.received = {.packets = static_cast<std::uint64_t>(second) * 500,
                             .bytes = static_cast<std::uint64_t>(second) * 90000};
        interrupts.begin(std::nullopt, at(std::chrono::seconds(second)));
        interrupts.update(host, there);
    }
    CHECK(interrupts.rows().at(0).packets_per_second == 500);
    CHECK(interrupts.rows().at(0).mean_packets_per_second == 500);
    CHECK(interrupts.rows().at(0).bytes_per_second == 90000);
    CHECK(interrupts.rows().at(0).mean_bytes_per_second == 90000);
    interrupts.begin(std::nullopt, at(5s));
    CHECK(interrupts.rows().at(0).packets_per_second == 0);
    CHECK(interrupts.rows().at(0).bytes_per_second == 0);
}

TEST_CASE("an interrupt of ours that its device has no more is gone, whoever has its number now") {
    Interrupts interrupts;
    interrupts.hold(object(24));
    interrupts.begin(std::nullopt, at(0s));
    interrupts.update(host, std::vector{interrupt(24, 0)});
    REQUIRE(interrupts.rows().size() == 1);
    auto others = interrupt(24, 0);
    others.ifindex = 3;
    interrupts.begin(std::nullopt, at(1s));
    interrupts.update(host, std::vector{others});
    CHECK(interrupts.rows().empty());
    CHECK_FALSE(interrupts.holds_any());
}
