// SPDX-License-Identifier: Apache-2.0
#include "unit/controller/scenario.hpp"

#include <charconv>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "policy/parse.hpp"
#include "signals/steering.hpp"
#include "tunables/codec.hpp"

namespace bpftune::testing {
namespace {

using namespace std::chrono_literals;

// Ends the reading of a file; never leaves read_scenarios.
struct Wrong {
    int line;
    std::string what;
};

int line_of(const YAML::Node& node) { return node.Mark().line + 1; }

std::string text_of(const YAML::Node& node) {
    if (!node.IsScalar()) throw Wrong{line_of(node), "one value is expected here"};
    return node.Scalar();
}

std::uint64_t number_of(const YAML::Node& node) {
    const std::string text = text_of(node);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        throw Wrong{line_of(node), fmt::format("'{}' is no number", text)};
    return value;
}

std::uint32_t small_number_of(const YAML::Node& node) { return static_cast<std::uint32_t>(number_of(node)); }

Nanoseconds duration_of(const YAML::Node& node) {
    const std::string text = text_of(node);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string unit(end, text.data() + text.size());
    if (error == std::errc{} && unit == "us") return std::chrono::microseconds(value);
    if (error == std::errc{} && unit == "ms") return std::chrono::milliseconds(value);
    if (error == std::errc{} && unit == "s") return std::chrono::seconds(value);
    if (error == std::errc{} && unit == "min") return std::chrono::minutes(value);
    throw Wrong{line_of(node), fmt::format("'{}' is no duration: 500us, 20ms, 10s, 5min", text)};
}

// A map whose keys are all known and come once.
class Fields {
public:
    Fields(const YAML::Node& node, std::initializer_list<std::string_view> known) : node_(node) {
        if (!node.IsMap()) throw Wrong{line_of(node), "a map is expected here"};
        std::set<std::string> seen;
        for (const auto& entry : node) {
            const std::string key = text_of(entry.first);
            if (std::ranges::find(known, key) == known.end())
                throw Wrong{line_of(entry.first), fmt::format("'{}' is not known here", key)};
            if (!seen.insert(key).second) throw Wrong{line_of(entry.first), fmt::format("'{}' comes twice", key)};
        }
    }
    [[nodiscard]] bool has(const char* key) const { return static_cast<bool>(node_[key]); }
    [[nodiscard]] YAML::Node at(const char* key) const {
        if (!has(key)) throw Wrong{line_of(node_), fmt::format("'{}' is missing", key)};
        return node_[key];
    }
    template <class T, class Read> void into(T& value, const char* key, Read read) const {
        if (has(key)) value = static_cast<T>(read(node_[key]));
    }
    [[nodiscard]] int line() const { return line_of(node_); }

private:
    YAML::Node node_;
};

// One item, or a list of them.
std::vector<YAML::Node> items_of(const YAML::Node& node) {
    if (!node.IsSequence()) return {node};
    return {node.begin(), node.end()};
}

policy::Policy policy_of(const YAML::Node& node) {
    std::string text =
        "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: scenario}\nspec:\n";
    const std::string spec = YAML::Dump(node) + "\n";
    for (std::size_t begin = 0; begin < spec.size(); begin = spec.find('\n', begin) + 1)
        text += "  " + spec.substr(begin, spec.find('\n', begin) - begin + 1);
    const auto policy = policy::parse(text);
    if (!policy) throw Wrong{line_of(node), policy::render("policy", text, policy.error())};
    return *policy;
}

// Names of the file become identities of the world.
class Names {
public:
    NetnsId netns(const std::string& name) {
        if (name == "host") return World::host;
        const auto number = static_cast<std::uint32_t>(netns_.size() + 1);
        return netns_.try_emplace(name, NetnsId{.cookie = 1 + number, .inode = 4026532000U + number}).first->second;
    }
    // What each is bound under: its name in the file, but for the node's and the one that has none there.
    [[nodiscard]] std::map<NetnsId, std::vector<std::string>> bound() const {
        std::map<NetnsId, std::vector<std::string>> bound{{World::host, {}}};
        for (const auto& [name, id] : netns_)
            bound[id] = name == "pod" ? std::vector<std::string>{} : std::vector{name};
        return bound;
    }
    NetnsId netns_at(const Fields& fields, const char* otherwise) {
        return netns(fields.has("in") ? text_of(fields.at("in")) : otherwise);
    }
    void add_port(std::uint64_t port, std::uint64_t cookie) { ports_[port] = cookie; }
    [[nodiscard]] std::uint64_t cookie(const YAML::Node& port) const {
        const auto found = ports_.find(number_of(port));
        if (found == ports_.end())
            throw Wrong{line_of(port), fmt::format("no listener of this scenario has port {}", number_of(port))};
        return found->second;
    }

private:
    std::map<std::string, NetnsId> netns_;
    std::map<std::uint64_t, std::uint64_t> ports_;
};

Pod pod_named(const World& world, const YAML::Node& node) {
    const auto facts = std::ranges::find(world.pods, text_of(node), [](const PodFacts& each) { return each.pod.uid; });
    if (facts == world.pods.end()) throw Wrong{line_of(node), "no pod of this scenario is called so"};
    return facts->pod;
}

// Its process, which in the node's own namespace is of any pod, or of none.
template <class Socket> void add_holder(const World& world, const Fields& fields, Socket& socket) {
    if (fields.has("pod"))
        socket.pod = pod_named(world, fields.at("pod"));
    else if (const auto own = world.pods_in.find(socket.netns); own != world.pods_in.end())
        socket.pod = own->second;
    fields.into(socket.pid, "pid", number_of);
}

void add_listener(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"port", "in", "limit", "asked", "somaxconn", "fast_open", "pod", "unit", "pid"});
    Listener listener;
    listener.netns = names.netns_at(fields, "pod");
    listener.local = {"0.0.0.0", static_cast<std::uint16_t>(number_of(fields.at("port")))};
    listener.cookie = listener.local.port;
    listener.pid = 712;
    listener.command = "nginx";
    listener.limit = small_number_of(fields.at("limit"));
    fields.into(listener.asked, "asked", small_number_of);
    fields.into(listener.fastopen_queue, "fast_open", small_number_of);
    listener.arrivals = 0;
    add_holder(world, fields, listener);
    fields.into(listener.unit, "unit", text_of);
    std::uint32_t& somaxconn = world.somaxconn.try_emplace(listener.netns, listener.limit).first->second;
    fields.into(somaxconn, "somaxconn", small_number_of);
    names.add_port(listener.local.port, listener.cookie);
    world.listeners[listener.cookie] = listener;
}

