// SPDX-License-Identifier: Apache-2.0
// A search through all of /proc takes milliseconds, and most that are not where they were last seen are gone, many at a
// time: for a moment the last one that came to its end answers for the others.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/time.hpp"

namespace bpftune::sys {

class WholeSearch {
public:
    // What comes to be meanwhile is missed; it is new, and seen again soon.
    static constexpr Nanoseconds valid_for = std::chrono::milliseconds(50);

    // All that it came upon, at its end.
    void ended(std::vector<std::uint64_t> seen, MonoTime now) {
        seen_ = std::move(seen);
        std::ranges::sort(seen_);
        valid_until_ = now + valid_for;
    }

    // Whether it would have come upon `id` just now.
    [[nodiscard]] bool misses(std::uint64_t id, MonoTime now) const {
        return now < valid_until_ && !std::ranges::binary_search(seen_, id);
    }

    // `id` is there: one that did not come upon it is out of date.
    void reached(std::uint64_t id, MonoTime now) {
        if (misses(id, now)) valid_until_ = {};
    }

private:
    std::vector<std::uint64_t> seen_;
    MonoTime valid_until_;
};

} // namespace bpftune::sys
