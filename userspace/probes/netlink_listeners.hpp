// SPDX-License-Identifier: Apache-2.0
// The census by netlink: every namespace is visited, and asked for its listeners.
#pragma once

#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "probes/holders.hpp"
#include "probes/probes.hpp"
#include "probes/readings.hpp"

namespace bpftune::probes {

class NetlinkListeners {
public:
    NetlinkListeners(const std::filesystem::path& proc, Visitor visit, sys::ProcessLooks looks)
        : visit_(std::move(visit)), holders_(proc, std::move(looks)) {}

    // Without namespaces that are gone by now, or that our rights do not open.
    Result<std::vector<ListenerReading>> read(std::span<const NetnsReading> namespaces);

    // Of one namespace, whoever holds them: they are not named. ESTALE: it is gone.
    [[nodiscard]] Result<std::vector<ListenerReading>> read_one(const NetnsReading& netns) const;

    // Below its range of local ports, as udp_port_below() has it.
    [[nodiscard]] Result<std::uint16_t> udp_port_below(const NetnsReading& netns) const;

private:
    Visitor visit_;
    Holders holders_;
};

} // namespace bpftune::probes
