// SPDX-License-Identifier: Apache-2.0
#include "kube/owners.hpp"

#include <filesystem>

#include <catch2/catch.hpp>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::kube;
using namespace std::chrono_literals;

namespace fs = std::filesystem;

namespace {

const std::string uid_a = "aaaaaaaa-3b1d-4e5f-9a0b-1c2d3e4f5a6b";
const std::string uid_b = "bbbbbbbb-3b1d-4e5f-9a0b-1c2d3e4f5a6b";
const std::string nginx_id(64, 'a');
const std::string sidecar_id(64, 'b');
constexpr NetnsId host{.cookie = 1, .inode = 4026531840};
constexpr NetnsId netns_a{.cookie = 2, .inode = 4026532001};
constexpr NetnsId netns_b{.cookie = 3, .inode = 4026532002};

CgroupOwner pod(const std::string& uid, const std::string& container = "") {
    return {.pod_uid = uid, .container_id = container, .runtime = "", .qos = QosClass::burstable, .unit = ""};
}
CgroupOwner unit(const std::string& name) { return {.unit = name}; }

// The processes of a node, and how often they were asked.
struct Node {
    struct Process {
        CgroupOwner owner;
        std::uint32_t netns = host.inode;
        MonoTime started;
        std::map<int, std::uint64_t> sockets; // by descriptor
        bool hides_sockets = false;
        int thread_of = 0; // 0: it is a process
    };
    std::map<int, Process> processes;
    bool answers = true; // what its sockets are
    int reads = 0;
    int questions = 0; // of what sockets are
};

class FakeProcesses : public Processes {
public:
    explicit FakeProcesses(Node& node) : node_(node) {}
    std::optional<CgroupOwner> owner(int pid) override {
        ++node_.reads;
        return of(pid) ? std::optional(of(pid)->owner) : std::nullopt;
    }
    std::optional<MonoTime> started(int pid) override {
        return of(pid) ? std::optional(of(pid)->started) : std::nullopt;
    }
    std::optional<int> process_of(int thread) override {
        if (of(thread) == nullptr) return std::nullopt;
        return of(thread)->thread_of != 0 ? of(thread)->thread_of : thread;
    }
    std::optional<std::uint32_t> netns_inode(int pid) override {
        return of(pid) ? std::optional(of(pid)->netns) : std::nullopt;
    }
    std::vector<bool> may_hold(int pid, std::span<const Descriptor> sockets) override {
        ++node_.questions;
        std::vector<bool> held;
        for (const Descriptor& each : sockets) held.push_back(holds(of(pid), each));
        return held;
    }

private:
    [[nodiscard]] bool holds(const Node::Process* process, const Descriptor& each) const {
        if (process == nullptr || !node_.answers) return false;
        if (process->hides_sockets) return true;
        const auto socket = process->sockets.find(each.fd);
        return socket != process->sockets.end() && socket->second == each.inode;
    }
    Node::Process* of(int pid) {
        const auto found = node_.processes.find(pid);
        return found == node_.processes.end() ? nullptr : &found->second;
    }
    Node& node_;
};

Listener listener(const NetnsId& netns, std::uint64_t cookie, int pid) {
    Listener row;
    row.netns = netns;
    row.cookie = cookie;
    row.inode = cookie + 1000;
    row.pid = pid;
    row.fd = 3;
    return row;
}

std::shared_ptr<Listing> listing_of_a() {
    auto listing = std::make_shared<Listing>();
    listing->sandboxes = {{.id = "sandbox-a",
                           .uid = uid_a,
                           .ns = "shop",
                           .name = "web-0",
                           .ready = true,
                           .labels = {{"app", "web"}},
                           .annotations = {{"bpftune-k8s.io/mode", "observe"}}}};
    listing->containers = {{.id = nginx_id, .sandbox_id = "sandbox-a", .name = "nginx", .running = true},
                           {.id = sidecar_id, .sandbox_id = "sandbox-a", .name = "proxy", .running = true}};
    return listing;
}

// A service on that node: `tick` and `event` are its snapshots.
struct Service {
    testing::TemporaryDirectory logs;
    Node node;
    int asked = 0;
    Owners owners{std::make_unique<FakeProcesses>(node), Pods(PodLogs(logs.path()), [this] { ++asked; })};
    Now now{.mono = MonoTime(100s), .wall = {}};

    void tell_logs(const std::string& name) const { fs::create_directory(logs / name); }
    void runs(int pid, CgroupOwner owner, const NetnsId& netns, std::vector<std::uint64_t> cookies = {}) {
        Node::Process process{.owner = std::move(owner), .netns = netns.inode, .started = now.mono - 1s, .sockets = {}};
        for (const std::uint64_t cookie : cookies) process.sockets[3] = cookie + 1000;
        node.processes[pid] = std::move(process);
    }

    void sends_thread(int thread, int process, const NetnsId& netns) {
        node.processes[thread] = node.processes.at(process);
        node.processes[thread].netns = netns.inode;
        node.processes[thread].thread_of = process;
    }

