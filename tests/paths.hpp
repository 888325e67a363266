// SPDX-License-Identifier: Apache-2.0
// Where this clone and what was built of it are.
#pragma once

namespace bpftune::testing {

extern const char* const source_dir;
extern const char* const build_dir;

} // namespace bpftune::testing
