// SPDX-License-Identifier: Apache-2.0
#include "service/restoring.hpp"

#include "actuators/restore.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::service {
namespace {

views::RestoreLine line_of(const actuators::Restored& restored) {
    const actuators::Holding& holding = restored.holding;
    std::string object = fmt::format("netns {}", holding.scope.netns.inode);
    if (holding.tunable == TunableId::listener_backlog && holding.scope.listener)
        object += ", " + to_string(holding.scope.listener->local);
    if (holding.scope.pod) object += fmt::format(", pod {}/{}", holding.scope.pod->ns, holding.scope.pod->name);
    return {std::string(tunables::row(holding.tunable).name),
            std::move(object),
            holding.original,
            restored.found,
            std::string(to_string(restored.kind)),
            restored.error};
}

} // namespace

Result<std::vector<views::RestoreLine>> restore_lines(actuators::Journal& journal, actuators::Writer& writer,
                                                      bool dry_run) {
    const auto restored = actuators::restore(journal, writer, dry_run);
    if (!restored) return std::unexpected(restored.error());
    std::vector<views::RestoreLine> lines;
    lines.reserve(restored->size());
    for (const actuators::Restored& object : *restored) lines.push_back(line_of(object));
    return lines;
}

} // namespace bpftune::service
