// SPDX-License-Identifier: Apache-2.0
// The program's own code in memory.
#pragma once

namespace bpftune::sys {

// Maps all pages of it into this process, as far as the kernel does that at one go (5.14): what runs for the first time
// is not fetched page by page then. A child that was forked has to do so itself.
void fetch_code();

} // namespace bpftune::sys
