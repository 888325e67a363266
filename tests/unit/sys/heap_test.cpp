// SPDX-License-Identifier: Apache-2.0
#include "sys/heap.hpp"

#include <cstddef>
#include <vector>

#include <catch2/catch.hpp>
#include <malloc.h>

namespace bpftune::sys {
namespace {

std::size_t mapped_bytes() { return ::mallinfo2().hblkhd; }

} // namespace

TEST_CASE("a large block is mapped by itself, one that is made after another was freed as well") {
    constexpr std::size_t size = std::size_t{1} << 20;
    {
        std::vector<char> first(size);                          // from which glibc learns
        if (::malloc_usable_size(first.data()) == size) return; // a sanitizer's, which has no such heap
    }
    map_large_blocks();
    for (int round = 0; round < 3; ++round) {
        const std::size_t before = mapped_bytes();
        const std::vector<char> block(size);
        CHECK(mapped_bytes() >= before + size);
    }
}

} // namespace bpftune::sys
