// SPDX-License-Identifier: Apache-2.0
// Network namespaces that somebody who may do nothing made for himself, in a user namespace of his own.
#include "fixtures.hpp"
#include "netns/cgroup.hpp"
#include "netns/users.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

enum class Short { queue, table }; // what is too short for the clients: their server's, or that of connections

// As `unshare -r`.
void become_root_of_user_ns() {
    must(::prctl(PR_SET_DUMPABLE, 1) == 0, "own /proc/self");
    must(sys::write_file("/proc/self/uid_map", fmt::format("0 {} 1", nobody)).has_value(), "map nobody");
}

// `unshare -Urn` as nobody, in this cgroup, with a server and more clients than it takes until the object's end.
class UserNetns {
public:
    explicit UserNetns(const Cgroup& cgroup, Short what = Short::queue) {
        std::array<int, 2> told{};
        must(::pipe2(told.data(), O_CLOEXEC) == 0, "pipe");
        pid_ = ::fork();
        must(pid_ >= 0, "fork");
        if (pid_ == 0) overflow(cgroup, what, told[1]);
        ::close(told[1]);
        const sys::Fd from(told[0]);
        must(::read(from.value(), &inode_, sizeof inode_) == sizeof inode_, "make a namespace as nobody");
    }
    UserNetns(const UserNetns&) = delete;
    UserNetns& operator=(const UserNetns&) = delete;
    ~UserNetns() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] std::uint64_t inode() const { return inode_; }
    [[nodiscard]] std::uint64_t somaxconn() const {
        const Process look([this] {
            const sys::Fd netns(::open(fmt::format("/proc/{}/ns/net", pid_).c_str(), O_RDONLY | O_CLOEXEC));
            must(::setns(netns.value(), CLONE_NEWNET) == 0, "enter it");
            return take(sys::read_number(own_somaxconn));
        });
        return look.value();
    }

private:
    [[noreturn]] static void overflow(const Cgroup& cgroup, Short what, int told) {
        try {
            cgroup.enter();
            become_nobody();
            ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a change of credentials clears it
            must(unshare_netns(), "unshare");
            if (what == Short::queue) must(sys::write_file(own_somaxconn, "8").has_value(), "set somaxconn");
            if (what == Short::table) {
                become_root_of_user_ns();
                track_connections_here();
            }
            const sys::Fd listener = listen_on("127.0.0.1", port, 1000);
            struct stat status{};
            must(::stat("/proc/self/ns/net", &status) == 0, "stat the namespace");
            const std::uint64_t inode = status.st_ino;
            must(::write(told, &inode, sizeof inode) == sizeof inode, "tell it");
            while (true) {
                const auto connected = clients(40, "127.0.0.1", port);
                static_cast<void>(await(listener, POLLIN, 1000));
                accept_all(listener);
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
            }
        } catch (const std::exception&) {
            ::_exit(1);
        }
    }

    pid_t pid_ = -1;
    std::uint64_t inode_ = 0;
};

Json somaxconn_row(const Home& home, const UserNetns& in) {
    for (const Json& row : home.history())
        if (row["tunable"] == "net.core.somaxconn" && row["scope"]["netns"] == in.inode()) return row;
    return nullptr;
}

bool tells_of_table(const Home& home, std::uint64_t inode) {
    for (const Json& row : home.history())
        if (row["tunable"] == "net.netfilter.nf_conntrack_max" &&
            row["why"].get<std::string>().contains(fmt::format("netns {} ", inode)))
            return true;
    return false;
}

struct Unit {
    Hierarchy hierarchy{CgroupVersion::v2};
    std::string name = random_name("bpftune-") + ".scope";
    Cgroup cgroup{hierarchy, name};
};

} // namespace

TEST_CASE("a network namespace that a user made is left alone, and history says who and why") {
    if (!users_have_somaxconn()) return;
    const Home home;
    const Unit unit;
    const UserNetns user(unit.cgroup);
    home.set_policy("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: users}\n"
                    "spec:\n  mode: recommend\n"); // of everybody, so nothing is written
    const Running service(home);
    std::string why;
    REQUIRE(comes_true([&] {
        const Json row = somaxconn_row(home, user);
        if (row.is_object()) why = row["why"];
        return !why.empty();
    }));
    CHECK_THAT(why, Catch::EndsWith("left alone: in a user namespace of uid 65534: named by no entry of pods"));
}

TEST_CASE("a network namespace that a user made is tuned where an entry names its unit") {
    if (!users_have_somaxconn()) return;
    const Home home;
    const Unit unit, other;
    const UserNetns named(unit.cgroup), unnamed(other.cgroup);
    home.set_policy(policy_text_for("{match: {unit: " + unit.name + "}}", "users", "mode: auto"));
    const Running service(home);
    INFO(home.history().dump(1) << service.err());
    CHECK(comes_true([&] { return named.somaxconn() > 8; }));
    CHECK(unnamed.somaxconn() == 8);
}

TEST_CASE("nf_conntrack_max is raised for no connection table that a user has made and filled, but for another",
          "[any-kernel]") {
    const LoneHome home;
    if (!fs::exists(conntrack_max)) return; // nf_conntrack is not loaded
    const NodeValue max(conntrack_max, 100);
    const Unit unit;
    const UserNetns user(unit.cgroup, Short::table);
    home.set_policy("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: users}\n"
                    "spec:\n  mode: recommend\n"); // of everybody, so nothing is written
    const Running service(home);
    REQUIRE(comes_true([&] {
        const Json row = row_where(home.top()["conntrack"], {{"netns", user.inode()}});
        return row.is_object() && row["drops"] > 0;
    }));

    const Site site;
    track_connections(site.netns);
    const auto listener = site.listen(port);
    const auto connected = site.connect(200, port);
    INFO(home.top()["conntrack"].dump(1) << home.history().dump(1) << service.err());
    CHECK(comes_true([&] { return tells_of_table(home, site.netns.inode()); }));
    CHECK_FALSE(tells_of_table(home, user.inode()));
}
