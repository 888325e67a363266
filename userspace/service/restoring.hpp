// SPDX-License-Identifier: Apache-2.0
// `restore`, by the service and without one: the same lines.
#pragma once

#include <vector>

#include "actuators/journal.hpp"
#include "actuators/restore.hpp"
#include "actuators/writer.hpp"
#include "core/result.hpp"
#include "views/restored.hpp"

namespace bpftune::service {

std::vector<views::RestoreLine> lines_of(const std::vector<actuators::Restored>& restored);

Result<std::vector<views::RestoreLine>> restore_lines(actuators::Journal& journal, actuators::Writer& writer,
                                                      const actuators::RestoreOptions& options);

} // namespace bpftune::service
