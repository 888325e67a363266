// SPDX-License-Identifier: Apache-2.0
// A fuzz target is a file that defines `run`: it gives some code of ours the bytes that libFuzzer makes up, and says
// what holds whatever they are. What ends the program (`must`, a sanitizer, too much time or memory) is a failure, and
// libFuzzer keeps the bytes.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "core/text.hpp"

namespace bpftune::fuzz {

void run(std::span<const std::byte> bytes);

inline std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

// For a terminal: lines of text that is safe to print.
inline void must_be_lines(std::string_view text) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        must(is_printable(text.substr(0, end)), "every line is safe to print");
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

} // namespace bpftune::fuzz