void add_buffers(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "rmem", "wmem", "control"});
    TcpBuffers row{.netns = names.netns_at(fields, "pod")};
    row.rmem_max = number_of(fields.at("rmem"));
    row.wmem_max = number_of(fields.at("wmem"));
    if (fields.has("control")) row.congestion_control = text_of(fields.at("control"));
    world.buffers[row.netns] = row;
}

// As SO_RCVBUF has it: "application", or nothing.
void add_udp(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"port", "in", "buffer", "set_by", "pod", "pid"});
    UdpSocket socket{.netns = names.netns_at(fields, "pod")};
    socket.local = {"0.0.0.0", static_cast<std::uint16_t>(number_of(fields.at("port")))};
    socket.cookie = 100000 + socket.local.port;
    socket.pid = 713;
    socket.command = "unbound";
    socket.buffer_bytes = number_of(fields.at("buffer"));
    socket.set_by_application = fields.has("set_by") && text_of(fields.at("set_by")) == "application";
    add_holder(world, fields, socket);
    names.add_port(socket.local.port, socket.cookie);
    world.udp[socket.cookie] = socket;
}

// A namespace of its own, or `in: host`, that has nothing else in the world.
void add_ports(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "first", "last", "reuse", "delay", "udp"});
    NetnsTcp row{.netns = names.netns_at(fields, "client"), .local_ports = LocalPorts{}, .udp_port_below = 0};
    row.local_ports->first = static_cast<std::uint16_t>(number_of(fields.at("first")));
    row.local_ports->last = static_cast<std::uint16_t>(number_of(fields.at("last")));
    fields.into(row.tw_reuse, "reuse", number_of);
    fields.into(row.tw_reuse_delay_ms, "delay", number_of);
    if (fields.has("udp") && fields.at("udp").IsNull()) row.udp_port_below.reset();
    if (fields.has("udp") && !fields.at("udp").IsNull())
        row.udp_port_below = static_cast<std::uint16_t>(number_of(fields.at("udp")));
    world.ports[row.netns] = row;
}

void add_fast_open(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "value"});
    NetnsTcp row{.netns = names.netns_at(fields, "pod"), .local_ports = LocalPorts{.first = 32768, .last = 60999}};
    row.fastopen = number_of(fields.at("value"));
    world.ports[row.netns] = row;
}

std::uint64_t cpus_of(const YAML::Node& node) { return tunables::value_of(TunableId::rps_cpus, text_of(node)).value(); }

// Its CPUs are "past 63", or as the kernel has them.
void add_device(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "name", "cpus", "queues", "hardware", "near", "read_only", "denied"});
    SteeredDevice device{.netns = names.netns_at(fields, "host"),
                         .name = text_of(fields.at("name")),
                         .ifindex = static_cast<std::uint32_t>(world.queues.size() + 2),
                         .queues = 1,
                         .rps_cpus = 0};
    fields.into(device.queues, "queues", number_of);
    device.has_more_cpus = fields.has("cpus") && text_of(fields.at("cpus")) == "past 63";
    if (device.has_more_cpus)
        device.rps_cpus.reset();
    else
        fields.into(device.rps_cpus, "cpus", cpus_of);
    if (const auto own = world.pods_in.find(device.netns); own != world.pods_in.end()) device.pod = own->second;
    fields.into(device.near, "near", cpus_of);
    device.is_hardware = fields.has("hardware");
    device.is_read_only = fields.has("read_only");
    device.is_denied = fields.has("denied");
    world.queues[key_of(TunableId::rps_cpus, scope_of(device))] = device;
}

// Of a device by its number in the file. Its CPUs are "past 63", or as the kernel has them.
void add_interrupt(World& world, const YAML::Node& node) {
    const Fields fields(node, {"irq", "device", "cpus", "on", "near", "fixed"});
    DeviceInterrupt interrupt{
        .netns = World::host, .ifindex = 2, .irq = static_cast<std::uint32_t>(number_of(fields.at("irq")))};
    if (fields.has("device")) interrupt.ifindex += static_cast<std::uint32_t>(number_of(fields.at("device")));
    for (const auto& [object, device] : world.queues)
        if (device.ifindex == interrupt.ifindex) interrupt.device = device.name;
    interrupt.name = fmt::format("{}-rx-{}", interrupt.device, interrupt.irq);
    fields.into(interrupt.cpu, "on", number_of);
    interrupt.has_more_cpus = text_of(fields.at("cpus")) == "past 63";
    if (!interrupt.has_more_cpus) fields.into(interrupt.cpus, "cpus", cpus_of);
    fields.into(interrupt.near, "near", cpus_of);
    interrupt.is_fixed = fields.has("fixed");
    world.interrupts[key_of(TunableId::smp_affinity, scope_of(interrupt))] = interrupt;
}

Family family_of(const Fields& fields) {
    return fields.has("family") && text_of(fields.at("family")) == "ipv6" ? Family::ipv6 : Family::ipv4;
}

ObjectKey fragments_in(Names& names, const Fields& fields) {
    const bool is_ipv6 = fields.has("ip") && number_of(fields.at("ip")) == 6;
    return {is_ipv6 ? TunableId::ip6frag_high_thresh : TunableId::ipfrag_high_thresh, names.netns_at(fields, "client")};
}

void add_fragments(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "ip", "limit"});
    const ObjectKey object = fragments_in(names, fields);
    world.fragments[object] = {.netns = object.netns,
                               .family = object.tunable == TunableId::ipfrag_high_thresh ? Family::ipv4 : Family::ipv6,
                               .limit_bytes = number_of(fields.at("limit"))};
}

MemoryPool pool_of(const Fields& fields) {
    return fields.has("pool") && text_of(fields.at("pool")) == "udp" ? MemoryPool::udp : MemoryPool::tcp;
}

std::uint64_t bytes_of_pages(const YAML::Node& node) { return number_of(node) * World::page; }

void add_socket_memory(World& world, const YAML::Node& node) {
    const Fields fields(node, {"pool", "low", "pressure", "high"});
    world.socket_memory.push_back({.pool = pool_of(fields),
                                   .page_bytes = World::page,
                                   .low_bytes = bytes_of_pages(fields.at("low")),
                                   .pressure_bytes = bytes_of_pages(fields.at("pressure")),
                                   .high_bytes = bytes_of_pages(fields.at("high"))});
}

policy::Labels labels_of(const YAML::Node& node) {
    policy::Labels labels;
    for (const auto& entry : node) labels.emplace(text_of(entry.first), text_of(entry.second));
    return labels;
}

