// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.hpp"

#include <cstdlib>
#include <fstream>

#include <catch2/catch.hpp>

using namespace bpftune::sys;

namespace {

// A /proc whose mountinfo shows a cgroup2 file system, and that file system's folder.
class Machine {
public:
    Machine() { std::filesystem::create_directories(proc() / "self"); }
    ~Machine() { std::filesystem::remove_all(root_); }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] std::filesystem::path proc() const { return root_ / "proc"; }
    [[nodiscard]] std::filesystem::path cgroup() const { return root_ / "cgroup"; }
    void mount(const std::string& root) const {
        std::filesystem::create_directories(cgroup());
        std::ofstream(proc() / "self/mountinfo")
            << "30 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n40 30 0:37 " << root << " " << cgroup().string()
            << " rw shared:9 - cgroup2 cg rw\n";
    }

private:
    static std::filesystem::path make() {
        std::string name = std::filesystem::temp_directory_path() / "bpftune-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        return name;
    }
    std::filesystem::path root_ = make();
};

} // namespace

TEST_CASE("mounts are told with their roots and types, escapes undone, optional fields passed over") {
    const auto mounts =
        parse_mountinfo("24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
                        "40 30 0:37 /kube\\040pods /sys/fs/cgroup/- rw shared:9 master:1 - cgroup2 c rw\n"
                        "short line\n"
                        "41 30 0:37 / /a rw -\n");
    REQUIRE(mounts.size() == 2);
    CHECK(mounts[0] == Mount{"/", "/", "ext4"});
    CHECK(mounts[1] == Mount{"/kube pods", "/sys/fs/cgroup/-", "cgroup2"});
}

TEST_CASE("the cgroup2 root is where the hierarchy is mounted whole") {
    const Machine machine;
    SECTION("on the node") { machine.mount("/"); }
    SECTION("in a container, whose cgroup namespace begins below it") { machine.mount("/../.."); }
    const auto root = cgroup2_root(machine.proc());
    REQUIRE(root.has_value());
    CHECK(*root == machine.cgroup());
}

TEST_CASE("a part of the hierarchy is not taken for its root, and none at all is said") {
    const Machine machine;
    SECTION("by its mount") { machine.mount("/kubepods"); }
    SECTION("in a cgroup namespace, where every mount's root is /") {
        machine.mount("/");
        std::ofstream(machine.cgroup() / "cgroup.type") << "domain\n";
    }
    SECTION("in a cgroup namespace, of its sibling") {
        machine.mount("/../other");
        std::ofstream(machine.cgroup() / "cgroup.type") << "domain\n";
    }
    CHECK(cgroup2_root(machine.proc()).error().message.find("only a part of the cgroup2 hierarchy") !=
          std::string::npos);
    std::ofstream(machine.proc() / "self/mountinfo") << "24 1 254:0 / / rw - ext4 /dev/vda rw\n";
    CHECK(cgroup2_root(machine.proc()).error().message == "no cgroup2 hierarchy is mounted here");
}

namespace {

constexpr const char* with_namespaces = "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
                                        "75 24 0:4 net:[4026532300] /run/docker/netns/1f2e rw - nsfs nsfs rw\n"
                                        "70 24 0:4 net:[4026532247] /run/netns/cni\\040one\\134 rw - nsfs nsfs rw\n"
                                        "71 24 0:4 net:[40265322471] /run/netns/longer rw shared:9 - nsfs nsfs rw\n"
                                        "72 24 0:4 pid:[4026532999] /run/pidns rw - nsfs nsfs rw\n"
                                        "73 24 254:0 /net:[4026532111] /lie rw - ext4 /dev/vda rw\n"
                                        "76 24 0:4 net:[4026532300] /run/netns/router rw - nsfs nsfs rw\n"
                                        "77 24 0:4 net:[4026532300] /run/netns/router rw - nsfs nsfs rw\n"
                                        "short net:[1] line";

} // namespace

TEST_CASE("bound namespaces come by number, with the names of ip netns first, unescaped, each once") {
    const std::vector<bpftune::sys::BoundNetns> expected{{4026532247, "/run/netns/cni one\\"},
                                                         {4026532300, "/run/netns/router"},
                                                         {4026532300, "/run/docker/netns/1f2e"}};
    CHECK(bpftune::sys::bound_namespaces(with_namespaces) == expected);
    CHECK(expected[2].name() == "1f2e");
    CHECK(bpftune::sys::bound_namespaces("").empty());
}
