// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "signals/steering.hpp"

namespace bpftune::signals {
namespace {

using namespace std::chrono_literals;

constexpr NetnsId host{.cookie = 1, .inode = 4026531833};
constexpr NetnsId pod{.cookie = 2, .inode = 4026532000};

constexpr std::uint64_t bytes_each = 60; // of a packet

MonoTime at(Nanoseconds time) { return MonoTime(1h + time); }

std::vector<SoftirqCpu> cpus(double first, double second) {
    return {{.cpu = 0, .softirq_percent = first, .window_processed = 1000, .window_lost = 10},
            {.cpu = 1, .softirq_percent = second, .window_processed = 50}};
}

probes::DeviceReading device(const char* name, std::uint32_t ifindex, std::uint64_t first_cpus = 0) {
    return {.name = name, .ifindex = ifindex, .queues = 1, .rps_cpus = Cpus{.first = first_cpus}};
}

// A look at one device, as the collector does it: it is read if it is wanted.
void look(SteeredDevices& devices, const probes::DeviceReading& there, std::uint64_t packets,
          const NetnsId& netns = host) {
    std::vector<probes::DeviceReading> read;
    if (devices.wants(netns, there.name, {.packets = packets, .bytes = bytes_each * packets})) read.push_back(there);
    devices.update(probes::NetnsReading{.netns = netns, .pid = 7}, read);
}

ObjectKey queue_of(const NetnsId& netns, std::uint64_t ifindex) { return {TunableId::rps_cpus, netns, ifindex << 32}; }

bool nobody(const ObjectKey&) { return false; }

} // namespace

TEST_CASE("a CPU is hot for as long as it was at each look, with what all CPUs did in that time") {
    HotCpus hot;
    CHECK_FALSE(hot.tick(cpus(89, 5), 1s));
    CHECK(hot.tick(cpus(95, 5), 1s)->length == 1s);
    const auto second = hot.tick(cpus(95, 5), 2s);
    REQUIRE(second);
    CHECK(second->cpu == 0);
    CHECK(second->length == 3s);
    CHECK(second->processed == 2100);
    CHECK(second->lost == 20);
    CHECK(second->softirq_us == 3'000'000);
    CHECK(second->each == std::vector<CpuWork>{{.cpu = 0, .lost = 20, .softirq_us = 2'850'000},
                                               {.cpu = 1, .lost = 0, .softirq_us = 150'000}});
    CHECK_FALSE(hot.tick(cpus(50, 5), 1s));
    CHECK(hot.tick(cpus(95, 5), 1s)->length == 1s);
}

TEST_CASE("of two hot CPUs the one that has been so for longer is meant, and another one begins anew") {
    HotCpus hot;
    CHECK(hot.tick(cpus(95, 99), 1s)->cpu == 1);
    CHECK(hot.tick(cpus(99, 95), 1s)->cpu == 1);
    const auto other = hot.tick(cpus(99, 10), 1s);
    CHECK(other->cpu == 0);
    CHECK(other->length == 1s);
}

TEST_CASE("a CPU that is given more than it can take is hot, whatever tasks leave of it") {
    HotCpus hot;
    auto rows = cpus(60, 5);
    rows[0].needed_percent = 120;
    CHECK(hot.tick(rows, 1s));
}

TEST_CASE("a CPU that has nothing left is hot where most of its time is for packets") {
    auto rows = cpus(80, 5);
    rows[0].idle_percent = 0;
    CHECK(HotCpus().tick(rows, 1s));
    rows[0].idle_percent = 10;
    CHECK_FALSE(HotCpus().tick(rows, 1s));
    rows = cpus(70, 5);
    rows[0].idle_percent = 0;
    CHECK_FALSE(HotCpus().tick(rows, 1s));
}

TEST_CASE("of a long time the last ten seconds count") {
    HotCpus hot;
    for (int i = 0; i < 30; ++i) hot.tick(cpus(95, 5), 1s);
    CHECK(hot.tick(cpus(95, 5), 1s)->length == 10s);
    CHECK(hot.tick(cpus(95, 5), 1s)->processed == 10500);
    CHECK(hot.tick(cpus(95, 5), 1s)->each.front().lost == 100);
}

TEST_CASE("while no CPU is hot no device is wanted") {
    SteeredDevices devices;
    devices.begin(std::nullopt, at(1s));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 1000}));
    devices.begin(std::nullopt, at(2s));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 900000}));
    CHECK(devices.rows().empty());
}

