// SPDX-License-Identifier: Apache-2.0
// A collector over the kernel's own probes, to which time is given, so that nothing depends on how fast a test is.
#pragma once

#include <algorithm>
#include <vector>

#include "core/snapshot.hpp"
#include "netns/namespace.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/rungs.hpp"
#include "signals/collector.hpp"
#include "sys/clock.hpp"

namespace bpftune::testing {

class Watcher {
public:
    // What goes by with each look. Where a census is expensive, not every look takes one, but after half a minute.
    explicit Watcher(Nanoseconds interval) : interval_(interval), collector_(probes_, signals::this_node(), now_) {}

    Snapshot look() {
        now_.mono += interval_;
        probes_.drain([&](const probes::Event& event) { (void)collector_.on_event(event, now_); });
        return collector_.tick(now_);
    }
    std::vector<Listener> listeners_of(const Namespace& netns) {
        std::vector<Listener> rows = look().listeners;
        std::erase_if(rows, [&](const Listener& row) { return row.netns.inode != netns.inode(); });
        return rows;
    }
    // The listener of `netns` of which it holds.
    template <class Condition> Listener look_until(const Namespace& netns, Condition is_seen) {
        std::optional<Listener> seen;
        REQUIRE(comes_true([&] {
            for (const Listener& row : listeners_of(netns))
                if (is_seen(row)) seen = row;
            return seen.has_value();
        }));
        return *seen;
    }

    [[nodiscard]] probes::Probes& probes() { return probes_; }

    // From now on no namespace's sockets can be listed: an errno; 0: they can.
    void refuse_to_list(int code) { refusal_ = code; }
    // How often the sockets of `netns` were to be listed.
    [[nodiscard]] std::size_t listings_of(const Namespace& netns) const {
        return static_cast<std::size_t>(std::ranges::count(listed_, netns.inode()));
    }

private:
    Result<sys::Visit> visit(const NetnsId& id, const sys::NetnsHint& hint, const sys::Wanted& wanted) {
        if (wanted.socket == sys::Netlink::sock_diag) listed_.push_back(id.inode);
        if (refusal_ != 0 && wanted.socket == sys::Netlink::sock_diag) return system_failure(refusal_, "visit");
        return sys::visit_netns(id, hint, wanted);
    }

    int refusal_ = 0;
    std::vector<std::uint64_t> listed_; // inodes
    Nanoseconds interval_;
    probes::Probes probes_ = open_probes({.visit = [this](const auto&... about) { return visit(about...); }});
    Now now_ = sys::now();
    signals::Collector collector_;
};

} // namespace bpftune::testing
