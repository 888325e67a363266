// SPDX-License-Identifier: Apache-2.0
// How many TCP sockets each network namespace has in which state, and who leaves connections open that the other end
// has closed. Pure.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// What was last counted. A namespace of those that were there then has none of what was not found.
class SocketTable {
public:
    // `sockets`: nullopt: they could not be counted.
    void counted(std::span<const probes::NetnsReading> namespaces,
                 const std::optional<std::vector<probes::SocketsReading>>& sockets);
    // By a census.
    void held(std::span<const probes::CloseWaitReading> close_waits);

    // Into the rows of the snapshot, whose listeners are counted as well where some rung lists them.
    void fill(Snapshot& snapshot) const;

private:
    std::map<NetnsId, TcpStates> states_;
    std::map<NetnsId, CloseWaitHolder> holders_;
};

} // namespace bpftune::signals
