// SPDX-License-Identifier: Apache-2.0
// All entries of a BPF hash map.
#pragma once

#include <cerrno>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/result.hpp"

namespace bpftune::probes {

// Calls `use(key, value)` for each. Entries that come or go meanwhile may be among them.
template <class Key, class Value, class Use> Result<> for_each_entry(const bpf_map* map, Use use) {
    constexpr __u32 chunk = 512;
    std::vector<Key> keys(chunk);
    std::vector<Value> values(chunk);
    __u32 position = 0;
    bool first = true;
    while (true) {
        __u32 count = chunk;
        const int error = bpf_map_lookup_batch(bpf_map__fd(map), first ? nullptr : &position, &position, keys.data(),
                                               values.data(), &count, nullptr);
        if (error != 0 && error != -ENOENT) return system_failure(-error, "read {}", bpf_map__name(map));
        for (__u32 i = 0; i < count; ++i) use(keys[i], values[i]);
        if (error != 0) return {};
        first = false;
    }
}

} // namespace bpftune::probes
