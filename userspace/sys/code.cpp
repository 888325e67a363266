// SPDX-License-Identifier: Apache-2.0
#include "sys/code.hpp"

#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

// Of the linker (ld): where the program begins, and where its code ends.
extern "C" const char __executable_start; // NOLINT(bugprone-reserved-identifier)
extern "C" const char etext;

namespace bpftune::sys {

void fetch_code() {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start) & ~(page - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(&etext);
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ); // NOLINT(performance-no-int-to-ptr)
}

} // namespace bpftune::sys
