// SPDX-License-Identifier: Apache-2.0
#include "probes/conntrack_fentry.hpp"

#include <array>
#include <map>

#include "bpf/abi/conntrack.h"
#include "probes/map_entries.hpp"
#include "probes/module_functions.hpp"

namespace bpftune::probes {
namespace {

constexpr std::array dispensable{Dispensable{"full", "a full table between two readings"}};

// Null: they are the kernel's own, where libbpf finds them.
Result<std::unique_ptr<ModuleFunctions>> functions(const Options& options) {
    auto types = options.conntrack_types();
    if (types) return ModuleFunctions::of(sys::conntrack_module, std::move(*types));
    if (types.error().code == ENOENT) return nullptr;
    return std::unexpected(types.error());
}

} // namespace

Result<ConntrackFentry> ConntrackFentry::attach(const Options& options) {
    const auto found_by = functions(options);
    if (!found_by) return std::unexpected(found_by.error());
    std::string unseen;
    auto object = attach_most<conntrack_fentry>(
        dispensable,
        [&](conntrack_fentry& conntrack) {
            conntrack.rodata->event_interval_ns = static_cast<__u64>(options.event_interval.count());
        },
        unseen);
    if (!object) return std::unexpected(object.error());
    return ConntrackFentry(std::move(*object), std::move(unseen));
}

Result<> ConntrackFentry::fill_inserts(std::span<ConntrackReading> readings) const {
    std::map<std::uint64_t, std::uint64_t> inserts; // by cookie; by inode where there is none
    const auto read = for_each_entry<__u64, conntrack_use>(
        object_->maps.uses, [&](__u64 netns, const conntrack_use& use) { inserts[netns] = use.inserts; });
    if (!read) return read;
    for (ConntrackReading& reading : readings)
        reading.inserts = inserts[reading.netns.cookie != 0 ? reading.netns.cookie : reading.netns.inode];
    return {};
}

} // namespace bpftune::probes
