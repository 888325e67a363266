// SPDX-License-Identifier: Apache-2.0
// The best rung of `listen`: programs at the functions that fill accept queues.
#pragma once

#include <string>
#include <vector>

#include "listen_fentry.skel.h"

#include "probes/object.hpp"
#include "probes/probes.hpp"

namespace bpftune::probes {

class ListenFentry {
public:
    static Result<ListenFentry> attach(const Options& options);

    // What programs would have seen that this kernel refused; empty: all are there.
    [[nodiscard]] const std::string& unseen() const { return unseen_; }

    Result<std::vector<QueueReading>> queues(); // ends the epoch
    // Whether a listener without a queue may have had one, or should have: what it lost is not known then.
    [[nodiscard]] bool queues_may_be_missing() const;
    [[nodiscard]] std::uint64_t queues_left_out() const { return object_->bss->queues_left_out; }
    [[nodiscard]] const bpf_map* queue_rates() const { return object_->maps.queue_rates; }
    [[nodiscard]] std::uint64_t lost_events() const { return object_->bss->lost_events; }
    [[nodiscard]] std::uint64_t withheld_events() const { return object_->bss->withheld_events; }

    [[nodiscard]] const bpf_map* events() const { return object_->maps.events; }
    [[nodiscard]] const bpf_map* asked() const { return object_->maps.asked; }
    [[nodiscard]] const bpf_map* port_failures() const { return object_->maps.port_failures; }
    [[nodiscard]] const bpf_map* listener_queues() const { return object_->maps.listener_queues; }

private:
    ListenFentry(Object<listen_fentry> object, std::string unseen)
        : object_(std::move(object)), unseen_(std::move(unseen)) {}

    Object<listen_fentry> object_;
    std::string unseen_;
};

} // namespace bpftune::probes
