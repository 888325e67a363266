// SPDX-License-Identifier: Apache-2.0
// The best rung of `conntrack`: counts the inserts, which the kernel does not, and tells when the table is full. While
// its programs are attached nf_conntrack cannot be unloaded.
#pragma once

#include <span>
#include <string>

#include "conntrack_fentry.skel.h"

#include "probes/object.hpp"
#include "probes/probes.hpp"

namespace bpftune::probes {

class ConntrackFentry {
public:
    static Result<ConntrackFentry> attach(const Options& options);

    // What programs would have seen that this kernel refused; empty: all are there.
    [[nodiscard]] const std::string& unseen() const { return unseen_; }

    // Into readings of the other counters.
    Result<> fill_inserts(std::span<ConntrackReading> readings) const;
    [[nodiscard]] std::uint64_t lost_events() const { return object_->bss->lost_events; }
    [[nodiscard]] std::uint64_t withheld_events() const { return object_->bss->withheld_events; }

    [[nodiscard]] const bpf_map* events() const { return object_->maps.events; }

private:
    ConntrackFentry(Object<conntrack_fentry> object, std::string unseen)
        : object_(std::move(object)), unseen_(std::move(unseen)) {}

    Object<conntrack_fentry> object_;
    std::string unseen_;
};

} // namespace bpftune::probes