TEST_CASE("a device that brings a quarter of a hot CPU's packets is looked at from the second look on") {
    SteeredDevices devices;
    for (const auto time : {1s, 2s}) {
        devices.begin(100000, at(time));
        look(devices, device("eth0", 2), 30000 * static_cast<std::uint64_t>(time.count()));
        look(devices, device("eth1", 3), 20000 * static_cast<std::uint64_t>(time.count()), pod);
    }
    const auto rows = devices.rows();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].name == "eth0");
    CHECK(rows[0].netns == host);
    CHECK(rows[0].pid == 7);
    CHECK(rows[0].packets_per_second == Approx(30000));
    CHECK(rows[0].bytes_per_second == Approx(30000 * bytes_each));
    CHECK(rows[0].rps_cpus == 0);
}

TEST_CASE("where namespaces take turns a device's packets count until its next, and its CPUs are not known meanwhile") {
    SteeredDevices devices;
    for (const auto time : {1s, 2s}) {
        devices.begin(100000, at(time));
        look(devices, device("eth0", 2), 30000 * static_cast<std::uint64_t>(time.count()));
    }
    devices.begin(100000, at(3s));
    CHECK(devices.rows().at(0).packets_per_second == Approx(30000));
    CHECK_FALSE(devices.rows().at(0).rps_cpus);
    devices.begin(100000, at(12s));
    look(devices, device("eth0", 2), 60000 + 10 * 26000);
    CHECK(devices.rows().at(0).packets_per_second == Approx(26000));
    devices.begin(std::nullopt, at(13s));
    CHECK(devices.rows().at(0).packets_per_second == 0);
}

TEST_CASE("counts of another device by the same name are no packets of this one") {
    SteeredDevices devices;
    devices.begin(100000, at(1s));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 900000}));
    devices.begin(100000, at(2s));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 50}));
    devices.begin(100000, at(3s));
    CHECK(devices.wants(host, "eth0", {.packets = 60050}));
}

TEST_CASE("bytes are of the packets that were received since, however large these have become") {
    ReceiveCount count;
    count.add({.packets = 1000, .bytes = 64000}, at(1s));
    count.add({.packets = 2000, .bytes = 128000}, at(2s));
    CHECK(count.per_second()->bytes == Approx(64000));
    count.add({.packets = 3000, .bytes = 2128000}, at(3s));
    CHECK(count.per_second()->packets == Approx(1000));
    CHECK(count.per_second()->bytes == Approx(2000000));
    count.add({.packets = 4000, .bytes = 0}, at(4s));
    CHECK_FALSE(count.per_second()); // another device
}

TEST_CASE("a look that comes sooner than a second goes on with the last rate") {
    SteeredDevices devices;
    devices.begin(100000, at(1s));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 0}));
    devices.begin(100000, at(1100ms));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 90000})); // a burst
    devices.begin(100000, at(2s));
    CHECK(devices.wants(host, "eth0", {.packets = 100000}));
}

TEST_CASE("a device's mean is that of ten seconds or so, once three are known") {
    SteeredDevices devices;
    std::uint64_t packets = 0;
    const auto look_on = [&](Nanoseconds from, Nanoseconds to, std::uint64_t per_second) {
        for (Nanoseconds time = from; time <= to; time += 1s, packets += per_second) {
            devices.begin(100000, at(time));
            look(devices, device("eth0", 2), packets);
        }
        const SteeredDevice row = devices.rows().at(0);
        CHECK(row.mean_bytes_per_second == Approx(bytes_each * row.mean_packets_per_second));
        return row.mean_packets_per_second;
    };
    CHECK(look_on(1s, 3s, 30000) == 0);
    CHECK(look_on(4s, 4s, 30000) == Approx(30000));
    CHECK(look_on(5s, 100s, 30000) == Approx(30000));
    CHECK(look_on(101s, 101s, 60000) == Approx(30000)); // these come after it
    CHECK(look_on(102s, 106s, 60000) == Approx(45000));
    CHECK(look_on(107s, 111s, 60000) == Approx(60000));
}

TEST_CASE("what a device of ours receives is known while no CPU is hot, and from before that") {
    SteeredDevices devices;
    for (const auto time : {1s, 2s}) {
        devices.begin(100000, at(time));
        look(devices, device("eth0", 2), 30000 * static_cast<std::uint64_t>(time.count()));
    }
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(3s));
    look(devices, device("eth0", 2, 2), 100000);
    CHECK(devices.rows().at(0).packets_per_second == Approx(40000));
    devices.let_go_unless(nobody, nobody);
    devices.begin(std::nullopt, at(4s));
    CHECK(devices.rows().at(0).packets_per_second == 0);
}

TEST_CASE("what is held by one that asks is what is not let go") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.hold(queue_of(pod, 2));
    devices.let_go_unless([](const ObjectKey& queue) { return queue == queue_of(pod, 2); }, nobody);
    CHECK_FALSE(devices.holds_any_in(host));
    CHECK(devices.holds_any_in(pod));
}

