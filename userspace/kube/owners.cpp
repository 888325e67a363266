// SPDX-License-Identifier: Apache-2.0
#include "kube/owners.hpp"

#include <algorithm>
#include <utility>

#include "sys/process.hpp"

namespace bpftune::kube {
namespace {

// A sandbox's namespace has a process of the runtime or of a CNI plugin in it before it has one of the pod: where there
// are pods, it is looked at so long before it is nobody's.
constexpr Nanoseconds settling = std::chrono::seconds(3);
// A CNI plugin may run in a pod of its own: of a namespace that is younger, another process may tell another pod.
constexpr Nanoseconds young = std::chrono::seconds(30);
// The kubelet waits so long for a sandbox (--runtime-request-timeout, twice over), in which its namespace may have no
// process of the pod's.
constexpr Nanoseconds longest_making = std::chrono::minutes(4);
// A runtime lists a container some time after its process was started.
constexpr Nanoseconds patience = std::chrono::seconds(1);
constexpr std::size_t short_id = 12; // as runtimes show it

// containerd's "cni-1b9d6bcd-...", CRI-O's "1b9d6bcd-...".
bool is_name_of_runtime(std::string_view name) {
    constexpr std::string_view containerd = "cni-";
    constexpr std::size_t uuid_size = 36;
    if (name.starts_with(containerd)) return true;
    return name.size() == uuid_size && name.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

bool is_of_pod(const OwnerPtr& owner) { return owner && owner->cgroup.is_of_pod(); }

// Who tells more of whose a namespace is: a pod's process, then one that may be a pod's.
int rank(const OwnerPtr& owner) {
    if (!owner) return 0;
    return owner->cgroup.is_of_pod() ? 2 : owner->cgroup.claims_pod ? 1 : 0;
}

// Those whose turn it is first.
template <class Due> void begin_at(std::vector<Due>& due, std::size_t next) {
    if (!due.empty()) std::ranges::rotate(due, due.begin() + static_cast<std::ptrdiff_t>(next % due.size()));
}

// Those of one process together, as many as one look asks for.
template <class Due> std::vector<std::vector<Due>> by_process(const std::vector<Due>& due) {
    std::vector<std::vector<Due>> groups;
    std::unordered_map<int, std::size_t> last; // group of a process
    for (const Due& each : due) {
        const auto [entry, is_new] = last.try_emplace(each.second->pid, groups.size());
        const bool is_full = !is_new && groups[entry->second].size() == Turn::most_sockets;
        if (is_full) entry->second = groups.size();
        if (is_new || is_full) groups.emplace_back();
        groups[entry->second].push_back(each);
    }
    return groups;
}

template <class Socket> bool is_pressed(const Socket& socket) {
    if constexpr (requires { socket.window; })
        return socket.window.event.has_value();
    else
        return false;
}

} // namespace

void Owners::name(Snapshot& snapshot, MonoTime now) {
    ++turn_;
    named_.clear();
    time_ = snapshot.time;
    now_ = now;
    host_ = snapshot.host;
    const bool is_tick = snapshot.cause == Snapshot::Cause::tick;
    pods_.note_listed(time_.mono);
    if (is_tick) expects_pods_ = pods_.are_expected(time_);
    Turn turn(*processes_, now);
    note_namespaces(snapshot);
    if (is_tick) {
        turn.allow(most_looks / 2);
        look_at_namespaces(turn);
    }
    turn.allow(is_tick ? most_looks / 2 : most_looks_at_event);
    look_at_init(snapshot, turn);
    look_at_sockets(snapshot.listeners, turn);
    look_at_sockets(snapshot.udp, turn);
    look_at_connecting(snapshot, turn);
    adopt_namespaces(snapshot.listeners);
    name_all(snapshot);
    add_facts(snapshot);
    // Where there is no namespace at all, they could not be read.
    if (is_tick && !(snapshot.tcp.empty() && snapshot.netns_names.empty())) forget();
}

// nullptr: it is the host's, which is nobody's.
Owners::Netns* Owners::note(const NetnsId& id) {
    if (id == host_) return nullptr;
    const auto [entry, is_new] = netns_.try_emplace(id);
    if (is_new) entry->second.since = entry->second.began = time_.mono;
    entry->second.seen = turn_;
    return &entry->second;
}

void Owners::note_namespaces(const Snapshot& snapshot) {
    for (const NetnsNames& row : snapshot.netns_names) {
        Netns* netns = note(row.netns);
        if (netns == nullptr || row.is_user_ns_unknown) continue; // nothing was read of that one yet
        netns->is_name_unknown = row.is_name_unknown;
        if (row.is_name_unknown) continue;
        netns->is_bound = !row.bound.empty();
        netns->is_of_runtime |= std::ranges::any_of(row.bound, is_name_of_runtime);
    }
    const NetnsId* last = nullptr; // those of one namespace stand together, mostly
    for (const Listener& row : snapshot.listeners)
        if (last == nullptr || *last != row.netns) note(*(last = &row.netns));
    for (const NetnsTcp& row : snapshot.tcp) {
        Netns* netns = note(row.netns);
        if (netns != nullptr && std::exchange(netns->pid, row.pid) != row.pid) netns->since = now_;
    }
}

bool Owners::is_due(const NetnsId& id, const Netns& netns) const {
    if (netns.pid == 0) return false;
    const bool is_another = netns.pid != netns.looked_at;
    if (is_of_pod(netns.owner)) return is_another && (id.cookie == 0 || is_young(netns));
    return is_another || (expects_pods_ && now_ - netns.since < settling);
}

// Whether it may be another pod's than that of the process that was found in it.
bool Owners::is_young(const Netns& netns) const {
    return now_ - netns.began < (netns.may_be_of_runtime() ? longest_making : young);
}

// Whether it may be a pod's though no process of one has been found in it.
bool Owners::is_settling(const Netns& netns) const {
    return expects_pods_ && now_ - netns.began < (netns.may_be_of_runtime() ? longest_making : settling);
}

void Owners::look_at_namespaces(Turn& turn) {
    std::vector<std::pair<const NetnsId*, Netns*>> due;
    for (auto& [id, netns] : netns_)
        if (is_due(id, netns)) due.emplace_back(&id, &netns);
    begin_at(due, next_netns_);
    for (const auto& [id, netns] : due) {
        if (turn.is_over()) break;
        ++next_netns_;
        auto [owner, is_visiting] = turn.in_netns(netns->pid, id->inode);
        if (is_visiting) netns->looked_at = netns->visitor = netns->pid;
        if (!owner) continue;
        netns->looked_at = netns->pid;
        // A pod's stays a pod's, whoever enters it; but without a cookie this may be a later namespace of that number.
        if (rank(owner) >= rank(netns->owner) || id->cookie == 0) netns->owner = std::move(owner);
    }
}

bool Owners::is_of_known_pod(const NetnsId& id) const {
    const auto netns = netns_.find(id);
    return netns != netns_.end() && is_of_pod(netns->second.owner);
}

template <class Socket> void Owners::look_at_sockets(const std::vector<Socket>& sockets, Turn& turn) {
    std::vector<std::pair<const Socket*, Held*>> due;
    for (const Socket& socket : sockets) {
        if (socket.cookie == 0) continue;
        Held& held = sockets_[socket.cookie];
        held.seen = turn_;
        if (std::exchange(held.pid, socket.pid) != socket.pid) held.since = now_;
        if (held.pid != 0 && held.pid != held.looked_at) due.emplace_back(&socket, &held);
    }
    auto groups = by_process(due);
    begin_at(groups, next_group_);
    std::ranges::stable_partition(groups, [](const auto& group) {
        return std::ranges::any_of(group, [](const auto& each) { return is_pressed(*each.first); });
    });
    for (const auto& together : groups) {
        if (turn.is_over()) break;
        ++next_group_;
        std::vector<Turn::Socket> asked;
        for (const auto& [socket, held] : together) {
            const bool is_netns_asked = socket->netns != host_ && !is_of_known_pod(socket->netns);
            asked.push_back({.fd = socket->fd,
                             .inode = socket->inode,
                             .netns = is_netns_asked ? socket->netns.inode : 0,
                             .since = held->since});
        }
        auto holders = turn.holders_of(together.front().second->pid, asked);
        for (std::size_t i = 0; i < together.size(); ++i) {
            Held& held = *together[i].second;
            if (!holders[i].owner) continue;
            held.looked_at = held.pid;
            held.owner = std::move(holders[i].owner);
            held.is_inside = holders[i].is_inside;
        }
    }
}

void Owners::look_at_connecting(const Snapshot& snapshot, Turn& turn) {
    for (const NetnsTcp& row : snapshot.tcp) {
        if (row.ports_exhausted_pid == 0) continue;
        Held& held = connecting_[row.netns];
        held.seen = turn_;
        // Another failure under this number may be another process's.
        if (held.pid != row.ports_exhausted_pid || held.since != row.ports_exhausted_at)
            held = {.pid = row.ports_exhausted_pid, .since = row.ports_exhausted_at, .owner = nullptr, .seen = turn_};
        if (!held.owner && now_ - held.since < settling) held.owner = turn.process_at(held.pid, held.since);
    }
}

// Of a namespace in which no process of a pod is found, a listener tells it that a pod holds which is in there itself:
// a service mesh holds sockets in the namespaces of others. Not where the host's own may be the one.
template <class Socket> void Owners::adopt_namespaces(const std::vector<Socket>& sockets) {
    if (!host_.known()) return;
    for (const Socket& socket : sockets) {
        const auto netns = netns_.find(socket.netns);
        if (netns == netns_.end() || is_of_pod(netns->second.owner)) continue;
        const bool may_be_anothers = netns->second.is_bound || netns->second.is_name_unknown; // by its name
        if (may_be_anothers && !netns->second.is_of_runtime) continue;
        const auto held = sockets_.find(socket.cookie);
        if (held != sockets_.end() && held->second.is_inside) netns->second.owner = held->second.owner;
    }
}

void Owners::resolve(Owner& owner) {
    if (std::exchange(owner.resolved, turn_) == turn_) return;
    CgroupOwner& cgroup = owner.cgroup;
    owner.is_unsure = cgroup.claims_pod;
    has_met_claims_ |= cgroup.claims_pod;
    owner.pod.reset();
    if (!cgroup.is_of_pod()) return;
    const bool may_be_listed = pods_.has_runtime() && now_ - owner.read < patience;
    if (cgroup.pod_uid.empty())
        if (const std::string* uid = pods_.pod_of_container(cgroup.container_id)) cgroup.pod_uid = *uid;
    if (cgroup.pod_uid.empty()) {
        owner.is_unsure = may_be_listed || !pods_.has_runtime();
        if (may_be_listed) pods_.ask();
        return;
    }
    const Pods::Found found = pods_.find(cgroup.pod_uid, cgroup.qos, time_);
    owner.pod = found.facts->pod;
    owner.pod_known_since = found.since;
    owner.is_unsure = found.is_waited_for;
    if (cgroup.container_id.empty()) return;
    if (!owner.container) owner.container = pods_.container_name(cgroup.container_id);
    if (!owner.container && may_be_listed) pods_.ask();
    owner.pod->container = owner.container.value_or(cgroup.container_id.substr(0, short_id));
}

// That a row has its pod.
void Owners::show(Owner& owner) {
    if (std::exchange(owner.shown, turn_) != turn_) named_.insert(owner.pod->uid);
}

const Owners::Who& Owners::whose(const NetnsId& id) {
    static const Who nobody;
    static const Who unknown{.is_unknown = true};
    if (id == host_) return nobody;
    const auto entry = netns_.find(id);
    if (entry == netns_.end()) return unknown;
    Netns& netns = entry->second;
    if (std::exchange(netns.told, turn_) != turn_) netns.who = who_has(netns);
    return netns.who;
}

Owners::Who Owners::who_has(const Netns& netns) {
    // One that a runtime has named is a pod's, whoever hides its processes.
    const bool is_hidden = netns.pid != 0 && (netns.pid != netns.visitor || (netns.is_of_runtime && expects_pods_));
    if (!netns.owner) return {.is_unknown = is_hidden || is_settling(netns)};
    resolve(*netns.owner);
    Owner& owner = *netns.owner;
    Who who{.pod = owner.pod, .unit = owner.cgroup.unit, .is_unknown = owner.is_unsure};
    if (who.pod) {
        who.pod->container.clear();
        who.unit.clear();
        show(owner);
    }
    who.is_unknown |= !owner.cgroup.is_of_pod() && is_settling(netns);
    // A pod is no older than its namespace: whoever was there before may have entered that of another.
    who.is_unknown |= owner.pod && is_young(netns) && owner.pod_known_since < netns.began;
    return who;
}

void Owners::look_at_init(const Snapshot& snapshot, Turn& turn) {
    const auto is_held = [](const auto& socket) { return socket.is_held_by_init; };
    if (init_ || (std::ranges::none_of(snapshot.listeners, is_held) && std::ranges::none_of(snapshot.udp, is_held)))
        return;
    init_ = turn.process_at(sys::init_process, now_);
}

// `holder`: of the process that is named for it; nullptr: not known.
template <class Socket> void Owners::name_other(Socket& socket, Owner* holder) {
    socket.other.reset();
    if (holder != nullptr && holder->pod && socket.pod && socket.pod->uid != holder->pod->uid) {
        socket.other = OtherHolder{.pod = holder->pod, .unit = {}};
        socket.is_owner_unknown |= holder->is_unsure; // its own annotation may be still to come
        show(*holder);
    } else if (socket.is_held_by_init) {
        socket.other = OtherHolder{.pod = {}, .unit = init_ ? init_->cgroup.unit : std::string()};
        socket.is_owner_unknown |= !init_;
    }
}

template <class Socket> void Owners::name_socket(Socket& socket) {
    const Who& inside = whose(socket.netns);
    const auto held = sockets_.find(socket.cookie);
    Owner* holder = held != sockets_.end() ? held->second.owner.get() : nullptr;
    if (holder != nullptr) resolve(*holder);
    if (holder != nullptr && holder->pod && (!inside.pod || inside.pod->uid == holder->pod->uid)) {
        show(*holder);
        const bool may_be_anothers = inside.is_unknown && (inside.pod || !held->second.is_inside); // the namespace
        socket.pod = holder->pod;
        socket.unit.clear();
        socket.is_owner_unknown = holder->is_unsure || may_be_anothers;
    } else {
        socket.pod = inside.pod;
        socket.unit = holder != nullptr && !inside.pod ? holder->cgroup.unit : inside.unit;
        socket.is_owner_unknown = inside.is_unknown;
        if (!inside.pod)
            socket.is_owner_unknown |= holder != nullptr ? holder->is_unsure : socket.pid != 0 || expects_pods_;
    }
    name_other(socket, holder);
}

void Owners::name_connecting(NetnsTcp& row) {
    const auto held = connecting_.find(row.netns);
    if (held == connecting_.end() || !held->second.owner) return;
    resolve(*held->second.owner);
    row.ports_exhausted_pod = held->second.owner->pod;
    if (row.ports_exhausted_pod) show(*held->second.owner);
}

template <class Row> void Owners::name_rows(std::vector<Row>& rows) {
    for (Row& row : rows) row.pod = whose(row.netns).pod;
}

void Owners::name_all(Snapshot& snapshot) {
    snapshot.may_have_pods = expects_pods_;
    for (Listener& listener : snapshot.listeners) name_socket(listener);
    for (UdpSocket& socket : snapshot.udp) name_socket(socket);
    name_rows(snapshot.tcp);
    for (NetnsTcp& row : snapshot.tcp) name_connecting(row);
    name_rows(snapshot.buffers);
    name_rows(snapshot.fragments);
    name_rows(snapshot.conntrack);
    name_rows(snapshot.steered);
    for (SocketMemory& memory : snapshot.socket_memory)
        if (memory.largest) memory.largest->pod = whose(memory.largest->netns).pod;
    for (NetnsNames& row : snapshot.netns_names) {
        const Who& who = whose(row.netns);
        row.pod = who.pod;
        row.unit = who.unit;
        row.is_owner_unknown = who.is_unknown;
    }
}

void Owners::add_facts(Snapshot& snapshot) {
    snapshot.pods.clear();
    for (const std::string& uid : named_) snapshot.pods.push_back(*pods_.find(uid, std::nullopt, time_).facts);
}

void Owners::forget() {
    const auto is_gone = [this](const auto& entry) { return entry.second.seen != turn_; };
    std::erase_if(netns_, is_gone);
    std::erase_if(sockets_, is_gone);
    std::erase_if(connecting_, is_gone);
    pods_.forget_unused(time_.mono);
}

} // namespace bpftune::kube