template <class Word> Word word_of(const YAML::Node& node, std::initializer_list<Word> words) {
    const std::string text = text_of(node);
    const auto found = std::ranges::find(words, text, [](Word word) { return to_string(word); });
    if (found == words.end()) throw Wrong{line_of(node), fmt::format("'{}' is not known here", text)};
    return *found;
}

// Its UID is its name. Of one with hostNetwork no namespace is.
void add_pod(World& world, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"name", "namespace", "in", "labels", "annotations", "qos", "known_by"});
    const std::string name = text_of(fields.at("name"));
    PodFacts facts{.pod = {.name = name, .uid = name}, .source = PodSource::runtime, .qos = QosClass::burstable};
    fields.into(facts.pod.ns, "namespace", text_of);
    fields.into(facts.labels, "labels", labels_of);
    fields.into(facts.annotations, "annotations", labels_of);
    const auto qos_of = [](const YAML::Node& text) {
        return word_of(text, {QosClass::best_effort, QosClass::burstable, QosClass::guaranteed});
    };
    const auto source_of = [](const YAML::Node& text) {
        return word_of(text, {PodSource::cgroup, PodSource::logs, PodSource::runtime});
    };
    if (fields.has("qos")) facts.qos = qos_of(fields.at("qos"));
    if (fields.has("known_by")) facts.source = source_of(fields.at("known_by"));
    if (fields.has("in")) world.pods_in[names.netns(text_of(fields.at("in")))] = facts.pod;
    const auto uid_of = [](const PodFacts& each) { return each.pod.uid; };
    world.pods.insert(std::ranges::upper_bound(world.pods, name, {}, uid_of), facts);
}

// Of the namespaces that are no pods', or of which that is not known.
void add_owners(World& world, Names& names, const Fields& fields) {
    world.may_have_pods = fields.has("pods") || fields.has("unknown");
    if (fields.has("pods"))
        for (const YAML::Node& each : items_of(fields.at("pods"))) add_pod(world, names, each);
    if (fields.has("units"))
        for (const auto& each : fields.at("units"))
            world.units_in[names.netns(text_of(each.first))] = text_of(each.second);
    if (fields.has("users"))
        for (const auto& each : fields.at("users"))
            world.users_in[names.netns(text_of(each.first))] = small_number_of(each.second);
    if (fields.has("unknown"))
        for (const YAML::Node& each : items_of(fields.at("unknown")))
            world.unknown_owners.insert(names.netns(text_of(each)));
    if (fields.has("unread"))
        for (const YAML::Node& each : items_of(fields.at("unread"))) world.unread.insert(names.netns(text_of(each)));
}

World world_of(const YAML::Node& node, Names& names) {
    const Fields fields(node, {"pods",   "units",      "unknown",    "listener",   "conntrack",  "buffers",
                               "udp",    "backlog",    "ports",      "fragments",  "neighbours", "socket_memory",
                               "device", "sizes",      "allowed",    "fast_open",  "memory",     "syncookies",
                               "entry",  "connection", "interrupts", "irqbalance", "users",      "unread"});
    World world;
    add_owners(world, names, fields);
    if (fields.has("listener"))
        for (const YAML::Node& each : items_of(fields.at("listener"))) add_listener(world, names, each);
    if (fields.has("conntrack")) {
        const Fields table(fields.at("conntrack"), {"limit", "buckets"});
        table.into(world.conntrack_max, "limit", number_of);
        table.into(world.conntrack_buckets, "buckets", number_of);
    }
    if (fields.has("buffers"))
        for (const YAML::Node& each : items_of(fields.at("buffers"))) add_buffers(world, names, each);
    if (fields.has("udp"))
        for (const YAML::Node& each : items_of(fields.at("udp"))) add_udp(world, names, each);
    if (fields.has("ports"))
        for (const YAML::Node& each : items_of(fields.at("ports"))) add_ports(world, names, each);
    if (fields.has("fast_open"))
        for (const YAML::Node& each : items_of(fields.at("fast_open"))) add_fast_open(world, names, each);
    if (fields.has("fragments"))
        for (const YAML::Node& each : items_of(fields.at("fragments"))) add_fragments(world, names, each);
    if (fields.has("device"))
        for (const YAML::Node& each : items_of(fields.at("device"))) add_device(world, names, each);
    if (fields.has("interrupts"))
        for (const YAML::Node& each : items_of(fields.at("interrupts"))) add_interrupt(world, each);
    if (fields.has("irqbalance")) {
        const std::string runs = text_of(fields.at("irqbalance"));
        world.irqbalance = runs == "unknown" ? std::nullopt : std::optional(runs == "runs");
    }
    if (fields.has("backlog")) {
        const Fields backlog(fields.at("backlog"), {"limit", "cpus", "isolated"});
        backlog.into(world.netdev_max_backlog, "limit", number_of);
        backlog.into(world.isolated_cpus, "isolated", cpus_of);
        std::uint64_t cpus = 1;
        backlog.into(cpus, "cpus", number_of);
        for (unsigned cpu = 0; cpu < cpus; ++cpu) world.cpus.push_back({.cpu = cpu});
    }
    if (fields.has("neighbours")) {
        const Fields limits(fields.at("neighbours"), {"family", "limit"});
        const std::uint64_t limit = number_of(limits.at("limit"));
        world.neighbours.push_back(
            {.family = family_of(limits), .gc_thresh1 = limit / 8, .gc_thresh2 = limit / 2, .gc_thresh3 = limit});
    }
    if (fields.has("allowed")) world.allowed_congestion_control = text_of(fields.at("allowed"));
    if (fields.has("sizes")) {
        const Fields sizes(fields.at("sizes"), {"rmem_max", "wmem_max", "rmem_default", "wmem_default"});
        sizes.into(world.socket_sizes.rmem_max, "rmem_max", number_of);
        sizes.into(world.socket_sizes.wmem_max, "wmem_max", number_of);
        sizes.into(world.socket_sizes.rmem_default, "rmem_default", number_of);
        sizes.into(world.socket_sizes.wmem_default, "wmem_default", number_of);
    }
    if (fields.has("socket_memory"))
        for (const YAML::Node& each : items_of(fields.at("socket_memory"))) add_socket_memory(world, each);
    if (fields.has("memory")) world.memory_bytes = number_of(fields.at("memory")) << 20;
    if (fields.has("entry")) world.unit_bytes.conntrack_entry = number_of(fields.at("entry"));
    if (fields.has("connection")) world.unit_bytes.queued_connection = number_of(fields.at("connection"));
    fields.into(world.syncookies, "syncookies", small_number_of);
    return world;
}

