// SPDX-License-Identifier: Apache-2.0
#include "service/restoring.hpp"

#include <utility>

#include "core/parse.hpp"
#include "core/words.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::service {
namespace {

using actuators::Restored;

std::string object_of(const actuators::Holding& holding) {
    std::string object = fmt::format("netns {}", holding.scope.netns.inode);
    if (is_of_socket(holding.tunable) && holding.scope.listener)
        object += ", " + to_string(holding.scope.listener->local);
    if (holding.scope.queue) object += ", " + queue_text(holding.tunable, *holding.scope.queue);
    if (holding.scope.pod) object += ", pod " + pod_text(*holding.scope.pod);
    return object;
}

// What the original would cost while so much is in use; empty: nothing.
std::string loss_at_original(const Restored& restored) {
    const auto original = tunables::value_of(restored.holding.tunable, restored.holding.original);
    if (!original || !restored.in_use || *restored.in_use == 0) return {};
    const std::uint64_t use = *restored.in_use;
    const auto& row = tunables::row(restored.holding.tunable);
    const std::uint64_t fits = *original + row.spare;
    if (!row.full_at_value.empty() && !tunables::means_no_limit(row.id, *original) && use >= fits)
        return fmt::format(fmt::runtime(row.full_at_value), fmt::arg("use", use),
                           fmt::arg("value", restored.holding.original), fmt::arg("over", use - fits + 1));
    if (tunables::room_for(restored.holding.tunable, use) > *original)
        return fmt::format("{} are in use: {} leaves them no headroom", use, restored.holding.original);
    return {};
}

// Why it is not the original yet.
std::string reason_to_stay(const Restored& restored) {
    if (!restored.needed_by.empty()) return "needed by " + restored.needed_by;
    if (std::string loss = loss_at_original(restored); !loss.empty()) return loss;
    return restored.error;
}

std::string detail_of(const Restored& restored) {
    using Kind = Restored::Kind;
    switch (restored.kind) {
    case Kind::lowered:
    case Kind::would_lower:
    case Kind::in_use: return reason_to_stay(restored);
    case Kind::would_restore: return loss_at_original(restored);
    case Kind::restored:
    case Kind::unchanged:
    case Kind::gone:
    case Kind::foreign:
    case Kind::failed: return restored.error;
    case Kind::not_reached: return "its turn did not come in the time there was";
    }
    std::unreachable();
}

views::RestoreLine line_of(const Restored& restored) {
    const actuators::Holding& holding = restored.holding;
    return {.tunable = std::string(tunables::row(holding.tunable).name),
            .object = object_of(holding),
            .original = holding.original,
            .found = restored.found,
            .to = restored.to == restored.found ? std::string() : restored.to,
            .in_use = restored.in_use ? std::to_string(*restored.in_use) : std::string(),
            .result = std::string(to_string(restored.kind)),
            .detail = detail_of(restored)};
}

} // namespace

std::vector<views::RestoreLine> lines_of(const std::vector<Restored>& restored) {
    std::vector<views::RestoreLine> lines;
    lines.reserve(restored.size());
    for (const Restored& object : restored) lines.push_back(line_of(object));
    return lines;
}

Result<std::vector<views::RestoreLine>> restore_lines(actuators::Journal& journal, actuators::Writer& writer,
                                                      const actuators::RestoreOptions& options) {
    const auto restored = actuators::restore(journal, writer, options);
    if (!restored) return std::unexpected(restored.error());
    return lines_of(*restored);
}

} // namespace bpftune::service
