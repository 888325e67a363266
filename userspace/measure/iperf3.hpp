// SPDX-License-Identifier: Apache-2.0
// Throughput by iperf3(1), where it is installed and a server of it answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace bpftune::measure {

struct Throughput {
    double bits_per_second = 0; // that the server received
    double retransmits = 0;     // of the client
};

// What `iperf3 -J` said. Errors: it says that it failed, and why; or it is no such answer. Never throws on any bytes.
Result<Throughput> parse_iperf3(std::string_view text);

// One TCP connection to `host`, an address, for so many seconds. Error: why there is no figure.
Result<Throughput> iperf3(const std::string& host, std::uint16_t port, std::uint64_t seconds);

} // namespace bpftune::measure