void read_window(Step& step, const Names& names, const YAML::Node& node) {
    const Fields fields(node, {"port", "in", "queue", "peak", "floor", "arrivals", "accepted", "lost", "syn_queue",
                               "refused", "flood"});
    const std::uint64_t cookie = names.cookie(fields.at("port"));
    QueueWindow window;
    window.length = step.kind == Step::Kind::tick ? 1s : step.kind == Step::Kind::after ? 40ms : 8ms;
    fields.into(window.length, "in", duration_of);
    fields.into(window.peak, "peak", small_number_of);
    fields.into(window.floor, "floor", small_number_of);
    window.arrivals = window.peak;
    fields.into(window.arrivals, "arrivals", number_of);
    fields.into(window.overflows, "lost", number_of);
    fields.into(window.syn_dropped, "refused", number_of);
    if (fields.has("syn_queue")) step.syn_queues[cookie] = small_number_of(fields.at("syn_queue"));
    std::uint32_t& queue = step.queues[cookie];
    queue = step.kind == Step::Kind::pressure ? window.peak : window.floor;
    fields.into(queue, "queue", small_number_of);
    const std::uint64_t arrived = window.arrivals.value_or(0);
    window.accepted = arrived - std::min<std::uint64_t>(arrived, queue);
    fields.into(window.accepted, "accepted", number_of);
    if (fields.has("flood")) step.floods[cookie] = text_of(fields.at("flood"));
    if (step.kind == Step::Kind::pressure) window.event = MonoTime(1h + step.at);
    step.windows.emplace_back(cookie, window);
}

// The namespace's keepalive is the kernel's, unless `needed` says otherwise.
void read_state(Conntrack& table, const Fields& fields, const char* name, StateEntries ConntrackStates::* state) {
    if (!fields.has(name)) return;
    const Fields of_state(fields.at(name), {"entries", "idle", "needed"});
    if (!table.states) table.states = ConntrackStates{.looked_at = 1000};
    StateEntries& entries = (*table.states).*state;
    entries.entries = number_of(of_state.at("entries"));
    entries.idle = number_of(of_state.at("idle"));
    entries.needed_seconds = state == &ConntrackStates::established ? 15075 : 60;
    if (of_state.has("needed")) entries.needed_seconds = number_of(of_state.at("needed"));
}

void read_table(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "entries", "growth", "inserts", "drops", "evicted", "nat_exhausted", "clashes",
                               "clash", "chain_too_long", "unanswered", "seen_once", "flood", "established",
                               "time_wait", "close_wait"});
    Conntrack table{.netns = names.netns_at(fields, "host"), .entries = number_of(fields.at("entries"))};
    const auto rate = [](const YAML::Node& value) { return static_cast<double>(number_of(value)); };
    fields.into(table.entries_per_second, "growth", rate);
    if (fields.has("inserts")) table.inserts_per_second = rate(fields.at("inserts"));
    fields.into(table.window_drops, "drops", number_of);
    fields.into(table.window_evicted, "evicted", number_of);
    fields.into(table.window_nat_exhausted, "nat_exhausted", number_of);
    fields.into(table.window_clashes, "clashes", number_of);
    fields.into(table.window_chain_too_long, "chain_too_long", number_of);
    if (fields.has("clash")) table.clash = text_of(fields.at("clash"));
    if (fields.has("unanswered")) table.unanswered = text_of(fields.at("unanswered"));
    table.seen_once = fields.has("seen_once");
    if (fields.has("flood")) table.flood = text_of(fields.at("flood"));
    read_state(table, fields, "established", &ConntrackStates::established);
    read_state(table, fields, "time_wait", &ConntrackStates::time_wait);
    read_state(table, fields, "close_wait", &ConntrackStates::close_wait);
    step.tables.push_back(table);
}

void read_buffers(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "way", "flows", "rate", "moved", "by_application", "at_ceiling", "window_scale",
                               "raised", "before", "since", "again", "elsewhere"});
    TcpBuffers row{.netns = names.netns_at(fields, "pod")};
    HeldBack held;
    fields.into(held.flows, "flows", number_of);
    fields.into(held.bytes_per_second, "rate", number_of);
    fields.into(held.most_in_round_trip, "moved", number_of);
    fields.into(held.set_by_application, "by_application", number_of);
    fields.into(held.at_ceiling, "at_ceiling", number_of);
    if (held.at_ceiling.value_or(0) > 0)
        held.largest_at_ceiling = HeldFlow{.pid = 712,
                                           .command = "fetch",
                                           .local = {"10.0.0.2", 80},
                                           .remote = {"10.0.0.1", 4000},
                                           .bytes_per_second = held.bytes_per_second,
                                           .round_trip_us = 50000};
    if (fields.has("before"))
        held.raised = {.flows = fields.has("raised") ? number_of(fields.at("raised")) : 1,
                       .before = number_of(fields.at("before")),
                       .since = number_of(fields.at("since"))};
    if (held.raised) fields.into(held.raised->held_again, "again", number_of);
    if (held.raised) fields.into(held.raised->held_at_other_end, "elsewhere", number_of);
    row.looked_at = held.flows;
    row.window_scale = fields.has("window_scale") ? number_of(fields.at("window_scale")) : 0;
    const std::string way = text_of(fields.at("way"));
    (way == "receiving" ? row.receiving : way == "losing" ? row.losing : row.sending) = held;
    step.buffers.push_back(row);
}

void read_udp(Step& step, const Names& names, const YAML::Node& node) {
    const Fields fields(node, {"port", "lost", "received", "recent", "most", "looks", "past_half", "queue"});
    UdpSocket& seen = step.udp[names.cookie(fields.at("port"))];
    fields.into(seen.window_overflows, "lost", number_of);
    fields.into(seen.window_received, "received", number_of);
    seen.recent_overflows = seen.most_dropped = seen.window_overflows;
    fields.into(seen.recent_overflows, "recent", number_of);
    fields.into(seen.most_dropped, "most", number_of);
    fields.into(seen.looks, "looks", number_of);
    fields.into(seen.looks_past_half, "past_half", number_of);
    fields.into(seen.queue_bytes, "queue", number_of);
}

void read_ports(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "exhausted", "connects", "entries", "time_wait"});
    NetnsTcp& seen = step.ports[names.netns_at(fields, "client")];
    fields.into(seen.window_ports_exhausted, "exhausted", number_of);
    fields.into(seen.window_connects, "connects", number_of);
    fields.into(seen.window_time_wait_entries, "entries", number_of);
    fields.into(seen.time_wait_sockets, "time_wait", number_of);
}

