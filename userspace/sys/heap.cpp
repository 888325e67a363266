// SPDX-License-Identifier: Apache-2.0
#include "sys/heap.hpp"

#include <malloc.h>

namespace bpftune::sys {

void map_large_blocks() { ::mallopt(M_MMAP_THRESHOLD, 256 << 10); }

void trim_heap() { ::malloc_trim(0); }

} // namespace bpftune::sys