    static NetnsTcp row(const NetnsId& netns, int pid) {
        NetnsTcp tcp;
        tcp.netns = netns;
        tcp.pid = pid;
        return tcp;
    }
    Snapshot snapshot(Snapshot::Cause cause, std::vector<Listener> listeners) const {
        Snapshot made;
        made.cause = cause;
        made.time = now;
        made.host = host;
        made.listeners = std::move(listeners);
        return made;
    }
    Snapshot tick(const std::vector<std::pair<NetnsId, int>>& namespaces, std::vector<Listener> listeners = {}) {
        now.mono += 1s;
        Snapshot made = snapshot(Snapshot::Cause::tick, std::move(listeners));
        for (const auto& [netns, pid] : namespaces) {
            made.tcp.push_back(row(netns, pid));
            made.netns_names.push_back({.netns = netns, .bound = {}});
        }
        owners.name(made, now.mono);
        return made;
    }
    Snapshot event(std::vector<Listener> listeners) {
        now.mono += 10ms;
        Snapshot made = snapshot(Snapshot::Cause::pressure, std::move(listeners));
        for (const Listener& each : made.listeners)
            if (made.netns_names.empty()) made.netns_names.push_back({.netns = each.netns, .bound = {}});
        owners.name(made, now.mono);
        return made;
    }
};

} // namespace

TEST_CASE("all of a pod's namespace is the pod's, and a listener its container's as well") {
    Service service;
    service.owners.take(listing_of_a());
    service.runs(1, unit("init.scope"), host);
    service.runs(70, pod(uid_a, "sandbox-a"), netns_a);
    service.runs(71, pod(uid_a, nginx_id), netns_a, {7});
    service.runs(72, pod(uid_a, sidecar_id), netns_a, {8});
    Snapshot made = service.tick({{host, 1}, {netns_a, 70}}, {listener(netns_a, 7, 71), listener(netns_a, 8, 72)});
    const Pod expected{.ns = "shop", .name = "web-0", .container = "", .uid = uid_a};
    CHECK(made.tcp[0].pod == std::nullopt);
    CHECK(made.tcp[1].pod == expected);
    CHECK(made.netns_names[0] == NetnsNames{.netns = host, .bound = {}});
    CHECK(made.netns_names[1] == NetnsNames{.netns = netns_a, .bound = {}, .pod = expected});
    CHECK(made.listeners[0].pod == Pod{"shop", "web-0", "nginx", uid_a});
    CHECK(made.listeners[1].pod == Pod{"shop", "web-0", "proxy", uid_a});
    CHECK_FALSE(made.listeners[0].is_owner_unknown);
    REQUIRE(made.facts_of(expected) != nullptr);
    CHECK(*made.facts_of(expected) == PodFacts{.pod = expected,
                                               .source = PodSource::runtime,
                                               .qos = QosClass::burstable,
                                               .labels = {{"app", "web"}},
                                               .annotations = {{"bpftune-k8s.io/mode", "observe"}}});
    CHECK(service.asked == 0);
}

TEST_CASE("every row of a pod's namespace has it") {
    Service service;
    service.tell_logs("shop_web-0_" + uid_a);
    service.runs(70, pod(uid_a), netns_a);
    service.tick({{netns_a, 70}});
    Snapshot made = service.snapshot(Snapshot::Cause::tick, {});
    made.tcp = {Service::row(netns_a, 70)};
    made.buffers.resize(1);
    made.udp.resize(1);
    made.fragments.resize(1);
    made.conntrack.resize(1);
    made.steered.resize(1);
    made.socket_memory.resize(1);
    made.socket_memory[0].largest = MemoryHolder{.netns = netns_a};
    made.buffers[0].netns = made.udp[0].netns = made.fragments[0].netns = netns_a;
    made.conntrack[0].netns = made.steered[0].netns = netns_a;
    service.owners.name(made, service.now.mono);
    const Pod expected{.ns = "shop", .name = "web-0", .container = "", .uid = uid_a};
    CHECK(made.tcp[0].pod == expected);
    CHECK(made.buffers[0].pod == expected);
    CHECK(made.udp[0].pod == expected);
    CHECK(made.fragments[0].pod == expected);
    CHECK(made.conntrack[0].pod == expected);
    CHECK(made.steered[0].pod == expected);
    CHECK(made.socket_memory[0].largest->pod == expected);
    CHECK(made.pods.size() == 1);
}

TEST_CASE("in the node's own namespace a listener is that of its process, and the namespace is nobody's") {
    Service service;
    service.tell_logs("kube-system_proxy-x_" + uid_b);
    service.runs(1, unit("init.scope"), host);
    service.runs(50, pod(uid_b, nginx_id), host, {7});
    service.runs(51, unit("ssh.service"), host, {8});
    const Snapshot made =
        service.tick({{host, 1}}, {listener(host, 7, 50), listener(host, 8, 51), listener(host, 9, 0)});
    CHECK(made.listeners[0].pod == Pod{"kube-system", "proxy-x", nginx_id.substr(0, 12), uid_b});
    CHECK(made.listeners[0].unit.empty());
    CHECK(made.listeners[1].pod == std::nullopt);
    CHECK(made.listeners[1].unit == "ssh.service");
    CHECK_FALSE(made.listeners[1].is_owner_unknown);
    CHECK(made.listeners[2].is_owner_unknown); // whoever holds it
    CHECK(made.tcp[0].pod == std::nullopt);
    CHECK(made.netns_names[0].unit.empty());
    REQUIRE(made.pods.size() == 1);
    CHECK(made.pods[0].source == PodSource::logs);
}

