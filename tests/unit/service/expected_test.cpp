// SPDX-License-Identifier: Apache-2.0
#include "service/expected.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>
#include <sys/stat.h>

using namespace bpftune;
using namespace bpftune::service;

namespace {

// A /proc/sys with just the files that a test writes.
class Root {
public:
    Root() {
        std::string name = std::filesystem::temp_directory_path() / "bpftune-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;
    ~Root() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::filesystem::path write(const std::string& sysctl, const std::string& text) const {
        return write_at("proc/sys/" + sysctl, text);
    }
    std::filesystem::path write_at(const std::string& path,
                                   const std::string& text) const { // NOLINT(modernize-use-nodiscard)
        const auto file = path_ / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
        return file;
    }
    [[nodiscard]] ExpectedSysctl read(const std::string& sysctl, const NetnsId& host = own()) const {
        policy::Policy policy;
        policy.expect = {{.name = "x", .path = sysctl, .value = "1"}};
        return read_expected(policy, host, path_).at(0);
    }

    static NetnsId own() {
        struct stat about{};
        REQUIRE(::stat("/proc/self/ns/net", &about) == 0);
        return {.cookie = 1, .inode = static_cast<std::uint32_t>(about.st_ino)};
    }

private:
    std::filesystem::path path_;
};

} // namespace

TEST_CASE("an expected sysctl is read with one blank between its words, and made fit to show") {
    const Root root;
    (void)root.write("net/ipv4/x", "4096\t131072  6291456\n");
    CHECK(root.read("net/ipv4/x").found == "4096 131072 6291456");
    (void)root.write("net/ipv4/x", "\x1b[2J\n");
    CHECK(root.read("net/ipv4/x").found == "\\x1b[2J");
    (void)root.write("net/ipv4/x", "1\n");
    CHECK(root.read("net/ipv4/x").is_met());
}

TEST_CASE("why an expected sysctl is not there is said") {
    const Root root;
    (void)root.write("net/ipv4/conf/all/forwarding", "1");
    const auto why = [&](const std::string& sysctl) {
        const ExpectedSysctl each = root.read(sysctl);
        CHECK(each.absent);
        CHECK_FALSE(each.found);
        return each.why_not;
    };
    CHECK(why("net/bridge/bridge-nf-call-iptables") == "br_netfilter is not loaded");
    CHECK(why("net/netfilter/nf_conntrack_max") == "nf_conntrack is not loaded");
    CHECK(why("net/ipv6/conf/all/forwarding") == "this kernel has no IPv6");
    CHECK(why("net/ipv4/conf/eth7/forwarding") == "there is no network device eth7");
    CHECK(why("net/ipv4/conf/all/forwardin") == "there is no such sysctl on this node");
}

TEST_CASE("what is not for everybody to read, a folder, and another network namespace are not read") {
    const Root root;
    ::chmod(root.write("net/ipv4/tcp_fastopen_key", "1").c_str(), 0600);
    (void)root.write("net/ipv4/x", "1");
    for (const ExpectedSysctl& each :
         {root.read("net/ipv4/tcp_fastopen_key"), root.read("net/ipv4"),
          root.read("net/ipv4/x", {.cookie = 1, .inode = 5}), root.read("net/ipv4/x", {})}) {
        CHECK_FALSE(each.found);
        CHECK_FALSE(each.absent);
        CHECK_FALSE(each.why_not.empty());
    }
}

TEST_CASE("settings of devices are those of all hardware, by queue and by interrupt") {
    const Root root;
    const std::string device = "sys/class/net/eth0/";
    root.write_at(device + "device/msi_irqs/30", "msix");
    root.write_at(device + "device/msi_irqs/4", "msix");
    root.write_at("proc/irq/30/smp_affinity", "00000000,00000003\n");
    root.write_at("proc/irq/4/smp_affinity", "00000000,00000003\n");
    root.write_at(device + "queues/rx-0/rps_flow_cnt", "0\n");
    root.write_at(device + "queues/rx-1/rps_flow_cnt", "4096\n");
    root.write_at(device + "queues/tx-0/xps_cpus", "1\n");
    root.write_at("sys/class/net/veth0/queues/rx-0/rps_flow_cnt", "7\n"); // no hardware
    CHECK(root.read("smp_affinity").found == "3");
    CHECK(root.read("xps_cpus").found == "1");
    CHECK(root.read("xps_cpus").is_met());
    CHECK(root.read("rps_flow_cnt").found == "0 (eth0 rx-0), 4096 (eth0 rx-1)");
}

TEST_CASE("interrupts of a virtio device are those of the device that it stands on") {
    const Root root;
    const auto pci = root.write_at("sys/devices/pci0/msi_irqs/25", "msix").parent_path().parent_path();
    std::filesystem::create_directories(pci / "virtio1");
    root.write_at("sys/class/net/eth0/address", "");
    std::filesystem::create_directory_symlink(pci / "virtio1",
                                              pci.parent_path().parent_path() / "class/net/eth0/device");
    root.write_at("proc/irq/25/smp_affinity", "2\n");
    CHECK(root.read("smp_affinity").found == "2");
}

TEST_CASE("a device whose link points to where virtual ones are is asked for nothing, another one's is followed") {
    const Root root;
    const auto net = root.write_at("sys/class/net/bonding_masters", "").parent_path();
    for (const std::string place : {"virtual/net/veth0", "pci0/net/eth0"}) {
        root.write_at("sys/devices/" + place + "/device/uevent", "");
        root.write_at("sys/devices/" + place + "/queues/rx-0/rps_flow_cnt", place.starts_with("v") ? "7\n" : "0\n");
        std::filesystem::create_directory_symlink("../../devices/" + place, net / place.substr(place.rfind('/') + 1));
    }
    CHECK(root.read("rps_flow_cnt").found == "0");
}

TEST_CASE("where no device is hardware its settings are not there") {
    const Root root;
    root.write_at("sys/class/net/veth0/queues/rx-0/rps_flow_cnt", "7\n");
    const ExpectedSysctl read = root.read("rps_flow_cnt");
    CHECK(read.absent);
    CHECK_FALSE(read.found);
    CHECK(read.why_not.starts_with("no hardware device of this node shows rps_flow_cnt"));
}

TEST_CASE("what set an expected sysctl at boot is named with file and line, by either name") {
    const Root root;
    (void)root.write("../../etc/sysctl.d/9-router.conf", "# off\nnet.ipv4.conf.all.forwarding = 0\n");
    const auto base = std::filesystem::path(root.write("net/x", "")).parent_path() / "../../..";
    const SetBy set_by(base.lexically_normal());
    const std::string said = set_at_boot(set_by, "net/ipv4/ip_forward");
    CAPTURE(said);
    CHECK(said.find("9-router.conf:2: 0") != std::string::npos);
    CHECK(set_at_boot(set_by, "net/ipv4/tcp_sack") == "no file of sysctl.d sets it");
}

TEST_CASE("of a setting of devices it is not said that sysctl.d could set it") {
    const Root root;
    CHECK(set_at_boot(SetBy("/"), "smp_affinity") == "drivers, udev rules and daemons (irqbalance, tuned) set such");
}
