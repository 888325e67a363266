// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <optional>
#include <string>

#include <catch2/catch.hpp>
#include <sys/sysinfo.h>

#include "actuators/journal.hpp"
#include "actuators/restore.hpp"
#include "actuators/writer.hpp"
#include "netns/device_files.hpp"
#include "sys/sysfs.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Writer;

namespace {

constexpr TunableId tunable = TunableId::rps_cpus;

Scope queue_of(const Namespace& netns, const std::string& device = "eth0") {
    Scope scope{.netns = id_of(netns), .netns_pid = 0, .listener = {}, .pod = {}};
    scope.queue = QueueRef{.device = device,
                           .ifindex = static_cast<std::uint32_t>(std::stoul(file_of(netns, device, "ifindex"))),
                           .queue = 0};
    return scope;
}

Outcome::Kind kind(const Outcome& outcome) {
    UNSCOPED_INFO(outcome.error);
    return outcome.kind;
}

} // namespace

TEST_CASE("the CPUs of a receive queue are written in its own namespace and in no other, and read back") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const Scope scope = queue_of(netns);
    CHECK(take(writer.read(tunable, scope)) == 0);
    const Outcome outcome = writer.write(tunable, scope, 0, 1);
    CHECK(kind(outcome) == Outcome::Kind::written);
    CHECK(outcome.value == 1);
    CHECK(cpus_of(netns) == "1");
    CHECK(cpus_of(other) == "0");
    CHECK(kind(writer.lower(tunable, scope, 1, 0)) == Outcome::Kind::written);
    CHECK(cpus_of(netns) == "0");
}

TEST_CASE("CPUs that somebody else has chosen are not written over") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const Scope scope = queue_of(netns);
    netns.inside([&] {
        const auto folder = take(sys::open_device(take(sys::mount_sysfs()), "eth0"));
        must(sys::write_below(folder, "queues/rx-0/rps_cpus", "1").has_value(), "choose CPUs");
    });
    const Outcome outcome = writer.write(tunable, scope, 0, 3);
    CHECK(kind(outcome) == Outcome::Kind::conflict);
    CHECK(outcome.value == 1);
    CHECK(cpus_of(netns) == "1");
}

TEST_CASE("a CPU that this machine cannot have is refused, and the queue stays as it was") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const Outcome outcome = writer.write(tunable, queue_of(netns), 0, std::uint64_t{1} << 63);
    CHECK(kind(outcome) == Outcome::Kind::failed);
    CHECK(cpus_of(netns) == "0");
}

TEST_CASE("nothing is set on a device that is gone, has another name, or is another by this name") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const Scope scope = queue_of(netns);
    std::optional<std::string> at; // where a write could have gone
    SECTION("it is deleted") { shell("ip -n " + netns.name() + " link del eth0"); }
    SECTION("it has another name") {
        shell(fmt::format("ip -n {0} link set eth0 down && ip -n {0} link set eth0 name uplink", netns.name()));
        at = "uplink";
    }
    SECTION("another one has its name") {
        shell(fmt::format("ip -n {0} link del eth0 && ip -n {0} link add eth0 type veth", netns.name()));
        at = "eth0";
    }
    SECTION("another one has its index") {
        shell(fmt::format("ip -n {0} link del eth0 && ip -n {0} link add veth7 index {1} type veth", netns.name(),
                          scope.queue->ifindex));
        at = "veth7";
    }
    SECTION("it is in another namespace now") {
        const Namespace third;
        shell(fmt::format("ip -n {} link set eth0 netns {}", netns.name(), third.name()));
        CHECK(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::gone);
        CHECK(cpus_of(third) == "0");
    }
    CHECK(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::gone);
    if (at) CHECK(cpus_of(netns, *at) == "0");
}

TEST_CASE("what was written comes back where the device has another name by then") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const Scope scope = queue_of(netns);
    REQUIRE(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::written);
    shell(fmt::format("ip -n {0} link set eth0 down && ip -n {0} link set eth0 name uplink && "
                      "ip -n {0} link add eth0 type veth",
                      netns.name()));
    CHECK(take(writer.read(tunable, scope)) == 1);
    CHECK(kind(writer.write(tunable, scope, 1, 0)) == Outcome::Kind::written);
    CHECK(cpus_of(netns, "uplink") == "0");
}

TEST_CASE("a queue that a device does not have, or none that is named, is not taken for another") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    Scope scope = queue_of(netns);
    scope.queue->queue = 7;
    CHECK(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::gone);
    for (const auto* name : {"", ".", "..", "../net/eth0", "eth0/queues", "a-name-that-is-far-too-long"}) {
        scope.queue->device = name;
        CHECK(kind(writer.write(tunable, scope, 0, 1)) != Outcome::Kind::written);
    }
    scope.queue.reset();
    CHECK(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::failed);
    CHECK(cpus_of(netns) == "0");
}

TEST_CASE("restore puts the CPUs of a receive queue back, and leaves those that somebody has set since") {
    const Namespace netns;
    const Namespace other;
    connect(netns, other);
    auto writer = take(Writer::start());
    const TemporaryDirectory directory;
    auto journal = take(actuators::Journal::open(directory.path(), "3f1c0a8e-5b7d-4a52-9d9f-0c6a2b1e4d77"));
    const Scope scope = queue_of(netns);
    take(journal.begin(
        Change{.tunable = tunable, .scope = scope, .from = "0", .to = "1", .state = ChangeState::applied}));
    REQUIRE(kind(writer.write(tunable, scope, 0, 1)) == Outcome::Kind::written);
    const bool is_foreign = GENERATE(false, true) && ::get_nprocs_conf() > 1; // with one CPU there is no third choice
    if (is_foreign) REQUIRE(kind(writer.write(tunable, scope, 1, 2)) == Outcome::Kind::written);
    const auto restored = take(actuators::restore(journal, writer, {}));
    REQUIRE(restored.size() == 1);
    CHECK(restored[0].kind == (is_foreign ? actuators::Restored::Kind::foreign : actuators::Restored::Kind::restored));
    CHECK(cpus_of(netns) == (is_foreign ? "2" : "0"));
}