TEST_CASE("of UDP sockets in the node's own namespace it is the same") {
    Service service;
    service.runs(50, pod(uid_b), host, {7});
    Snapshot made = service.snapshot(Snapshot::Cause::tick, {});
    made.tcp = {Service::row(host, 1)};
    UdpSocket socket;
    socket.netns = host;
    socket.cookie = 7;
    socket.inode = 1007;
    socket.pid = 50;
    socket.fd = 3;
    made.udp = {socket};
    service.owners.name(made, service.now.mono);
    CHECK(made.udp[0].pod == Pod{"", uid_b, "", uid_b});
}

TEST_CASE("who found no port is known by its process, in the node's own namespace as well") {
    Service service;
    service.runs(50, pod(uid_b, nginx_id), host);
    Snapshot made = service.snapshot(Snapshot::Cause::tick, {});
    made.tcp = {Service::row(host, 1)};
    made.tcp[0].ports_exhausted_pid = 50;
    made.tcp[0].ports_exhausted_at = service.now.mono;
    service.owners.name(made, service.now.mono);
    CHECK(made.tcp[0].ports_exhausted_pod == Pod{"", uid_b, nginx_id.substr(0, 12), uid_b});
    CHECK(made.tcp[0].pod == std::nullopt);
    service.node.processes.erase(50);
    service.owners.name(made, service.now.mono);
    CHECK(made.tcp[0].ports_exhausted_pod.has_value()); // it was
    made.tcp[0].ports_exhausted_pid = 51;
    made.tcp[0].ports_exhausted_pod.reset();
    service.owners.name(made, service.now.mono);
    CHECK(made.tcp[0].ports_exhausted_pod == std::nullopt);
}

TEST_CASE("who found no port is no process that has its number by now") {
    Service service;
    Snapshot made = service.snapshot(Snapshot::Cause::tick, {});
    made.tcp = {Service::row(host, 1)};
    made.tcp[0].ports_exhausted_pid = 50;
    made.tcp[0].ports_exhausted_at = service.now.mono - 500ms;
    service.runs(50, pod(uid_b), host);
    SECTION("when it is looked at first") { service.node.processes[50].started = service.now.mono - 400ms; }
    SECTION("after the same number was another's") {
        service.owners.name(made, service.now.mono);
        REQUIRE(made.tcp[0].ports_exhausted_pod.has_value());
        made.tcp[0].ports_exhausted_pod.reset();
        made.tcp[0].ports_exhausted_at = service.now.mono + 500ms;
        service.node.processes[50].started = service.now.mono + 600ms;
    }
    service.now.mono += 1s;
    service.owners.name(made, service.now.mono);
    CHECK(made.tcp[0].ports_exhausted_pod == std::nullopt);
}

TEST_CASE("a socket that process 1 holds as well is its server's, and shows process 1 beside it") {
    Service service;
    service.tell_logs("kube-system_proxy-x_" + uid_b);
    service.runs(51, unit("web.service"), host, {7});
    service.runs(50, pod(uid_b), host, {8});
    const auto look = [&] {
        std::vector<Listener> listeners{listener(host, 7, 51), listener(host, 8, 50), listener(host, 7, 51)};
        listeners[0].is_held_by_init = listeners[1].is_held_by_init = true;
        listeners[2].cookie = 9;
        listeners[2].inode = 1007;
        return service.tick({{host, 1}}, listeners);
    };
    CHECK(look().listeners[0].is_owner_unknown); // process 1 could not be looked at
    service.runs(1, unit("init.scope"), host);
    const Snapshot made = look();
    CHECK(made.listeners[0].unit == "web.service");
    CHECK(made.listeners[0].other == OtherHolder{.pod = {}, .unit = "init.scope"});
    CHECK_FALSE(made.listeners[0].is_owner_unknown);
    CHECK(made.listeners[1].pod->name == "proxy-x");
    CHECK(made.listeners[1].other == OtherHolder{.pod = {}, .unit = "init.scope"});
    CHECK(made.listeners[2].other == std::nullopt);
    const int reads = service.node.reads;
    look();
    CHECK(service.node.reads == reads);
}

TEST_CASE("of a UDP socket that process 1 holds as well it is the same") {
    Service service;
    service.runs(1, unit("init.scope"), host);
    Snapshot made = service.snapshot(Snapshot::Cause::tick, {});
    made.tcp = {Service::row(host, 1)};
    made.udp.resize(1);
    made.udp[0].netns = host;
    made.udp[0].is_held_by_init = true;
    service.owners.name(made, service.now.mono);
    CHECK(made.udp[0].other == OtherHolder{.pod = {}, .unit = "init.scope"});
}

TEST_CASE("what is known is not looked at again, and one process once for all that it holds") {
    Service service;
    service.tell_logs("shop_web-0_" + uid_a);
    service.runs(70, pod(uid_a), netns_a);
    service.runs(71, pod(uid_a, nginx_id), netns_a);
    service.node.processes[71].hides_sockets = true;
    std::vector<Listener> listeners;
    for (std::uint64_t cookie = 1; cookie <= 100; ++cookie) listeners.push_back(listener(netns_a, cookie, 71));
    service.tick({{netns_a, 70}}, listeners);
    CHECK(service.node.reads == 2);
    for (int i = 0; i < 50; ++i) service.tick({{netns_a, 70}}, listeners);
    CHECK(service.node.reads == 2);
}

