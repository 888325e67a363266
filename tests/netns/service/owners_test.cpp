// SPDX-License-Identifier: Apache-2.0
// Whose listeners and namespaces are, by the cgroups of real processes.
#include "fixtures.hpp"
#include "netns/cgroup.hpp"
#include "netns/service/pod_logs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

sys::Fd listen_in_group() {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    must(::setsockopt(socket.value(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0, "share the port");
    const sockaddr_in at = address_of("127.0.0.1", port);
    must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
    must(::listen(socket.value(), 1000) == 0, "listen");
    return socket;
}

// A container's only process: its descriptors are its own, and are shown to no service, as it is not root's.
std::uint64_t serve(const Cgroup& cgroup, const std::function<sys::Fd()>& listen) {
    constexpr uid_t nobody = 65534;
    cgroup.enter();
    sys::Fd socket = listen();
    must(::setresuid(nobody, nobody, nobody) == 0, "become nobody");
    const std::uint64_t its_port = port_of(socket);
    static_cast<void>(socket.release());
    return its_port;
}

Process server_in(const Namespace& netns, const Cgroup& cgroup) {
    return Process(netns, [&] { return serve(cgroup, listen_in_group); });
}

Json pod_json(const std::string& ns, const std::string& name, const Json& container = nullptr) {
    return {{"namespace", ns}, {"name", name}, {"container", container}};
}

Json rows_of(const Json& top, const std::string& table, const Json& fields) { return row_where(top[table], fields); }

bool shows(const Home& home, const Json& listener, const Json& pod) {
    return comes_true([&] {
        const Json row = rows_of(home.top(), "listeners", listener);
        UNSCOPED_INFO(row.dump());
        return row.is_object() && row["pod"] == pod;
    });
}

// Before the program starts: this folder is /var/log, for it alone; and it asks no runtime that the machine may have.
Service::Settings with_logs(const fs::path& folder) {
    return {.more = {"--cri-socket", "none"}, .before = with_var_log(folder)};
}

struct NamedPod : PodCgroup {
    std::string ns = own_kubernetes_namespace();
    std::string name = "web-0";
};

} // namespace

TEST_CASE("a pod is known by its UID where nothing but its cgroup tells it") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const auto version = GENERATE(CgroupVersion::v1, CgroupVersion::v2);
    const Hierarchy hierarchy(version);
    const PodCgroup pod;
    const Cgroup cgroup(hierarchy, pod.path());
    const Namespace netns;
    const Process server = server_in(netns, cgroup);
    const Running service(home, with_logs(home / ""));
    CHECK(shows(home, {{"netns", netns.inode()}, {"port", port}}, pod_json("", pod.uid, pod.short_container())));
    const Json top = home.top();
    for (const std::string table : {"time_wait", "syn_queue", "tcp"})
        CHECK(rows_of(top, table, {{"netns", netns.inode()}})["pod"] == pod_json("", pod.uid));
}

TEST_CASE("a pod that comes while the service runs has its name by its logs, whatever is in it", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const TemporaryDirectory logs;
    fs::create_directory(logs / "pods");
    const Running service(home, with_logs(logs.path()));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const PodCgroup pod;
    const Cgroup cgroup(hierarchy, pod.path());
    const auto [ns, name, shown_ns, shown_name] = GENERATE(table<std::string, std::string, std::string, std::string>(
        {{"shop", "web-0", "shop", "web-0"}, {"\x1b[2J\n", "\"a\\\xff", "\\x1b[2J\\x0a", "\"a\\\\\\xff"}}));
    add_pod_log(logs.path(), ns, name, pod.uid);
    const Namespace netns;
    const Process server = server_in(netns, cgroup);
    CHECK(
        shows(home, {{"netns", netns.inode()}, {"port", port}}, pod_json(shown_ns, shown_name, pod.short_container())));
    CHECK(comes_true([&] { // at a tick: its listener tells it nothing, as the namespace is bound to a name
        return rows_of(home.top(), "time_wait", {{"netns", netns.inode()}})["pod"] == pod_json(shown_ns, shown_name);
    }));
}

TEST_CASE("a pod's listener in the node's own namespace is the pod's, and the namespace nobody's") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const PodCgroup pod;
    const Cgroup cgroup(hierarchy, pod.path());
    const Process server([&] { return serve(cgroup, [] { return listen_on("127.0.0.1", 0, 8); }); });
    const sys::Fd own = listen_on("127.0.0.1", 0, 8);
    const Running service(home, with_logs(home / ""));
    CHECK(shows(home, {{"port", server.value()}, {"pid", server.pid()}}, pod_json("", pod.uid, pod.short_container())));
    const Json top = home.top();
    CHECK(rows_of(top, "listeners", {{"port", port_of(own)}, {"pid", ::getpid()}})["pod"] == nullptr);
    struct stat host{};
    REQUIRE(::stat("/proc/2/ns/net", &host) == 0);
    CHECK(rows_of(top, "time_wait", {{"netns", host.st_ino}})["pod"] == nullptr);
}

