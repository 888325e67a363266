// SPDX-License-Identifier: Apache-2.0
// The conntrack tables of all namespaces that a process is in, by one pass of a BPF iterator: of those in which nothing
// happens, which most are, no file has to be opened to know it.
#pragma once

#include <utility>
#include <vector>

#include "conntrack_iter.skel.h"

#include "probes/object.hpp"
#include "probes/readings.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {

struct ConntrackTable {
    NetnsId netns;
    sys::ConntrackStat stat;
};

class ConntrackIter {
public:
    // nf_conntrack has to be there.
    static Result<ConntrackIter> attach();

    [[nodiscard]] Result<std::vector<ConntrackTable>> read() const;

private:
    explicit ConntrackIter(Object<conntrack_iter> object) : object_(std::move(object)) {}

    Object<conntrack_iter> object_;
};

} // namespace bpftune::probes