TEST_CASE("no more processes are looked at in one turn than there is time for, and all have theirs") {
    Service service;
    std::vector<Listener> listeners;
    std::vector<std::pair<NetnsId, int>> namespaces;
    for (std::uint64_t i = 0; i < 500; ++i) {
        const NetnsId netns{.cookie = 100 + i, .inode = static_cast<std::uint32_t>(5000 + i)};
        const auto pid = static_cast<int>(1000 + i);
        service.runs(pid, pod(uid_a), netns, {i + 1});
        namespaces.emplace_back(netns, pid);
        listeners.push_back(listener(netns, i + 1, pid));
    }
    int ticks = 0;
    for (int before = -1; before != service.node.reads; ++ticks) {
        before = service.node.reads;
        const Snapshot made = service.tick(namespaces, listeners);
        CHECK(service.node.reads - before <= static_cast<int>(Owners::most_looks));
        if (ticks == 0) CHECK(std::ranges::count(made.netns_names, true, &NetnsNames::is_owner_unknown) > 0);
    }
    const Snapshot made = service.tick(namespaces, listeners);
    CHECK(std::ranges::count(made.netns_names, true, &NetnsNames::is_owner_unknown) == 0);
    CHECK(std::ranges::all_of(made.listeners, [](const Listener& each) { return each.pod.has_value(); }));
}

TEST_CASE("those that cannot be looked at do not take the others' turns") {
    Service service;
    std::vector<Listener> listeners;
    for (std::uint64_t i = 1; i <= 1000; ++i) listeners.push_back(listener(host, i, static_cast<int>(10000 + i)));
    service.runs(50, unit("ssh.service"), host, {2000});
    listeners.push_back(listener(host, 2000, 50));
    for (int i = 0; i < 20; ++i) service.tick({{host, 1}}, listeners);
    CHECK(service.tick({{host, 1}}, listeners).listeners.back().unit == "ssh.service");
}

TEST_CASE("what one process holds is asked together, and not beyond what one question takes") {
    Service service;
    constexpr std::uint64_t count = 500;
    std::vector<Listener> listeners;
    for (std::uint64_t i = 1; i <= count; ++i) {
        service.node.processes[50].sockets[static_cast<int>(i)] = i + 1000;
        listeners.push_back(listener(host, i, 50));
        listeners.back().fd = static_cast<int>(i);
    }
    service.node.processes[50].owner = unit("ssh.service");
    const Snapshot made = service.tick({{host, 1}}, listeners);
    CHECK(std::ranges::all_of(made.listeners, [](const Listener& each) { return each.unit == "ssh.service"; }));
    CHECK(service.node.questions == (count + Turn::most_sockets - 1) / Turn::most_sockets);
    CHECK(service.node.reads == 1);
}

TEST_CASE("at an event the listener that it is about is named at once, before all others") {
    Service service;
    service.owners.take(listing_of_a());
    std::vector<Listener> listeners;
    for (std::uint64_t i = 1; i <= 100; ++i) {
        service.runs(static_cast<int>(100 + i), pod(uid_a, nginx_id), netns_a, {i});
        listeners.push_back(listener(netns_a, i, static_cast<int>(100 + i)));
    }
    listeners[90].window.event = service.now.mono;
    const Snapshot made = service.event(listeners);
    CHECK(made.listeners[90].pod == Pod{"shop", "web-0", "nginx", uid_a});
    CHECK(service.node.reads <= static_cast<int>(Owners::most_looks_at_event));
    CHECK(made.netns_names[0].pod == Pod{"shop", "web-0", "", uid_a}); // by its listener
}

TEST_CASE("a process that has another's number by now is not taken for it") {
    Service service;
    service.runs(50, pod(uid_b), host, {});
    SECTION("it does not hold the socket") {}
    SECTION("it shows no descriptors, but started later") {
        service.node.processes[50].hides_sockets = true;
        service.node.processes[50].started = service.now.mono + 1h;
    }
    for (int i = 0; i < 5; ++i) {
        const Snapshot made = service.tick({{host, 1}}, {listener(host, 7, 50)});
        CHECK(made.listeners[0].pod == std::nullopt);
        CHECK(made.listeners[0].is_owner_unknown);
    }
    service.runs(60, pod(uid_a), host, {7});
    CHECK(service.tick({{host, 1}}, {listener(host, 7, 60)}).listeners[0].pod->uid == uid_a);
}

TEST_CASE("while nobody can look at descriptors nothing is concluded of who holds what, and what is known stays") {
    Service service;
    service.runs(50, pod(uid_a), host, {7});
    CHECK(service.tick({{host, 1}}, {listener(host, 7, 50)}).listeners[0].pod->uid == uid_a);
    service.node.answers = false;
    service.runs(60, pod(uid_b), host, {8});
    for (int i = 0; i < 5; ++i) {
        const Snapshot made = service.tick({{host, 1}}, {listener(host, 7, 50), listener(host, 8, 60)});
        CHECK(made.listeners[0].pod->uid == uid_a);
        CHECK(made.listeners[1].pod == std::nullopt);
        CHECK(made.listeners[1].is_owner_unknown);
    }
    service.node.answers = true;
    const Snapshot made = service.tick({{host, 1}}, {listener(host, 7, 50), listener(host, 8, 60)});
    CHECK(made.listeners[1].pod->uid == uid_b);
}

TEST_CASE("a process that has left a namespace, or has another's number, does not tell whose it is") {
    Service service;
    service.runs(70, pod(uid_b), netns_b); // was in netns_a when it was counted
    const Snapshot made = service.tick({{netns_a, 70}});
    CHECK(made.tcp[0].pod == std::nullopt);
    CHECK(made.netns_names[0].is_owner_unknown);
    service.runs(71, pod(uid_a), netns_a);
    CHECK(service.tick({{netns_a, 71}}).tcp[0].pod->uid == uid_a);
}

