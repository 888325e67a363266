// SPDX-License-Identifier: Apache-2.0
#include "paths.hpp"

namespace bpftune::testing {

const char* const source_dir = SOURCE_DIR;
const char* const build_dir = BUILD_DIR;

} // namespace bpftune::testing