void read_fast_open(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "requests", "opened", "failed"});
    NetnsTcp& seen = step.ports[names.netns_at(fields, "pod")];
    fields.into(seen.window_fastopen_requests, "requests", number_of);
    fields.into(seen.window_fastopen_opened, "opened", number_of);
    fields.into(seen.window_fastopen_failed, "failed", number_of);
}

void read_fragments(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"in", "ip", "memory", "before", "came", "failed", "whole", "recent_whole", "timed_out"});
    Fragments& seen = step.fragments[fragments_in(names, fields)];
    fields.into(seen.memory_bytes, "memory", number_of);
    std::uint64_t before = seen.memory_bytes;
    fields.into(before, "before", number_of);
    seen.fullest_bytes = std::max(before, seen.memory_bytes);
    seen.lowest_bytes = std::min(before, seen.memory_bytes);
    fields.into(seen.window_arrived, "came", number_of);
    fields.into(seen.window_failed, "failed", number_of);
    fields.into(seen.window_reassembled, "whole", number_of);
    seen.recent_reassembled = seen.window_reassembled;
    fields.into(seen.recent_reassembled, "recent_whole", number_of);
    fields.into(seen.recent_timed_out, "timed_out", number_of);
}

void read_cpu(Step& step, const YAML::Node& node) {
    const Fields fields(
        node, {"cpu", "processed", "taken", "idle", "lost", "needed", "found", "squeezed", "waiting", "lost_now"});
    SoftirqCpu cpu;
    fields.into(cpu.cpu, "cpu", number_of);
    fields.into(cpu.window_processed, "processed", number_of);
    fields.into(cpu.window_lost, "lost_now", number_of);
    cpu.packets_per_second = static_cast<double>(cpu.window_processed);
    fields.into(cpu.softirq_percent, "taken", number_of);
    fields.into(cpu.idle_percent, "idle", number_of);
    if (fields.has("waiting")) cpu.backlog = number_of(fields.at("waiting"));
    if (fields.has("lost"))
        cpu.lost = {.began = MonoTime(1h + step.at - 2s),
                    .packets = number_of(fields.at("lost")),
                    .processed_per_second = cpu.packets_per_second,
                    .processed = cpu.window_processed,
                    .needed_percent = static_cast<double>(number_of(fields.at("needed"))),
                    .waiting = fields.has("found") ? number_of(fields.at("found")) : 0,
                    .squeezed = fields.has("squeezed") ? number_of(fields.at("squeezed")) : 0,
                    .taken = 1s};
    fields.into(cpu.needed_percent, "needed", number_of);
    step.cpus.push_back(cpu);
}

void read_device(Step& step, const YAML::Node& node) {
    const Fields fields(node, {"name", "packets", "each"});
    const auto packets = static_cast<double>(number_of(fields.at("packets")));
    std::uint64_t each = 1250; // 10,000 bits
    fields.into(each, "each", number_of);
    step.devices[text_of(fields.at("name"))] = {.packets = packets, .bytes = packets * static_cast<double>(each)};
}

void read_interrupt(Step& step, const YAML::Node& node) {
    const Fields fields(node, {"irq", "times"});
    step.interrupts[static_cast<std::uint32_t>(number_of(fields.at("irq")))] =
        static_cast<double>(number_of(fields.at("times")));
}

// In pages. All of it is held, and moves, unless it says otherwise.
void read_socket_memory(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node, {"pool", "used", "before", "lost", "pressures", "near_for", "held", "still", "unknown",
                               "in", "close_wait"});
    SocketMemory seen{.pool = pool_of(fields), .bytes = bytes_of_pages(fields.at("used"))};
    std::uint64_t before = seen.bytes;
    fields.into(before, "before", bytes_of_pages);
    seen.fullest_bytes = std::max(before, seen.bytes);
    fields.into(seen.window_lost, "lost", number_of);
    fields.into(seen.window_pressures, "pressures", number_of);
    seen.near_for = 10s;
    fields.into(seen.near_for, "near_for", duration_of);
    MemoryHolder holder{.netns = names.netns_at(fields, "pod"), .bytes = seen.bytes};
    fields.into(holder.bytes, "held", bytes_of_pages);
    fields.into(holder.still_bytes, "still", bytes_of_pages);
    fields.into(holder.close_wait_bytes, "close_wait", bytes_of_pages);
    if (!fields.has("unknown")) {
        seen.held_bytes = holder.bytes;
        seen.still_bytes = holder.still_bytes;
        seen.largest = holder;
    }
    step.socket_memory.push_back(seen);
}

void read_neighbours(Step& step, const YAML::Node& node) {
    const Fields fields(node, {"entries", "refused", "made", "unanswered", "lost"});
    NeighbourTable seen;
    fields.into(seen.entries, "entries", number_of);
    fields.into(seen.window_refused, "refused", number_of);
    fields.into(seen.window_made, "made", number_of);
    if (fields.has("lost"))
        seen.lost = {.began = MonoTime(1h + step.at - 4s),
                     .length = 4s,
                     .packets = number_of(fields.at("lost")),
                     .made = number_of(fields.at("made")),
                     .unanswered = fields.has("unanswered") ? number_of(fields.at("unanswered")) : 0};
    step.neighbours = seen;
}