TEST_CASE("a pod's namespace stays its own, whoever enters it") {
    Service service;
    service.runs(70, pod(uid_a), netns_a);
    service.runs(61, unit("ssh.service"), netns_a);
    service.tick({{netns_a, 70}});
    CHECK(service.tick({{netns_a, 61}}).tcp[0].pod->uid == uid_a);
    service.now.mono += 1min;
    service.runs(60, pod(uid_b), netns_a);
    CHECK(service.tick({{netns_a, 60}}).tcp[0].pod->uid == uid_a);
    CHECK(service.tick({{netns_a, 61}}).tcp[0].pod->uid == uid_a);
    CHECK(service.tick({{netns_a, 0}}).tcp[0].pod->uid == uid_a);
}

TEST_CASE("a thread that a process elsewhere has sent does not tell whose a namespace is") {
    Service service;
    service.runs(50, pod(uid_b), host); // a CNI agent
    service.sends_thread(75, 50, netns_a);
    const Snapshot made = service.tick({{netns_a, 75}});
    CHECK(made.tcp[0].pod == std::nullopt);
    CHECK(made.netns_names[0].is_owner_unknown);
    SECTION("the pod comes") {
        service.runs(80, pod(uid_a), netns_a);
        service.sends_thread(81, 80, netns_a);
        const int thread = GENERATE(80, 81);
        CHECK(service.tick({{netns_a, thread}}).tcp[0].pod->uid == uid_a);
    }
    SECTION("nobody does: it is as one without a process") {
        for (int i = 0; i < 5; ++i) service.tick({{netns_a, 75}});
        const int reads = service.node.reads;
        CHECK_FALSE(service.tick({{netns_a, 75}}).netns_names[0].is_owner_unknown);
        CHECK(service.node.reads == reads);
    }
    SECTION("its process does") {
        service.node.processes[50].netns = netns_a.inode;
        CHECK(service.tick({{netns_a, 75}}).tcp[0].pod->uid == uid_b);
    }
}

TEST_CASE("where names are not known, one without a process of a pod may be a runtime's for long") {
    Service service;
    service.runs(60, unit("a.service"), netns_a);
    service.runs(71, pod(uid_a), netns_a, {7});
    const auto look = [&](bool is_name_unknown) {
        service.now.mono += 1s;
        Snapshot made = service.snapshot(Snapshot::Cause::tick, {listener(netns_a, 7, 71)});
        made.tcp = {Service::row(netns_a, 60)};
        made.netns_names = {{.netns = netns_a, .bound = {}, .is_name_unknown = is_name_unknown}};
        service.owners.name(made, service.now.mono);
        return made;
    };
    for (int i = 0; i < 10; ++i) look(true);
    const Snapshot made = look(true);
    CHECK(made.netns_names[0].is_owner_unknown);
    CHECK(made.netns_names[0].pod == std::nullopt); // it may have somebody else's name
    CHECK(made.listeners[0].pod->uid == uid_a);
    CHECK(look(false).netns_names[0].pod->uid == uid_a); // it has none
}

TEST_CASE("one that a plugin's pod was in before its own is not the plugin's") {
    Service service;
    service.runs(60, pod(uid_b), netns_a);
    CHECK(service.tick({{netns_a, 60}}).tcp[0].pod->uid == uid_b);
    service.runs(70, pod(uid_a), netns_a);
    CHECK(service.tick({{netns_a, 70}}).tcp[0].pod->uid == uid_a);
}

TEST_CASE("a pod that was there before a namespace is not certain to be whose that is, as long as another may come") {
    Service service;
    const bool is_bound = GENERATE(true, false); // as its runtime does
    const auto look = [&](int pid, std::vector<Listener> listeners = {}) {
        service.now.mono += 1s;
        Snapshot made = service.snapshot(Snapshot::Cause::tick, std::move(listeners));
        made.tcp = {Service::row(host, 1), Service::row(netns_a, pid)};
        made.netns_names = {{.netns = netns_a, .bound = {}}};
        if (is_bound) made.netns_names[0].bound = {"cni-1b9d6bcd-3b1d-4e5f-9a0b-1c2d3e4f5a6b"};
        service.owners.name(made, service.now.mono);
        return made;
    };
    // The agent of a CNI plugin: in the node's own network, or in one of its own.
    const bool is_on_host = GENERATE(true, false);
    service.runs(50, pod(uid_b), is_on_host ? host : netns_b, {7});
    const std::vector<Listener> own{listener(is_on_host ? host : netns_b, 7, 50)};
    service.tick(is_on_host ? std::vector<std::pair<NetnsId, int>>{{host, 1}}
                            : std::vector<std::pair<NetnsId, int>>{{netns_b, 50}},
                 own);

    service.runs(60, pod(uid_b), netns_a, {8}); // its iptables
    std::vector<Listener> all = own;
    all.push_back(listener(netns_a, 8, 60));
    Snapshot made = look(60, all);
    CHECK(made.netns_names[0].pod->uid == uid_b); // shown all the same
    CHECK(made.netns_names[0].is_owner_unknown);
    CHECK(made.listeners[1].is_owner_unknown);
    CHECK_FALSE(made.listeners[0].is_owner_unknown);
    SECTION("another comes") {
        service.runs(70, pod(uid_a), netns_a);
        made = look(70, own);
        CHECK(made.netns_names[0].pod->uid == uid_a);
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    }
    SECTION("nobody does") {
        service.now.mono += is_bound ? 4min : 30s;
        CHECK_FALSE(look(60, own).netns_names[0].is_owner_unknown);
    }
}

