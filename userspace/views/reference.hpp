// SPDX-License-Identifier: Apache-2.0
// The reference pages docs/signals.md and docs/tunables.md, made of the catalogs.
#pragma once

#include <string>

namespace bpftune::views {

std::string signals_reference();
std::string tunables_reference();

} // namespace bpftune::views
