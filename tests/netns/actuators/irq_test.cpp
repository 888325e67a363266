// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <catch2/catch.hpp>

#include "actuators/journal.hpp"
#include "actuators/restore.hpp"
#include "actuators/writer.hpp"
#include "netns/interrupts.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Writer;

namespace {

constexpr TunableId tunable = TunableId::smp_affinity;

Outcome::Kind kind(const Outcome& outcome) {
    UNSCOPED_INFO(outcome.error);
    return outcome.kind;
}

} // namespace

// It goes there with the next one that is raised (kernel/irq/migration.c), by effective_affinity as well.
TEST_CASE("an interrupt is given to another CPU, and what it is set to is read back", "[.][queues]") {
    const TwoQueues queues;
    const std::uint32_t irq = queues.input[1];
    auto writer = take(Writer::start());
    const Scope scope = queues.scope(irq);
    CHECK(take(writer.read(tunable, scope)) == 1);
    const Outcome outcome = writer.write(tunable, scope, 1, 2);
    CHECK(kind(outcome) == Outcome::Kind::written);
    CHECK(outcome.value == 2);
    CHECK(TwoQueues::cpus(irq) == "2");
    CHECK(TwoQueues::cpus(queues.input[0]) == "1");
    CHECK(kind(writer.write(tunable, scope, 1, 3)) == Outcome::Kind::conflict);
    CHECK(TwoQueues::cpus(irq) == "2");
    CHECK(kind(writer.lower(tunable, scope, 2, 1)) == Outcome::Kind::written);
    CHECK(TwoQueues::cpus(irq) == "1");
}

TEST_CASE("a CPU that this machine does not have is refused, and the interrupt stays where it is", "[.][queues]") {
    const TwoQueues queues;
    auto writer = take(Writer::start());
    for (const std::uint64_t cpus : {std::uint64_t{0}, std::uint64_t{1} << 63})
        CHECK(kind(writer.write(tunable, queues.scope(queues.input[1]), 1, cpus)) == Outcome::Kind::failed);
    CHECK(TwoQueues::cpus(queues.input[1]) == "1");
}

TEST_CASE("an interrupt that is not the device's, by its number and index, is not touched", "[.][queues]") {
    const TwoQueues queues;
    const std::uint32_t irq = queues.input[1];
    auto writer = take(Writer::start());
    Scope scope = queues.scope(irq);
    const std::uint32_t serial = 4; // the machine's console
    const std::string before = TwoQueues::cpus(serial);
    SECTION("another device's") { scope.queue->queue = serial; }
    SECTION("of a device that is not there") { scope.queue->ifindex += 1000; }
    SECTION("of one that has none") { scope.queue->ifindex = 1; }
    CHECK(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::gone);
    CHECK(TwoQueues::cpus(irq) == "1");
    CHECK(TwoQueues::cpus(serial) == before);
}

TEST_CASE("no network namespace but the first has interrupts", "[.][queues]") {
    const TwoQueues queues;
    const Namespace other;
    const Process resident{other, [] { return std::uint64_t{0}; }};
    auto writer = take(Writer::start());
    Scope scope = queues.scope(queues.input[1]);
    scope.netns = id_of(other);
    CHECK(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::failed);
    CHECK(TwoQueues::cpus(queues.input[1]) == "1");
}

TEST_CASE("a device that has another name by now has the same interrupts", "[.][queues]") {
    const TwoQueues queues;
    const std::uint32_t irq = queues.input[1];
    auto writer = take(Writer::start());
    const Scope scope = queues.scope(irq);
    REQUIRE(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::written);
    shell("ip link set eth0 down && ip link set eth0 name uplink");
    CHECK(kind(writer.write(tunable, scope, 2, 1)) == Outcome::Kind::written);
    CHECK(TwoQueues::cpus(irq) == "1");
    shell("ip link set uplink name eth0");
}

TEST_CASE("an interrupt whose device was unplugged is gone, whoever has its number then", "[.][queues]") {
    const TwoQueues queues;
    const std::uint32_t irq = queues.input[1];
    auto writer = take(Writer::start());
    const Scope scope = queues.scope(irq);
    shell("basename $(realpath /sys/class/net/eth0/device) > /run/eth0-device && "
          "cat /run/eth0-device > /sys/bus/virtio/drivers/virtio_net/unbind");
    CHECK(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::gone);
    shell("cat /run/eth0-device > /sys/bus/virtio/drivers/virtio_net/bind");
    const TwoQueues again;
    CHECK(again.ifindex != queues.ifindex);
    CHECK(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::gone);
    for (const std::uint32_t each : again.input) CHECK(TwoQueues::cpus(each) == "1");
}

TEST_CASE("restore puts an interrupt back, and leaves one that somebody has moved since", "[.][queues]") {
    const TwoQueues queues;
    const std::uint32_t irq = queues.input[1];
    auto writer = take(Writer::start());
    const TemporaryDirectory directory;
    auto journal = take(actuators::Journal::open(directory.path(), "3f1c0a8e-5b7d-4a52-9d9f-0c6a2b1e4d77"));
    const Scope scope = queues.scope(irq);
    TwoQueues::set(irq, "3"); // the original is the larger number
    take(journal.begin(
        Change{.tunable = tunable, .scope = scope, .from = "3", .to = "2", .state = ChangeState::applied}));
    REQUIRE(kind(writer.write(tunable, scope, 3, 2)) == Outcome::Kind::written);
    const bool is_foreign = GENERATE(false, true);
    if (is_foreign) TwoQueues::set(irq, "1");
    const auto restored = take(actuators::restore(journal, writer, {}));
    REQUIRE(restored.size() == 1);
    CHECK(restored[0].kind == (is_foreign ? actuators::Restored::Kind::foreign : actuators::Restored::Kind::restored));
    CHECK(TwoQueues::cpus(irq) == (is_foreign ? "1" : "3"));
}