TEST_CASE("a pod that the runtime has listed for long was there before, though none of its processes was seen") {
    Service service;
    service.owners.take(listing_of_a());
    service.tick({{host, 1}});
    service.now.mono += 1min;
    SECTION("it is an agent on the node's own network that listens nowhere: its iptables is in another's sandbox") {
        service.runs(60, pod(uid_a), netns_b);
        Snapshot made = service.tick({{netns_b, 60}});
        CHECK(made.netns_names[0].pod->uid == uid_a);
        CHECK(made.netns_names[0].is_owner_unknown);
        service.runs(70, pod(uid_b), netns_b);
        service.owners.take(nullptr);
        made = service.tick({{netns_b, 70}});
        CHECK(made.netns_names[0].pod->uid == uid_b);
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    }
    SECTION("its sandbox is made anew, and listed before its network namespace is seen") {
        auto listing = listing_of_a();
        listing->sandboxes[0].ready = false;
        listing->sandboxes.push_back({.id = "sandbox-new", .uid = uid_a, .ns = "shop", .name = "web-0", .ready = true});
        service.owners.take(listing);
        service.tick({{host, 1}});
        service.now.mono += 5s;
        service.runs(60, pod(uid_a), netns_b);
        CHECK_FALSE(service.tick({{netns_b, 60}}).netns_names[0].is_owner_unknown);
    }
    SECTION("the service has begun only now: all that are there are as old") {
        Service begun;
        begun.owners.take(listing_of_a());
        begun.runs(60, pod(uid_a), netns_a);
        CHECK_FALSE(begun.tick({{netns_a, 60}}).netns_names[0].is_owner_unknown);
    }
}

TEST_CASE("a listener that a process elsewhere holds tells nothing of whose its namespace is") {
    Service service;
    service.runs(50, pod(uid_b), netns_b, {7}); // a service mesh's, for all pods of the node
    const auto look = [&](int pid) {
        return service.tick({{netns_a, pid}, {netns_b, 50}}, {listener(netns_a, 7, 50)});
    };
    service.tick({{netns_b, 50}});
    Snapshot made = service.event({listener(netns_a, 7, 50)});
    for (int i = 0; i < 2; ++i, made = look(0)) {
        CHECK(made.netns_names[0].pod == std::nullopt);
        CHECK(made.netns_names[0].is_owner_unknown);
        CHECK(made.listeners[0].pod->uid == uid_b);
        CHECK(made.listeners[0].is_owner_unknown); // the namespace's pod, which has a say in it
    }
    service.runs(70, pod(uid_a), netns_a);
    made = look(70);
    CHECK(made.netns_names[0].pod->uid == uid_a);
    CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    CHECK(made.listeners[0].pod->uid == uid_a);
    CHECK(made.listeners[0].other == OtherHolder{.pod = Pod{"", uid_b, "", uid_b}, .unit = {}});
    CHECK_FALSE(made.listeners[0].is_owner_unknown);
}

TEST_CASE("without a cookie a namespace is another one where its process is") {
    Service service;
    const NetnsId unnamed{.cookie = 0, .inode = netns_a.inode};
    service.runs(70, pod(uid_a), unnamed);
    service.tick({{unnamed, 70}});
    service.now.mono += 1min;
    service.runs(80, pod(uid_b), unnamed);
    CHECK(service.tick({{unnamed, 80}}).tcp[0].pod->uid == uid_b);
    service.runs(90, unit("a.service"), unnamed);
    CHECK(service.tick({{unnamed, 90}}).tcp[0].pod == std::nullopt);
}

TEST_CASE("where there are pods, one whose process is of none is looked at for a while") {
    Service service;
    service.runs(60, unit("containerd.service"), netns_a); // runc, before it enters the container's cgroup
    CHECK(service.tick({{netns_a, 60}}).netns_names[0].is_owner_unknown);
    service.runs(60, pod(uid_a), netns_a);
    const Snapshot made = service.tick({{netns_a, 60}});
    CHECK(made.netns_names[0].pod->uid == uid_a);
    CHECK_FALSE(made.netns_names[0].is_owner_unknown);

    service.runs(61, unit("router.service"), netns_b);
    CHECK(service.tick({{netns_b, 61}}).netns_names[0].is_owner_unknown);
    for (int i = 0; i < 4; ++i) service.tick({{netns_b, 61}});
    const int reads = service.node.reads;
    const Snapshot later = service.tick({{netns_b, 61}});
    CHECK_FALSE(later.netns_names[0].is_owner_unknown);
    CHECK(later.netns_names[0].unit == "router.service");
    CHECK(service.node.reads == reads);
}

