// SPDX-License-Identifier: Apache-2.0
// Counters that are 32 bits wide in the kernel, made to go on where they wrap.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

namespace bpftune::probes {

// One counter per key. Right as long as a counter is read before it has moved by 2^32.
template <class Key> class Widened {
public:
    // The counter's value without the wrap; the first value of a key is taken as it is.
    std::uint64_t update(const Key& key, std::uint64_t value) {
        const auto [at, first] = now_.try_emplace(key, value);
        if (!first) return at->second;
        if (const auto before = before_.find(key); before != before_.end())
            at->second = before->second + static_cast<std::uint32_t>(value - before->second);
        return at->second;
    }

    // The same for one that is read out of turn: nothing is remembered of it.
    [[nodiscard]] std::uint64_t peek(const Key& key, std::uint64_t value) const {
        const auto before = before_.find(key);
        return before == before_.end() ? value : before->second + static_cast<std::uint32_t>(value - before->second);
    }

    // After a reading of all objects: those that were not in it are gone.
    void end_of_reading() {
        before_ = std::move(now_);
        now_.clear();
    }

private:
    std::map<Key, std::uint64_t> before_;
    std::map<Key, std::uint64_t> now_;
};

} // namespace bpftune::probes