void read_value(Step& step, Names& names, const YAML::Node& node) {
    const Fields fields(node,
                        {"somaxconn", "in", "port", "limit", "conntrack_max", "conntrack_buckets", "rmem", "buffer",
                         "netdev_max_backlog", "rmem_max", "established", "device", "cpus", "irq", "first_port", "by"});
    const auto add = [&](const ObjectKey& object, const char* key) {
        step.values.emplace_back(object, number_of(fields.at(key)));
    };
    if (fields.has("somaxconn")) add({TunableId::somaxconn, names.netns_at(fields, "pod")}, "somaxconn");
    if (fields.has("buffer"))
        add({TunableId::udp_rcvbuf, names.netns_at(fields, "pod"), names.cookie(fields.at("port"))}, "buffer");
    else if (fields.has("port"))
        add({TunableId::listener_backlog, names.netns_at(fields, "pod"), names.cookie(fields.at("port"))}, "limit");
    if (fields.has("conntrack_max")) add({TunableId::conntrack_max, World::host}, "conntrack_max");
    if (fields.has("conntrack_buckets")) add({TunableId::conntrack_buckets, World::host}, "conntrack_buckets");
    if (fields.has("rmem")) add({TunableId::tcp_rmem, names.netns_at(fields, "pod")}, "rmem");
    if (fields.has("netdev_max_backlog")) add({TunableId::netdev_max_backlog, World::host}, "netdev_max_backlog");
    if (fields.has("rmem_max")) add({TunableId::rmem_max, World::host}, "rmem_max");
    if (fields.has("device")) { // as it is numbered in the file
        const QueueRef queue{.ifindex = static_cast<std::uint32_t>(number_of(fields.at("device")) + 2)};
        step.values.emplace_back(key_of(TunableId::rps_cpus, {.netns = names.netns_at(fields, "host"), .queue = queue}),
                                 cpus_of(fields.at("cpus")));
    }
    if (fields.has("irq")) { // of the first device
        const QueueRef irq{.ifindex = 2, .queue = static_cast<std::uint32_t>(number_of(fields.at("irq")))};
        step.values.emplace_back(key_of(TunableId::smp_affinity, {.netns = World::host, .queue = irq}),
                                 cpus_of(fields.at("cpus")));
    }
    if (fields.has("established")) { // seconds
        const TunableId tunable = TunableId::nf_conntrack_tcp_timeout_established;
        step.values.emplace_back(ObjectKey{tunable, names.netns_at(fields, "host")},
                                 tunables::row(tunable).counts_down_from - number_of(fields.at("established")));
    }
    if (fields.has("first_port")) {
        const TunableId tunable = TunableId::ip_local_port_range;
        step.values.emplace_back(ObjectKey{tunable, names.netns_at(fields, "client")},
                                 tunables::row(tunable).counts_down_from - number_of(fields.at("first_port")));
    }
    fields.into(step.by, "by", text_of);
    if (!step.by.empty() && fields.has("port")) throw Wrong{fields.line(), "nobody is seen to set a socket's limit"};
}

Outcome answer_of(const YAML::Node& node) {
    const std::string text = text_of(node);
    if (text == "failed") return {.kind = Outcome::Kind::failed, .error = "Permission denied"};
    if (text == "not tried") return {.kind = Outcome::Kind::failed, .error = "not tried", .is_tried = false};
    if (text == "conflict") return {.kind = Outcome::Kind::conflict, .error = {}};
    if (text == "gone") return {.kind = Outcome::Kind::gone, .error = {}};
    throw Wrong{line_of(node), fmt::format("'{}' is no answer: failed, not tried, conflict, gone", text)};
}

Expected expected_of(const YAML::Node& node) {
    Expected expected{.text = text_of(node)};
    const std::size_t comma = expected.text.find(", ");
    expected.head = expected.text.substr(0, comma);
    if (comma != std::string::npos) expected.why = expected.text.substr(comma + 2);
    return expected;
}

Step::Kind kind_of(const Fields& fields) {
    if (fields.has("pressure")) return Step::Kind::pressure;
    if (fields.has("after")) return Step::Kind::after;
    if (fields.has("look")) return Step::Kind::look;
    if (fields.has("reload")) return Step::Kind::reload;
    if (fields.has("set")) return Step::Kind::set;
    if (fields.has("attempt")) return Step::Kind::attempt;
    return fields.has("gone") ? Step::Kind::gone : Step::Kind::tick;
}

void read_guards(Guards& guards, const Fields& fields) {
    const auto mebibytes = [](const YAML::Node& value) { return number_of(value) << 20; };
    const auto percent = [](const YAML::Node& value) { return static_cast<double>(number_of(value)); };
    if (fields.has("memory_pressure")) guards.memory_pressure = percent(fields.at("memory_pressure"));
    if (fields.has("available")) guards.memory_available_bytes = mebibytes(fields.at("available"));
    if (fields.has("softirq")) guards.softirq = percent(fields.at("softirq"));
    if (fields.has("udp_memory")) {
        const Fields udp(fields.at("udp_memory"), {"used", "low"});
        guards.udp_memory = {.bytes = mebibytes(udp.at("used")), .low_bytes = mebibytes(udp.at("low"))};
    }
    if (!fields.has("tcp_memory")) return;
    const Fields tcp(fields.at("tcp_memory"), {"used", "pressure", "high"});
    guards.tcp_memory = {.bytes = mebibytes(tcp.at("used")),
                         .pressure_bytes = mebibytes(tcp.at("pressure")),
                         .high_bytes = mebibytes(tcp.at("high"))};
}

Step step_of(const YAML::Node& node, Names& names) {
    const Fields fields(node, {"at",        "until",      "tick",          "pressure",        "after",
                               "look",      "reload",     "set",           "attempt",         "gone",
                               "conntrack", "buffers",    "udp",           "ports",           "cpu",
                               "fragments", "neighbours", "socket_memory", "memory_pressure", "available",
                               "softirq",   "tcp_memory", "udp_memory",    "answer",          "expect",
                               "fast_open", "device",     "interrupts"});
    Step step{.line = fields.line(), .kind = kind_of(fields), .at = duration_of(fields.at("at"))};
    step.until = step.at;
    fields.into(step.until, "until", duration_of);
    for (const char* key : {"tick", "pressure", "after"})
        if (fields.has(key) && !fields.at(key).IsNull())
            for (const YAML::Node& each : items_of(fields.at(key))) read_window(step, names, each);
    if (fields.has("conntrack"))
        for (const YAML::Node& each : items_of(fields.at("conntrack"))) read_table(step, names, each);
    for (const char* key : {"buffers", "look"})
        if (fields.has(key) && !fields.at(key).IsNull())
            for (const YAML::Node& each : items_of(fields.at(key))) read_buffers(step, names, each);
    if (fields.has("udp"))
        for (const YAML::Node& each : items_of(fields.at("udp"))) read_udp(step, names, each);
    if (fields.has("ports"))
        for (const YAML::Node& each : items_of(fields.at("ports"))) read_ports(step, names, each);
    if (fields.has("fast_open"))
        for (const YAML::Node& each : items_of(fields.at("fast_open"))) read_fast_open(step, names, each);
    if (fields.has("fragments"))
        for (const YAML::Node& each : items_of(fields.at("fragments"))) read_fragments(step, names, each);
    if (fields.has("device"))
        for (const YAML::Node& each : items_of(fields.at("device"))) read_device(step, each);
    if (fields.has("interrupts"))
        for (const YAML::Node& each : items_of(fields.at("interrupts"))) read_interrupt(step, each);
    if (fields.has("cpu"))
        for (const YAML::Node& each : items_of(fields.at("cpu"))) read_cpu(step, each);
    if (fields.has("socket_memory"))
        for (const YAML::Node& each : items_of(fields.at("socket_memory"))) read_socket_memory(step, names, each);
    if (fields.has("neighbours")) read_neighbours(step, fields.at("neighbours"));
    read_guards(step.guards, fields);
    if (step.kind == Step::Kind::reload) step.policy = policy_of(fields.at("reload"));
    if (step.kind == Step::Kind::set) read_value(step, names, fields.at("set"));
    if (step.kind == Step::Kind::attempt) read_value(step, names, fields.at("attempt"));
    if (step.kind == Step::Kind::gone)
        for (const YAML::Node& each : items_of(fields.at("gone"))) step.gone.push_back(names.cookie(each));
    fields.into(step.answer, "answer", answer_of);
    if (fields.has("expect"))
        for (const YAML::Node& each : items_of(fields.at("expect"))) step.expected.push_back(expected_of(each));
    return step;
}