TEST_CASE("what claims to be a pod's, where anybody may have chosen the name, is nobody's for certain") {
    Service service;
    service.owners.take(listing_of_a());
    CgroupOwner claim = unit("a.service");
    claim.claims_pod = true;
    service.runs(60, claim, netns_a, {7});
    service.runs(61, claim, host, {8});
    const auto look = [&](int pid) {
        service.now.mono += 5min;
        return service.tick({{host, 1}, {netns_a, pid}}, {listener(netns_a, 7, 60), listener(host, 8, 61)});
    };
    look(60);
    service.runs(65, unit("containerd.service"), netns_a); // what is to be run in the same pod
    for (const int pid : {60, 65}) {
        const Snapshot made = look(pid);
        CHECK(made.netns_names[1].is_owner_unknown);
        CHECK(made.netns_names[1].pod == std::nullopt);
        CHECK(made.netns_names[1].unit == "a.service");
        CHECK(made.listeners[0].is_owner_unknown);
        CHECK(made.listeners[1].is_owner_unknown);
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    }
    CHECK(service.owners.has_met_claims());
    service.runs(70, pod(uid_a), netns_a);
    const Snapshot made = look(70);
    CHECK(made.netns_names[1].pod->uid == uid_a);
    CHECK_FALSE(made.netns_names[1].is_owner_unknown);
}

TEST_CASE("without Kubernetes nothing waits for pods") {
    Service service;
    fs::remove(service.logs.path());
    service.runs(61, unit("router.service"), netns_b);
    const Snapshot made = service.tick({{netns_b, 61}, {netns_a, 0}}, {listener(host, 9, 0)});
    CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    CHECK(made.netns_names[0].unit == "router.service");
    CHECK_FALSE(made.netns_names[1].is_owner_unknown);
    CHECK_FALSE(made.listeners[0].is_owner_unknown);
}

TEST_CASE("where the process that is known is of no pod but a listener's is, the namespace is that pod's") {
    Service service;
    service.runs(60, unit("containerd.service"), netns_a);
    service.runs(71, pod(uid_a), netns_a, {7});
    const Snapshot made = service.tick({{netns_a, 60}}, {listener(netns_a, 7, 71)});
    CHECK(made.listeners[0].pod->uid == uid_a);
    CHECK(made.tcp[0].pod->uid == uid_a);
    CHECK_FALSE(made.netns_names[0].is_owner_unknown);
}

TEST_CASE("a listener in a pod's namespace is that pod's, and in none of its containers where another's holds it") {
    Service service;
    service.owners.take(listing_of_a());
    service.runs(70, pod(uid_a), netns_a);
    service.runs(71, pod(uid_b, sidecar_id), netns_a, {7});
    const Snapshot made = service.tick({{netns_a, 70}}, {listener(netns_a, 7, 71)});
    CHECK(made.listeners[0].pod == Pod{"shop", "web-0", "", uid_a});
    CHECK(made.listeners[0].other == OtherHolder{.pod = Pod{"", uid_b, "proxy", uid_b}, .unit = {}});
    CHECK(made.listeners[0].is_owner_unknown); // the runtime has not told of the other yet, which may ask for less
    REQUIRE(made.pods.size() == 2);            // for a policy that is about the other
    CHECK(made.pods[1].pod.uid == uid_b);
}

TEST_CASE("members of a group that shares its port are told apart by who holds each") {
    Service service;
    service.owners.take(listing_of_a());
    service.runs(71, pod(uid_a, nginx_id), netns_a, {7});
    service.runs(72, pod(uid_a, sidecar_id), netns_a, {8});
    const Snapshot made = service.tick({{netns_a, 71}}, {listener(netns_a, 7, 71), listener(netns_a, 8, 72)});
    CHECK(made.listeners[0].pod->container == "nginx");
    CHECK(made.listeners[1].pod->container == "proxy");
}

TEST_CASE("a listener that is handed to another process is that one's") {
    Service service;
    service.runs(50, unit("a.service"), host, {7});
    CHECK(service.tick({{host, 1}}, {listener(host, 7, 50)}).listeners[0].unit == "a.service");
    service.node.processes.erase(50);
    CHECK(service.tick({{host, 1}}, {listener(host, 7, 50)}).listeners[0].unit == "a.service");
    service.runs(40, unit("b.service"), host, {7});
    CHECK(service.tick({{host, 1}}, {listener(host, 7, 40)}).listeners[0].unit == "b.service");
}

TEST_CASE("one that the runtime does not know is asked for, and after three seconds known by less") {
    Service service;
    service.tell_logs("shop_db-0_" + uid_b);
    service.owners.take(listing_of_a());
    service.runs(70, pod(uid_b, sidecar_id), netns_b, {7});
    const auto look = [&] { return service.tick({{netns_b, 70}}, {listener(netns_b, 7, 70)}); };
    Snapshot made = look();
    CHECK(service.asked > 0);
    CHECK(made.netns_names[0].is_owner_unknown);
    CHECK(made.tcp[0].pod == Pod{"shop", "db-0", "", uid_b}); // shown meanwhile
    SECTION("it never does") {
        look();
        look();
        made = look();
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
        CHECK(made.pods[0].source == PodSource::logs);
        const int asked = service.asked;
        look();
        CHECK(service.asked == asked);
    }
    SECTION("it does then, or later") {
        if (GENERATE(true, false)) service.now.mono += 1min;
        auto listing = listing_of_a();
        listing->sandboxes.push_back({.id = "sandbox-b", .uid = uid_b, .ns = "shop", .name = "db-0", .ready = true});
        listing->containers[1].sandbox_id = "sandbox-b";
        service.owners.take(listing);
        made = look();
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
        CHECK(made.pods[0].source == PodSource::runtime);
        CHECK(made.listeners[0].pod->container == "proxy");
    }
}

