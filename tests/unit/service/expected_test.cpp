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
        const auto file = path_ / "proc/sys" / sysctl;
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