Scenario scenario_of(const std::string& file, const YAML::Node& node) {
    const Fields fields(node, {"scenario", "policy", "node", "steps"});
    Names names;
    Scenario scenario{.file = file, .line = fields.line(), .sentence = text_of(fields.at("scenario"))};
    scenario.policy = policy_of(fields.at("policy"));
    scenario.world = world_of(fields.at("node"), names);
    if (!fields.at("steps").IsSequence()) throw Wrong{fields.line(), "'steps' is a list"};
    Nanoseconds last = -1ns;
    for (const YAML::Node& each : fields.at("steps")) {
        scenario.steps.push_back(step_of(each, names));
        if (scenario.steps.back().at < last) throw Wrong{line_of(each), "earlier than the step before it"};
        last = scenario.steps.back().until;
    }
    scenario.world.names = names.bound();
    return scenario;
}

std::string_view name_of(Decision::Act act) {
    switch (act) {
    case Decision::Act::write: return "write";
    case Decision::Act::recommend: return "recommend";
    case Decision::Act::advise: return "advise";
    case Decision::Act::keep: return "keep";
    case Decision::Act::roll_back: return "roll_back";
    case Decision::Act::give_back: return "give_back";
    case Decision::Act::reassert: return "reassert";
    case Decision::Act::yield: return "yield";
    case Decision::Act::forget: return "forget";
    case Decision::Act::release: return "release";
    }
    return "";
}

std::string head_of(const Decision& decision) {
    std::string where;
    if (is_of_socket(decision.tunable)) where = fmt::format(" of {}", decision.scope.listener->local.port);
    if (is_of_queue(decision.tunable)) where = fmt::format(" of {}", decision.scope.queue->device);
    if (is_of_interrupt(decision.tunable)) where = fmt::format(" of {}", decision.scope.queue->queue);
    const std::string head = fmt::format("{} {}{}", name_of(decision.act), tunables::row(decision.tunable).name, where);
    if (decision.act == Decision::Act::advise) return head;
    return fmt::format("{} {} -> {}", head, tunables::text_of(decision.tunable, decision.from),
                       tunables::text_of(decision.tunable, decision.to));
}

std::string difference(const std::vector<Decision>& decisions, const std::vector<Expected>& expected) {
    bool same = decisions.size() == expected.size();
    for (std::size_t i = 0; same && i < expected.size(); ++i)
        same = head_of(decisions[i]) == expected[i].head && decisions[i].why.find(expected[i].why) != std::string::npos;
    if (same) return {};
    std::string text;
    for (const Decision& decision : decisions)
        text += fmt::format("\n  came      {}, {}", head_of(decision), decision.why);
    for (const Expected& each : expected) text += fmt::format("\n  expected  {}", each.text);
    return text;
}

class Player {
public:
    explicit Player(const Scenario& scenario) : scenario_(scenario), policy_(scenario.policy), world_(scenario.world) {}

    std::string run() {
        for (const Step& step : scenario_.steps) {
            const std::string different = play(step);
            if (!different.empty())
                return fmt::format("{}:{}: {}:{}", scenario_.file, step.line, scenario_.sentence, different);
        }
        return {};
    }

private:
    std::string play(const Step& step) {
        switch (step.kind) {
        case Step::Kind::reload:
            policy_ = step.policy;
            controller::reloaded(state_);
            return {};
        case Step::Kind::set:
        case Step::Kind::attempt: meddle(step); return {};
        case Step::Kind::gone:
            for (const std::uint64_t cookie : step.gone) remove(cookie);
            return {};
        case Step::Kind::tick: return ticks(step);
        case Step::Kind::look: {
            take_windows(step);
            const MonoTime now(1h + step.at);
            return decide(step, world_.look(now), now, step.expected);
        }
        case Step::Kind::pressure:
        case Step::Kind::after: break;
        }
        take_windows(step);
        const MonoTime now(1h + step.at);
        return decide(step, world_.pressure(world_.listeners.at(step.windows.front().first), now), now, step.expected);
    }

    std::string ticks(const Step& step) {
        for (Nanoseconds at = step.at; at <= step.until; at += 1s) {
            take_windows(step);
            world_.hot_cpu = hot_cpus_.tick(world_.cpus, 1s);
            const MonoTime now(1h + at);
            const bool last = at + 1s > step.until;
            std::string different =
                decide(step, world_.tick(now, 1s), now, last ? step.expected : std::vector<Expected>{});
            if (!different.empty()) return fmt::format(" at {:.0f} s:{}", Seconds(at).count(), different);
        }
        return {};
    }

    void meddle(const Step& step) {
        for (const auto& [object, value] : step.values) {
            if (!step.by.empty()) world_.note(object, value, step.by, MonoTime(1h + step.at));
            if (step.kind != Step::Kind::set) continue;
            if (object.tunable == TunableId::listener_backlog)
                world_.listen(object, value);
            else
                world_.set(object, value);
        }
    }

    void remove(std::uint64_t cookie) {
        if (world_.udp.erase(cookie) > 0) return;
        const NetnsId netns = world_.listeners.at(cookie).netns;
        world_.listeners.erase(cookie);
        const bool others =
            std::ranges::any_of(world_.listeners, [&](const auto& l) { return l.second.netns == netns; });
        if (!others) world_.somaxconn.erase(netns);
    }

