// SPDX-License-Identifier: Apache-2.0
#include "service/set_by.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace bpftune;
using bpftune::service::SetBy;

namespace {

using Lines = std::vector<std::string>;

// The root of a file system with just the files that a test writes.
class Root {
public:
    ~Root() { std::filesystem::remove_all(path_); }
    Root() = default;
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    void write(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories((path_ / file).parent_path());
        std::ofstream(path_ / file) << text;
    }
    void link(const std::string& file, const std::string& to) const {
        std::filesystem::create_directories((path_ / file).parent_path());
        std::filesystem::create_symlink(to, path_ / file);
    }
    [[nodiscard]] Lines set(TunableId tunable) const {
        Lines lines = SetBy(path_).of(tunables::row(tunable));
        for (std::string& line : lines)
            for (std::size_t at = 0; (at = line.find(path_.string())) != std::string::npos;)
                line.erase(at, path_.string().size());
        return lines;
    }

private:
    static std::filesystem::path make() {
        std::string name = std::filesystem::temp_directory_path() / "bpftune-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        return std::filesystem::canonical(name);
    }
    std::filesystem::path path_ = make();
};

} // namespace

TEST_CASE("of several files that set a sysctl the last by name counts, whatever its folder") {
    const Root root;
    root.write("etc/sysctl.d/10-a.conf", "net.core.somaxconn = 1024\n");
    root.write("usr/lib/sysctl.d/50-b.conf", "# a comment = 1\n\n -net.core.somaxconn=2048\n");
    CHECK(root.set(TunableId::somaxconn) ==
          Lines{"/etc/sysctl.d/10-a.conf:1: 1024 (overridden by /usr/lib/sysctl.d/50-b.conf:3)",
                "/usr/lib/sysctl.d/50-b.conf:3: 2048"});
    CHECK(root.set(TunableId::conntrack_max) == Lines{});
}

TEST_CASE("a file of the same name in a stronger folder hides one, and a link to /dev/null masks it") {
    const Root root;
    root.link("etc/sysctl.d/z.conf", "/dev/null");
    root.write("usr/lib/sysctl.d/z.conf", "net.core.somaxconn = 1024\n");
    root.write("etc/sysctl.d/y.conf", "net.core.somaxconn = 512\n");
    root.write("run/sysctl.d/y.conf", "net.core.somaxconn = 256\n");
    CHECK(root.set(TunableId::somaxconn) == Lines{"/etc/sysctl.d/y.conf:1: 512",
                                                  "/run/sysctl.d/y.conf:1: 256 (overridden by /etc/sysctl.d/y.conf)",
                                                  "/usr/lib/sysctl.d/z.conf:1: 1024 (masked by /etc/sysctl.d/z.conf)"});
}

TEST_CASE("a sysctl is known by its other name, with slashes and by a pattern") {
    const Root root;
    root.write("etc/sysctl.d/a.conf", "net.nf_conntrack_max = 65536\nnet/netfilter/nf_conntrack_buckets = 8192\n"
                                      "net/core.somaxconn = 1\n");
    root.write("etc/sysctl.d/b.conf", "net.netfilter.nf_conntrack_m* = 131072\n");
    CHECK(root.set(TunableId::conntrack_max) ==
          Lines{"/etc/sysctl.d/a.conf:1: 65536 (as net.nf_conntrack_max)",
                "/etc/sysctl.d/b.conf:1: 131072 (as net.netfilter.nf_conntrack_m*, overridden by "
                "/etc/sysctl.d/a.conf:1)"});
    CHECK(root.set(TunableId::conntrack_buckets) == Lines{"/etc/sysctl.d/a.conf:2: 8192"});
    CHECK(root.set(TunableId::somaxconn) == Lines{});
}

TEST_CASE("a pattern does not mean what another line excludes") {
    const Root root;
    root.write("etc/sysctl.d/10-a.conf", "net.core.* = 5000\n-net.core.somaxconn\n");
    CHECK(root.set(TunableId::somaxconn).empty());
    root.write("etc/sysctl.d/20-b.conf", "net.core.somaxconn = 6000\n");
    CHECK(root.set(TunableId::somaxconn) == Lines{"/etc/sysctl.d/20-b.conf:1: 6000"});
}

TEST_CASE("a sysctl of the kernel's command line is the first to be set") {
    const Root root;
    root.write("proc/cmdline", "quiet sysctl.net.core.somaxconn=777 nf-conntrack.hashsize=4096\n");
    root.write("etc/sysctl.d/10-a.conf", "net.core.somaxconn = 1024\n");
    CHECK(root.set(TunableId::somaxconn) == Lines{"kernel command line: 777 (overridden by /etc/sysctl.d/10-a.conf:1)",
                                                  "/etc/sysctl.d/10-a.conf:1: 1024"});
    CHECK(root.set(TunableId::conntrack_buckets) ==
          Lines{"kernel command line: nf-conntrack.hashsize=4096 (when nf_conntrack is loaded)"});
}

TEST_CASE("an option of a module may go on in the next line") {
    const Root root;
    root.write("etc/modprobe.d/a.conf",
               "options nf_conntrack \\\n  hashsize=4096\noptions nf_conntrack hashsize=8192\n");
    CHECK(root.set(TunableId::conntrack_buckets) ==
          Lines{"/etc/modprobe.d/a.conf:1: hashsize=4096 (when nf_conntrack is loaded)",
                "/etc/modprobe.d/a.conf:3: hashsize=8192 (when nf_conntrack is loaded)"});
}

TEST_CASE("sysctl.conf counts once, also where a file of sysctl.d is a link to it") {
    const Root root;
    root.write("etc/sysctl.conf", "net.core.somaxconn = 4096\n");
    CHECK(root.set(TunableId::somaxconn) == Lines{"/etc/sysctl.conf:1: 4096"});
    root.link("etc/sysctl.d/99-sysctl.conf", "../sysctl.conf");
    CHECK(root.set(TunableId::somaxconn) == Lines{"/etc/sysctl.d/99-sysctl.conf:1: 4096"});
}

TEST_CASE("the hash size of nf_conntrack may be set when its module is loaded") {
    const Root root;
    root.write("etc/modprobe.d/nf.conf",
               "options nf-conntrack expect_hashsize=64  hashsize=16384\noptions ip hashsize=1\n");
    root.write("proc/cmdline", "quiet nf_conntrack.hashsize=32768 root=/dev/vda\n");
    CHECK(root.set(TunableId::conntrack_buckets) ==
          Lines{"/etc/modprobe.d/nf.conf:1: hashsize=16384 (when nf_conntrack is loaded)",
                "kernel command line: nf_conntrack.hashsize=32768 (when nf_conntrack is loaded)"});
}

TEST_CASE("kube-proxy is known as a program of its own and as a part of k3s, rke2 and MicroK8s") {
    const std::string command = GENERATE("kube-proxy", "k3s-server", "k3s-agent", "rke2", "kubelite");
    const Root root;
    root.write("proc/812/comm", command + "\n");
    root.write("proc/7/comm", "bash\n");
    CHECK(root.set(TunableId::conntrack_max) == Lines{command + " (pid 812)"});
    CHECK(root.set(TunableId::somaxconn) == Lines{});
}

TEST_CASE("what is in a file cannot write to the terminal") {
    const Root root;
    root.write("etc/sysctl.d/a.conf", "net.core.somaxconn = \x1b[2J\xff\n");
    CHECK(root.set(TunableId::somaxconn) == Lines{R"(/etc/sysctl.d/a.conf:1: \x1b[2J\xff)"});
}
