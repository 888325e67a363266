// SPDX-License-Identifier: Apache-2.0
// The conntrack table as each namespace fills it.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "probes/conntrack_iter.hpp"
#include "probes/probes.hpp"
#include "probes/readings.hpp"
#include "probes/widened.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {

class ConntrackReader {
public:
    ConntrackReader(std::filesystem::path proc, Visitor visit, sys::ProcessLooks looks)
        : proc_(std::move(proc)), visit_(std::move(visit)), looks_(std::move(looks)) {}

    [[nodiscard]] bool loaded() const; // nf_conntrack: built in, or its module is there
    // It is not: what is loaded later counts from its birth.
    void unloaded() { counters_ = {}; }
    [[nodiscard]] Result<> try_procfs() const;
    [[nodiscard]] Result<> try_netlink() const;

    // Of those namespaces that still are what the reading says; the others are left out.
    std::vector<ConntrackReading> by_iterator(std::span<const NetnsReading> namespaces,
                                              std::span<const ConntrackTable> tables);
    // Error: processes could not be looked at.
    Result<std::vector<ConntrackReading>> by_procfs(std::span<const NetnsReading> namespaces);
    std::vector<ConntrackReading> by_netlink(std::span<const NetnsReading> namespaces);

    [[nodiscard]] Result<ConntrackSample> sample(const NetnsReading& netns, std::size_t enough) const;

private:
    [[nodiscard]] Result<std::optional<sys::ConntrackStat>> in_procfs(const NetnsReading& netns) const;
    ConntrackReading widen_known(const NetnsReading& netns);
    ConntrackReading widen(const NetnsId& netns, const sys::ConntrackStat& stat);

    std::filesystem::path proc_;
    Visitor visit_;
    sys::ProcessLooks looks_;
    Widened<NetnsId, ConntrackReading> counters_;
};

} // namespace bpftune::probes