    void take_windows(const Step& step) {
        for (auto& [cookie, listener] : world_.listeners) {
            listener.window = {.length = 1s};
            listener.queue = 0;
            listener.flood.reset();
        }
        for (const auto& [cookie, window] : step.windows) {
            Listener& listener = world_.listeners.at(cookie);
            listener.window = window;
            listener.arrivals = listener.arrivals.value_or(0) + window.arrivals.value_or(0);
            listener.queue_peak = std::max(listener.queue_peak, window.peak);
        }
        for (const auto& [cookie, text] : step.floods) world_.listeners.at(cookie).flood = text;
        for (const auto& [cookie, length] : step.syn_queues) world_.listeners.at(cookie).syn_queue = length;
        for (const auto& [cookie, queue] : step.queues) world_.listeners.at(cookie).queue = queue;
        take_buffers(step);
        take_udp(step);
        take_ports(step);
        take_fragments(step);
        world_.tables.clear();
        for (const Conntrack& table : step.tables) world_.tables[table.netns] = table;
        for (SocketMemory& pool : world_.socket_memory) {
            const auto found = std::ranges::find(step.socket_memory, pool.pool, &SocketMemory::pool);
            SocketMemory seen = found != step.socket_memory.end() ? *found : SocketMemory{.pool = pool.pool};
            seen.page_bytes = pool.page_bytes;
            seen.low_bytes = pool.low_bytes;
            seen.pressure_bytes = pool.pressure_bytes;
            seen.high_bytes = pool.high_bytes;
            pool = seen;
        }
        for (NeighbourTable& table : world_.neighbours) {
            NeighbourTable seen = step.neighbours;
            seen.family = table.family;
            seen.gc_thresh1 = table.gc_thresh1;
            seen.gc_thresh2 = table.gc_thresh2;
            seen.gc_thresh3 = table.gc_thresh3;
            table = seen;
        }
        for (SoftirqCpu& cpu : world_.cpus) {
            const auto seen = std::ranges::find(step.cpus, cpu.cpu, &SoftirqCpu::cpu);
            cpu = seen == step.cpus.end() ? SoftirqCpu{.cpu = cpu.cpu, .idle_percent = 100} : *seen;
        }
        for (auto& [object, device] : world_.queues) {
            receive(step, device.name, device);
        }
        for (auto& [object, interrupt] : world_.interrupts) {
            const auto seen = step.interrupts.find(interrupt.irq);
            interrupt.per_second = seen == step.interrupts.end() ? 0 : seen->second;
            receive(step, interrupt.device, interrupt);
        }
        world_.guards = step.guards;
    }

    static void receive(const Step& step, const std::string& device, auto& row) {
        const auto seen = step.devices.find(device);
        const ReceiveRate rate = seen == step.devices.end() ? ReceiveRate() : seen->second;
        row.packets_per_second = row.mean_packets_per_second = rate.packets;
        row.bytes_per_second = row.mean_bytes_per_second = rate.bytes;
    }

    void take_buffers(const Step& step) {
        for (auto& [netns, row] : world_.buffers) {
            row.receiving = row.sending = row.losing = HeldBack{};
            row.looked_at = row.window_scale = 0;
        }
        for (const TcpBuffers& seen : step.buffers) {
            TcpBuffers& row = world_.buffers.at(seen.netns);
            if (seen.receiving) row.receiving = seen.receiving;
            if (seen.sending) row.sending = seen.sending;
            if (seen.losing) row.losing = seen.losing;
            row.looked_at = *row.looked_at + *seen.looked_at;
            row.window_scale = *row.window_scale + *seen.window_scale;
        }
    }

    void take_ports(const Step& step) {
        for (auto& [netns, row] : world_.ports) {
            const auto found = step.ports.find(netns);
            const NetnsTcp seen = found != step.ports.end() ? found->second : NetnsTcp{};
            row.window_ports_exhausted = seen.window_ports_exhausted;
            row.window_connects = seen.window_connects;
            row.window_time_wait_entries = seen.window_time_wait_entries;
            row.time_wait_sockets = seen.time_wait_sockets;
            row.fastopen_requests += seen.window_fastopen_requests;
            row.window_fastopen_requests = seen.window_fastopen_requests;
            row.window_fastopen_opened = seen.window_fastopen_opened;
            row.window_fastopen_failed = seen.window_fastopen_failed;
            row.ports_exhausted_remote = Endpoint{"10.0.0.9", 80};
            row.ports_exhausted_command = "curl";
            row.ports_exhausted_pid = 714;
        }
    }

    void take_fragments(const Step& step) {
        for (auto& [object, row] : world_.fragments) {
            const auto found = step.fragments.find(object);
            Fragments seen = found != step.fragments.end() ? found->second : Fragments{};
            seen.netns = row.netns;
            seen.family = row.family;
            seen.limit_bytes = row.limit_bytes;
            row = seen;
        }
    }

    void take_udp(const Step& step) {
        for (auto& [cookie, socket] : world_.udp) {
            const auto found = step.udp.find(cookie);
            const UdpSocket seen = found != step.udp.end() ? found->second : UdpSocket{};
            socket.window_overflows = seen.window_overflows;
            socket.window_received = seen.window_received;
            if (seen.window_overflows > 0) {
                socket.last_overflows = seen.window_overflows;
                socket.last_received = seen.window_received;
            }
            socket.recent_overflows = seen.recent_overflows;
            socket.most_dropped = seen.most_dropped;
            socket.looks = seen.looks;
            socket.looks_past_half = seen.looks_past_half;
            socket.queue_bytes = seen.queue_bytes;
        }
    }

    std::string decide(const Step& step, const Snapshot& snapshot, MonoTime now,
                       const std::vector<Expected>& expected) {
        const auto decisions = controller::step(policy_, state_, snapshot, now);
        for (const Decision& decision : decisions) {
            if (!is_write(decision)) continue;
            Outcome outcome = step.answer;
            outcome.value = decision.from + 1;
            if (outcome.kind == Outcome::Kind::written) outcome = world_.write(decision);
            controller::settle(state_, decision, outcome, now + 1ms);
        }
        return difference(decisions, expected);
    }

    const Scenario& scenario_;
    policy::Policy policy_;
    World world_;
    signals::HotCpus hot_cpus_;
    controller::State state_;
};

} // namespace

std::expected<std::vector<Scenario>, std::string> read_scenarios(const std::string& file, const std::string& text) {
    try {
        const YAML::Node root = YAML::Load(text);
        if (!root.IsSequence()) throw Wrong{1, "a list of scenarios is expected"};
        std::vector<Scenario> scenarios;
        for (const YAML::Node& node : root) scenarios.push_back(scenario_of(file, node));
        return scenarios;
    } catch (const Wrong& wrong) {
        return std::unexpected(fmt::format("{}:{}: {}", file, wrong.line, wrong.what));
    } catch (const YAML::Exception& error) {
        return std::unexpected(fmt::format("{}:{}: {}", file, error.mark.line + 1, error.msg));
    }
}

std::string play(const Scenario& scenario) { return Player(scenario).run(); }

} // namespace bpftune::testing
