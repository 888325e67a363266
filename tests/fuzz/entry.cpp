// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "fuzz/fuzz.hpp"

// libFuzzer's name for it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bpftune::fuzz::run(std::as_bytes(std::span(data, size)));
    return 0;
}
