// SPDX-License-Identifier: Apache-2.0
// Network namespaces that no process is in, but that are bound to a file (`ip netns`, CNI, routers). Neither BPF nor
// /proc shows them: each has to be visited, so of many only some are at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "probes/probes.hpp"
#include "probes/readings.hpp"
#include "sys/mounts.hpp"

namespace bpftune::probes {

class BoundNamespaces {
public:
    explicit BoundNamespaces(Visitor visit) : visit_(std::move(visit)) {}

    // Adds to `readings` those of `bound` (by inode) that no process in it is known of, as of the last look into each.
    // A look takes about 0.25 ms. One that has sockets, connections in TIME_WAIT or tracked ones is looked into each
    // time, of many in turn, but `most_busy` a second; the others in turn, `most_idle` a second, new ones first. What
    // cannot be entered is left out, or stays as it was read before. `loaded`: whether nf_conntrack is there.
    void add_to(std::vector<NetnsReading>& readings, const std::vector<sys::BoundNetns>& bound, bool loaded,
                MonoTime now);

    static constexpr int most_busy = 40;
    static constexpr int most_idle = 10;
    static constexpr int most_at_first = 400; // the first time all are new

private:
    struct Known {
        std::string path;
        std::optional<NetnsReading> reading; // nullopt: not looked into yet, or it could not be
        std::optional<MonoTime> looked;
        bool busy = false;
    };

    void look_into(std::uint32_t inode, Known& known, bool loaded, MonoTime now);
    void look_into_some(bool busy, double& allowed, bool loaded, MonoTime now);

    Visitor visit_;
    std::map<std::uint32_t, Known> known_; // by inode: those without a process
    std::optional<MonoTime> last_;
    double busy_allowed_ = most_busy;
    double idle_allowed_ = most_at_first;
};

// What is bound where, read again when it has changed.
class BoundNames {
public:
    explicit BoundNames(const std::filesystem::path& proc);

    // Error: what is bound is not known.
    Result<> update();
    // By inode, with paths that can be opened here. What several mount namespaces show comes several times.
    [[nodiscard]] const std::vector<sys::BoundNetns>& all() const { return all_; }

private:
    struct View {
        sys::MountInfo mountinfo;
        std::string root;
        std::vector<sys::BoundNetns> bound;
    };
    std::vector<View> views_;
    std::vector<sys::BoundNetns> all_;
    bool stale_ = true;
};

} // namespace bpftune::probes
