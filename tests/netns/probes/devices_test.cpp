// SPDX-License-Identifier: Apache-2.0
// What is read of network devices of a namespace that is not ours.
#include <catch2/catch.hpp>
#include <linux/capability.h>

#include "netns/namespace.hpp"
#include "probes/devices.hpp"
#include "sys/capabilities.hpp"
#include "sys/netns.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

template <class T> T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

void write_to(const char* path, const std::string& text) {
    std::ofstream file(path);
    file << text << std::flush;
    must(file.good(), std::string("write ") + path);
}

// Root in a user namespace of its own, in a network namespace of that.
std::uint64_t become_root_of_ones_own() {
    constexpr unsigned user = 123456;
    must(::setresgid(user, user, user) == 0 && ::setresuid(user, user, user) == 0, "setresuid");
    must(::prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
    must(::unshare(CLONE_NEWUSER) == 0, "unshare the user namespace");
    write_to("/proc/self/setgroups", "deny");
    write_to("/proc/self/uid_map", fmt::format("0 {} 1", user));
    write_to("/proc/self/gid_map", fmt::format("0 {} 1", user));
    must(::unshare(CLONE_NEWNET) == 0, "unshare the network namespace");
    shell("ip link add eth0 numrxqueues 3 type veth peer name eth1");
    return 0;
}

// By a thread that is root with the capabilities of the service and of its writer.
Result<std::vector<probes::DeviceReading>> devices_of(pid_t pid) {
    Result<std::vector<probes::DeviceReading>> devices;
    std::thread([&] {
        const auto visit = sys::visit_netns(take(sys::netns_of(pid)), {.pid = pid, .path = {}}, {.devices = true});
        const std::array kept{CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
        const auto has_kept = sys::keep_capabilities(kept);
        must(has_kept.has_value(), "keep capabilities");
        devices =
            visit ? probes::read_devices(*visit, [](auto, auto) { return true; }) : std::unexpected(visit.error());
    }).join();
    return devices;
}

} // namespace

TEST_CASE("a device whose files are those of a user namespace's root is known to be denied to us") {
    const Process process(become_root_of_ones_own);
    const auto devices = devices_of(process.pid());
    if (!devices && devices.error().code == ENOENT) { // older kernels show net.core in no namespace of such a user
        WARN("not visited: " << devices.error().message);
        return;
    }
    REQUIRE(devices);
    REQUIRE(devices->size() == 2);
    for (const probes::DeviceReading& device : *devices) {
        CHECK(device.is_denied);
        CHECK_FALSE(device.is_read_only);
        CHECK(device.rps_cpus == Cpus{});
    }
}

TEST_CASE("a device of a namespace of the node's own user is not denied, and its receive queues are counted") {
    const Namespace netns;
    for (const unsigned queues : {1, 2, 3, 7, 8, 60})
        shell(
            fmt::format("ip -n {0} link add d{1} numrxqueues {1} type veth peer name other{1}", netns.name(), queues));
    const Process resident(netns, [] { return std::uint64_t{0}; });
    auto devices = take(devices_of(resident.pid()));
    std::erase_if(devices, [](const probes::DeviceReading& device) { return device.name.starts_with("other"); });
    REQUIRE(devices.size() == 6);
    for (const probes::DeviceReading& device : devices) {
        CHECK_FALSE(device.is_denied);
        CHECK("d" + std::to_string(device.queues) == device.name);
    }
}