TEST_CASE("a service in a pod of its own, with a cgroup namespace as containers have it, knows the others") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const PodCgroup own;
    const PodCgroup pod;
    const Cgroup own_cgroup(hierarchy, own.path());
    const Cgroup cgroup(hierarchy, pod.path());
    const Namespace netns;
    const Process server = server_in(netns, cgroup);
    const Running service(home, {.before = [&] {
                              own_cgroup.enter();
                              must(::unshare(CLONE_NEWCGROUP) == 0, "unshare cgroups");
                          }});
    CHECK(shows(home, {{"netns", netns.inode()}, {"port", port}}, pod_json("", pod.uid, pod.short_container())));
}

TEST_CASE("what is no pod is known by its unit of systemd") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const std::string unit = random_name("bpftune-") + ".service";
    const Cgroup cgroup(hierarchy, "bpftune.slice/bpftune-test.slice/" + unit);
    const Namespace netns;
    const Process server = server_in(netns, cgroup);
    const Process on_host([&] { return serve(cgroup, [] { return listen_on("127.0.0.1", 0, 8); }); });
    const Running service(home);
    CHECK(comes_true([&] {
        const Json top = home.top();
        const Json row = rows_of(top, "listeners", {{"netns", netns.inode()}, {"port", port}});
        const Json host_row = rows_of(top, "listeners", {{"port", on_host.value()}, {"pid", on_host.pid()}});
        const Json tcp = rows_of(top, "time_wait", {{"netns", netns.inode()}});
        return row.is_object() && row["unit"] == unit && row["pod"] == nullptr && host_row.is_object() &&
               host_row["unit"] == unit && tcp["unit"] == unit && tcp["netns_name"] == netns.name();
    }));
}

TEST_CASE("containers of one pod that share a port are told apart") {
    const Home home;
    home.set_policy(policy_text("owners", "mode: observe"));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const PodCgroup one;
    const PodCgroup two{.uid = one.uid};
    const Cgroup cgroup_of_one(hierarchy, one.path());
    const Cgroup cgroup_of_two(hierarchy, two.path());
    const Namespace netns;
    const Process first = server_in(netns, cgroup_of_one);
    const Process second = server_in(netns, cgroup_of_two);
    const Running service(home, with_logs(home / ""));
    CHECK(shows(home, {{"netns", netns.inode()}, {"pid", first.pid()}}, pod_json("", one.uid, one.short_container())));
    CHECK(shows(home, {{"netns", netns.inode()}, {"pid", second.pid()}}, pod_json("", one.uid, two.short_container())));
}

TEST_CASE("what is changed for a pod says so, also of one that has come since the last tick", "[any-kernel]") {
    const Home home;
    const NamedPod pod;
    const TemporaryDirectory logs;
    add_pod_log(logs.path(), pod.ns, pod.name, pod.uid);
    home.set_policy(policy_text_for("{match: {namespace: " + pod.ns + "}}", "owners", "mode: auto"));
    Service::Settings settings = with_logs(logs.path());
    settings.interval = "1m";
    const Running service(home, settings);
    if (is_blind(sees_arrivals(home), "pressure")) return;
    const Hierarchy hierarchy(CgroupVersion::v2);
    const Cgroup cgroup(hierarchy, pod.path());
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "8");
    const Process server(netns, [&] {
        cgroup.enter();
        static const sys::Fd listener = listen_on("127.0.0.1", port, 1000);
        std::thread([] {
            while (true) {
                static_cast<void>(await(listener, POLLIN, 1000));
                accept_all(listener);
            }
        }).detach();
        return std::uint64_t{0};
    });
    Json change;
    CHECK(comes_true([&] {
        const auto connected = netns.inside([] { return clients(40, "127.0.0.1", port); });
        for (const Json& each : home.history())
            if (each["scope"]["netns"] == netns.inode()) change = each;
        return !change.is_null();
    }));
    INFO(change.dump());
    CHECK(change["scope"]["pod"] == Json{{"namespace", pod.ns}, {"name", pod.name}});
}

TEST_CASE("policy show tells what holds for a pod that is here, by its name or its UID", "[any-kernel]") {
    const Home home;
    const NamedPod pod;
    const TemporaryDirectory logs;
    add_pod_log(logs.path(), pod.ns, pod.name, pod.uid);
    home.set_policy(policy_text_for("{match: {namespace: " + pod.ns + "}, mode: recommend}", "owners", "mode: auto"));
    const Hierarchy hierarchy(CgroupVersion::v2);
    const Cgroup cgroup(hierarchy, pod.path());
    const Namespace netns;
    const Process server = server_in(netns, cgroup);
    const Running service(home, with_logs(logs.path()));
    const std::string called = pod.ns + "/" + pod.name;
    const auto show = [&](const std::string& name) {
        return run({"policy", "show", "--pod", name, "--socket", home.socket()});
    };
    REQUIRE(comes_true([&] { return show(called).status == 0; })); // from the first look on
    const Ran shown = show(called);
    CHECK_THAT(shown.out, Catch::StartsWith("# in force: " + home.policy().string() + "\n# pod " + called +
                                            ": known by logs, BestEffort\n"
                                            "# policy.yaml:6 is about it: mode recommend\n"));
    CHECK_THAT(shown.out, Catch::Contains("\n  mode: recommend\n"));
    CHECK(show(pod.uid).out == shown.out);
    write_text(home / "shown.yaml", shown.out); // what is left of the policy is one
    CHECK(run({"policy", "check", home / "shown.yaml"}).status == 0);
    CHECK(show(pod.ns + "/other").status == 1);
}
