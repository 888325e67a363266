// SPDX-License-Identifier: Apache-2.0
// Network namespaces by /proc and a visit to each, where BPF iterators are refused.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "probes/probes.hpp"
#include "probes/readings.hpp"

namespace bpftune::probes {

// What the text of a namespace's /proc/net/netstat and /proc/net/sockstat says.
NetnsReading netns_reading(std::string_view netstat, std::string_view sockstat);
std::optional<NetnsReading::Segments> segments_in(std::string_view snmp); // of /proc/net/snmp
void take_sysctls(NetnsReading& reading, const sys::NetnsSysctls& sysctls);

class ProcNamespaces {
public:
    ProcNamespaces(std::filesystem::path proc, Visitor visit, sys::ProcessLooks looks)
        : proc_(std::move(proc)), visit_(std::move(visit)), looks_(std::move(looks)) {}

    // Every namespace that a process is in. Where it cannot be visited its sysctls are unknown, and its cookie is the
    // one that it had. Costs up to 0.2 ms per namespace, and a readlink per process. Error: also where processes could
    // not be looked at.
    Result<std::vector<NetnsReading>> read();

    // Of the last reading.
    struct Unseen {
        int processes = 0;  // whose namespace is not shown to us
        int namespaces = 0; // that we may not enter
    };
    [[nodiscard]] const Unseen& unseen() const { return unseen_; }

private:
    Result<std::map<std::uint32_t, int>> processes_by_netns();
    bool look_into(NetnsReading& reading);

    std::filesystem::path proc_;
    Visitor visit_;
    sys::ProcessLooks looks_;
    std::map<std::uint32_t, NetnsId> known_; // by inode
    Unseen unseen_;
};

} // namespace bpftune::probes
