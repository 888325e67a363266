// SPDX-License-Identifier: Apache-2.0
// What must hold of a Snapshot, whatever the kernel and the processes on the node said.
#pragma once

#include <string>

#include "fuzz/fuzz.hpp"
#include "recording/json.hpp"

namespace bpftune::fuzz {

template <class T> void must_be_printable(const T& value) {
    if constexpr (recording::Struct<T>) {
        recording::Fields<T>::each([](std::string_view, const auto& member) { must_be_printable(member); }, value);
    } else if constexpr (std::same_as<T, std::string>) {
        must(is_printable(value), "what is in a snapshot is safe to print");
    } else if constexpr (recording::is_optional<T>) {
        if (value) must_be_printable(*value);
    } else if constexpr (recording::is_vector<T> || recording::is_array<T> || recording::is_set<T>) {
        for (const auto& element : value) must_be_printable(element);
    } else if constexpr (recording::is_map<T>) {
        for (const auto& [key, mapped] : value) {
            must_be_printable(key);
            must_be_printable(mapped);
        }
    }
}

} // namespace bpftune::fuzz
