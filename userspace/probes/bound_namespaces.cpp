// SPDX-License-Identifier: Apache-2.0
#include "probes/bound_namespaces.hpp"

#include <algorithm>
#include <set>

#include "probes/ctnetlink.hpp"
#include "probes/proc_namespaces.hpp"
#include "sys/files.hpp"

namespace bpftune::probes {
namespace {

// A burst is followed by looks every 20 ms: no more is learned of a namespace by so many.
constexpr Nanoseconds shortest_pause = std::chrono::milliseconds(90);

Result<NetnsReading> reading_of(const sys::Visit& visit) {
    const auto netstat = sys::read_all(visit.netstat);
    if (!netstat) return std::unexpected(netstat.error());
    const auto sockstat = sys::read_all(visit.sockstat);
    if (!sockstat) return std::unexpected(sockstat.error());
    NetnsReading reading = netns_reading(*netstat, *sockstat);
    const std::uint64_t of_the_visit = visit.socket ? 1 : 0;
    reading.has_sockets = sys::sockstat_value(*sockstat, "sockets", "used").value_or(2) > of_the_visit;
    reading.netns = visit.id;
    reading.user_ns_owner = visit.user_ns_owner;
    take_sysctls(reading, visit.sysctls);
    if (!visit.socket) return reading;
    if (const auto stat = ctnetlink_stat(visit.socket)) reading.conntrack = *stat;
    return reading;
}

bool is_busy(const NetnsReading& reading) {
    return reading.has_sockets || reading.time_wait_sockets > 0 ||
           (reading.conntrack && reading.conntrack->entries > 0);
}

} // namespace

void BoundNamespaces::look_into(std::uint32_t inode, Known& known, bool loaded, MonoTime now) {
    known.looked = now;
    const NetnsId id = known.reading ? known.reading->netns : NetnsId{.cookie = 0, .inode = inode};
    const sys::NetnsHint hint{.pid = 0, .path = known.path};
    auto visit = visit_(id, hint, {loaded ? sys::Netlink::netfilter : sys::Netlink::none, true});
    // Without nf_conntrack_netlink it has no such socket.
    if (!visit && loaded && visit.error().code != ESTALE) visit = visit_(id, hint, {sys::Netlink::none, true});
    if (!visit && visit.error().code == ESTALE && known.reading) { // another one has its number by now
        known.reading.reset();
        return look_into(inode, known, loaded, now);
    }
    auto reading = visit ? reading_of(*visit) : std::unexpected(visit.error());
    if (!reading) return; // not now: what was read last stays
    known.busy = is_busy(*reading);
    known.reading = std::move(*reading);
    known.reading->path = known.path;
    known.reading->read = now;
}

void BoundNamespaces::look_into_some(bool busy, double& allowed, bool loaded, MonoTime now) {
    std::vector<std::pair<std::uint32_t, Known*>> due;
    for (auto& [inode, known] : known_)
        if (known.busy == busy && (!known.looked || now >= *known.looked + shortest_pause))
            due.emplace_back(inode, &known);
    const auto oldest = [](const auto& entry) { return entry.second->looked; }; // new ones first
    const auto count = std::min(due.size(), static_cast<std::size_t>(std::max(allowed, 0.0)));
    std::ranges::partial_sort(due, due.begin() + static_cast<std::ptrdiff_t>(count), {}, oldest);
    due.resize(count);
    for (auto& [inode, known] : due) look_into(inode, *known, loaded, now);
    allowed -= static_cast<double>(count);
}

void BoundNamespaces::add_to(std::vector<NetnsReading>& readings, const std::vector<sys::BoundNetns>& bound,
                             bool loaded, MonoTime now) {
    std::set<std::uint32_t> seen;
    for (const NetnsReading& reading : readings) seen.insert(reading.netns.inode);
    std::map<std::uint32_t, Known> known;
    for (const sys::BoundNetns& each : bound) {
        if (seen.contains(each.inode) || known.contains(each.inode)) continue;
        const auto before = known_.find(each.inode);
        if (before != known_.end() && before->second.path == each.path)
            known.insert(known_.extract(before));
        else
            known[each.inode].path = each.path;
    }
    known_ = std::move(known);
    if (last_) {
        const double seconds = Seconds(now - *last_).count();
        busy_allowed_ = std::min<double>(busy_allowed_ + seconds * most_busy, most_busy);
        idle_allowed_ = std::min<double>(idle_allowed_ + seconds * most_idle, most_idle);
    }
    last_ = now;
    look_into_some(true, busy_allowed_, loaded, now);
    look_into_some(false, idle_allowed_, loaded, now);
    for (const auto& [inode, each] : known_)
        if (each.reading) readings.push_back(*each.reading);
}

BoundNames::BoundNames(const std::filesystem::path& proc) {
    for (const sys::MountView& view : sys::mount_views(proc))
        views_.push_back({.mountinfo = sys::MountInfo(view.mountinfo), .root = view.root, .bound = {}});
}

Result<> BoundNames::update() {
    for (View& view : views_) {
        const auto text = view.mountinfo.changed();
        if (!text) return std::unexpected(text.error());
        if (!*text) continue;
        view.bound = sys::bound_namespaces(**text);
        for (sys::BoundNetns& bound : view.bound) bound.path.insert(0, view.root);
        stale_ = true;
    }
    if (!std::exchange(stale_, false)) return {};
    all_.clear();
    for (const View& view : views_) all_.insert(all_.end(), view.bound.begin(), view.bound.end());
    std::ranges::stable_sort(all_, {}, &sys::BoundNetns::inode); // ours first
    return {};
}

} // namespace bpftune::probes