TEST_CASE("of many devices that are wanted a tick looks at a few, and the next ones at the others") {
    constexpr std::uint32_t most = SteeredDevices::most_at_once;
    SteeredDevices devices;
    devices.hold(queue_of(host, 2 * most + 5)); // after a restart: any of them may be it
    std::vector<std::size_t> looks;
    for (auto time = 1s; time <= 3s; time += 1s) {
        devices.begin(std::nullopt, at(time));
        std::vector<probes::DeviceReading> read;
        for (std::uint32_t index = 1; index <= 3 * most; ++index)
            if (const std::string name = fmt::format("veth{}", index); devices.wants(host, name, {.packets = 0}))
                read.push_back(device(name.c_str(), index, 2));
        looks.push_back(read.size());
        devices.update(probes::NetnsReading{.netns = host, .pid = 7}, read);
        CHECK(devices.holds_any_in(host));
    }
    CHECK(looks == std::vector<std::size_t>{most, most, most});
    REQUIRE(devices.rows().size() == 1);
    CHECK(devices.rows().front().rps_cpus == 2);
}

TEST_CASE("what is ours is looked at at each tick, by the name that its device has") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    CHECK(devices.holds_any_in(host));
    CHECK(devices.wants(host, "eth9", {.packets = 0})); // after a restart its name is not known
    look(devices, device("eth0", 2, 2), 0);
    CHECK(devices.rows().at(0).rps_cpus == 2);
    devices.begin(std::nullopt, at(2s));
    CHECK_FALSE(devices.wants(host, "eth9", {.packets = 0}));
    CHECK(devices.wants(host, "eth0", {.packets = 0}));
    CHECK_FALSE(devices.rows().at(0).rps_cpus); // nobody has looked in this tick
}

TEST_CASE("a device of ours that has another name is found by its index") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    look(devices, device("eth0", 2, 2), 0);
    devices.begin(std::nullopt, at(2s));
    devices.update({.netns = host}, {});
    CHECK(devices.rows().size() == 1);
    devices.begin(std::nullopt, at(3s));
    look(devices, device("uplink", 2, 2), 0);
    REQUIRE(devices.rows().size() == 1);
    CHECK(devices.rows().front().name == "uplink");
    CHECK(devices.rows().front().rps_cpus == 2);
}

TEST_CASE("a device of ours that is not there any more, by whatever name, is gone") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    look(devices, device("eth0", 2, 2), 0);
    devices.begin(std::nullopt, at(2s));
    SECTION("it is not there") {
        devices.update({.netns = host}, {}); // by its name
        CHECK(devices.holds_any_in(host));
        devices.begin(std::nullopt, at(3s));
        CHECK(devices.wants(host, "uplink", {.packets = 0})); // as which it may be
        devices.update({.netns = host}, {});
    }
    SECTION("its name is another's") {
        look(devices, device("eth0", 9, 0), 0);
        devices.begin(std::nullopt, at(3s));
        look(devices, device("eth0", 9, 0), 0);
    }
    SECTION("its namespace has ended") { devices.forget_all_but({}); }
    CHECK(devices.rows().empty());
    CHECK_FALSE(devices.holds_any_in(host));
}

TEST_CASE("what was taken back is remembered for two hours, so that its pause is") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    look(devices, device("eth0", 2, 2), 0);
    devices.let_go_unless(nobody, nobody);
    devices.begin(std::nullopt, at(1h));
    CHECK_FALSE(devices.holds_any_in(host));
    CHECK(devices.rows().size() == 1);
    devices.begin(std::nullopt, at(3h));
    CHECK(devices.rows().empty());
}

TEST_CASE(
    "what somebody else has set is not looked at any more, and remembered for as long as its namespace is there") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    look(devices, device("eth0", 2, 2), 0);
    devices.let_go_unless(nobody, [](const ObjectKey&) { return true; });
    devices.begin(std::nullopt, at(100h));
    CHECK_FALSE(devices.wants(host, "eth0", {.packets = 0}));
    CHECK(devices.rows().size() == 1);
    devices.gone(host);
    CHECK(devices.rows().empty());
}

TEST_CASE("CPUs past the first 64 are said to be there") {
    SteeredDevices devices;
    devices.hold(queue_of(host, 2));
    devices.begin(std::nullopt, at(1s));
    auto there = device("eth0", 2);
    there.rps_cpus = Cpus{.first = 3, .has_more = true};
    look(devices, there, 0);
    CHECK(devices.rows().at(0).has_more_cpus);
    CHECK_FALSE(devices.rows().at(0).rps_cpus);
}

} // namespace bpftune::signals