TEST_CASE("as long as the runtime is asked and silent, nobody new is known for certain, and who is known stays so") {
    Service service;
    service.tell_logs("shop_db-0_" + uid_b);
    service.owners.take(nullptr, true);
    service.runs(70, pod(uid_b, sidecar_id), netns_b, {7});
    const auto look = [&] { return service.tick({{netns_b, 70}}, {listener(netns_b, 7, 70)}); };
    for (int i = 0; i < 10; ++i) look();
    Snapshot made = look();
    CHECK(made.may_have_pods);
    CHECK(made.netns_names[0].is_owner_unknown);
    CHECK(made.listeners[0].is_owner_unknown);
    CHECK(made.tcp[0].pod == Pod{"shop", "db-0", "", uid_b}); // shown all the same
    SECTION("it is not there at all") {
        service.owners.take(nullptr, false);
        CHECK_FALSE(look().netns_names[0].is_owner_unknown);
    }
    SECTION("it answers, and goes away") {
        auto listing = listing_of_a();
        listing->sandboxes.push_back({.id = "sandbox-b", .uid = uid_b, .ns = "shop", .name = "db-0", .ready = true});
        service.owners.take(listing, false);
        CHECK_FALSE(look().netns_names[0].is_owner_unknown);
        service.owners.take(listing, true);
        CHECK_FALSE(look().netns_names[0].is_owner_unknown);
    }
}

TEST_CASE("who was known stays known when the runtime has forgotten it or is away") {
    Service service;
    service.owners.take(listing_of_a());
    service.runs(70, pod(uid_a, nginx_id), netns_a, {7});
    const auto look = [&] { return service.tick({{netns_a, 70}}, {listener(netns_a, 7, 70)}); };
    look();
    service.owners.take(GENERATE(true, false) ? nullptr : std::make_shared<Listing>());
    const Snapshot made = look();
    CHECK(made.listeners[0].pod == Pod{"shop", "web-0", "nginx", uid_a});
    CHECK(made.pods[0].source == PodSource::runtime);
    CHECK(made.pods[0].labels.contains("app"));
    CHECK(service.asked == 0);
}

TEST_CASE("of two pods with one name the UID tells which, and of a pod's sandboxes the last counts") {
    Service service;
    auto listing = listing_of_a();
    listing->sandboxes.push_back(
        {.id = "sandbox-b", .uid = uid_b, .ns = "shop", .name = "web-0", .ready = true, .created_ns = 2});
    listing->sandboxes.push_back({.id = "sandbox-c",
                                  .uid = uid_b,
                                  .ns = "shop",
                                  .name = "web-0",
                                  .ready = false,
                                  .created_ns = 3,
                                  .labels = {{"app", "old"}}});
    service.owners.take(listing);
    service.runs(70, pod(uid_a), netns_a);
    service.runs(80, pod(uid_b), netns_b);
    const Snapshot made = service.tick({{netns_a, 70}, {netns_b, 80}});
    REQUIRE(made.pods.size() == 2);
    CHECK(made.facts_of(*made.tcp[0].pod)->labels.contains("app"));
    CHECK(made.facts_of(*made.tcp[1].pod)->labels.empty());
}

TEST_CASE("of the reader's own pod only the container is to be had, which the runtime knows") {
    Service service;
    service.runs(50, {.container_id = nginx_id, .unit = "cri-containerd-x.scope"}, netns_a, {7});
    const auto look = [&] { return service.tick({{netns_a, 50}}, {listener(netns_a, 7, 50)}); };
    CHECK(look().netns_names[0].is_owner_unknown);
    SECTION("the runtime knows it") {
        service.owners.take(listing_of_a());
        const Snapshot made = look();
        CHECK(made.tcp[0].pod == Pod{"shop", "web-0", "", uid_a});
        CHECK(made.listeners[0].pod->container == "nginx");
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
    }
    SECTION("it is a container of nobody's") {
        service.owners.take(std::make_shared<Listing>());
        for (int i = 0; i < 5; ++i) look();
        const Snapshot made = look();
        CHECK_FALSE(made.netns_names[0].is_owner_unknown);
        CHECK(made.netns_names[0].unit == "cri-containerd-x.scope");
    }
}

TEST_CASE("what is gone is forgotten, however many come and go") {
    Service service;
    std::uint64_t cookie = 10;
    for (int round = 0; round < 100; ++round) {
        std::vector<std::pair<NetnsId, int>> namespaces{{host, 1}};
        std::vector<Listener> listeners;
        service.node.processes.clear();
        for (int i = 0; i < 100; ++i) {
            const NetnsId netns{.cookie = ++cookie, .inode = static_cast<std::uint32_t>(5000 + i)};
            service.runs(1000 + i, pod(fmt::format("{:08x}-3b1d-4e5f-9a0b-1c2d3e4f5a6b", cookie)), netns, {cookie});
            namespaces.emplace_back(netns, 1000 + i);
            listeners.push_back(listener(netns, cookie, 1000 + i));
        }
        const Snapshot made = service.tick(namespaces, listeners);
        CHECK(made.pods.size() == 100);
        const auto remembered = service.owners.remembered();
        CHECK(remembered.namespaces == 100);
        CHECK(remembered.sockets == 100);
        CHECK(remembered.pods == 100);
    }
    service.tick({}); // nothing could be read
    CHECK(service.owners.remembered().namespaces == 100);
    service.tick({{host, 1}});
    CHECK(service.owners.remembered().namespaces == 0);
    CHECK(service.owners.remembered().sockets == 0);
    CHECK(service.owners.remembered().pods == 0);
}
