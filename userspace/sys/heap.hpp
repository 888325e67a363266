// SPDX-License-Identifier: Apache-2.0
// What the heap keeps of memory that is not in use any more.
#pragma once

namespace bpftune::sys {

// From now on each block of 256 KiB or more is mapped by itself and goes back to the kernel when it is freed. Else
// glibc learns from the first such blocks to keep them in the heap (M_MMAP_THRESHOLD), where a snapshot of 5,000
// listeners, made anew each second between what stays, takes twice its size.
void map_large_blocks();

// Gives what was freed in small pieces back to the kernel: takes a few milliseconds.
void trim_heap();

} // namespace bpftune::sys
