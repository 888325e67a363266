// SPDX-License-Identifier: Apache-2.0
// Connects to one address, so many at once and so many a second at most, and says what became of each.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"
#include "measure/target.hpp"

namespace bpftune::measure {

// Why a connection was none.
enum class Failure : std::size_t {
    refused,
    timed_out,  // connect() did not end
    unanswered, // it did, but the server has no such connection: the last ACK met a full accept queue
    no_port,
    reset,
    unreachable,
    other,
};
inline constexpr std::size_t failures = 7;
std::string_view to_string(Failure failure); // "refused"

struct Plan {
    std::uint64_t at_once = 10;
    std::uint64_t per_second = 1000;
    Nanoseconds length = std::chrono::seconds(5); // none begins later
    std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
};

struct Results {
    std::vector<double> connect_ms;    // of each that was there in the end, from connect() on, SYNs sent again included
    std::vector<double> round_trip_ms; // that of its handshake, as the kernel took it (TCP_INFO), where it did
    std::array<std::uint64_t, failures> failed{};
    std::uint64_t in_length = 0; // how many were connected before the length was over

    [[nodiscard]] std::uint64_t failed_count() const;
    [[nodiscard]] std::optional<Failure> most_frequent() const; // nullopt: none failed
};

// A connection that is not there so long after connect() is none: SYNs are sent again after 1 and 3 s.
inline constexpr Nanoseconds patience = std::chrono::seconds(5);

// Nothing is sent on a connection but its end, and it is there when the server's kernel has acknowledged that: a
// SYN-ACK alone promises nothing, as the last ACK of the handshake may be dropped. Returns at most `patience` after the
// length.
Result<Results> connects(const Address& address, const Plan& plan);

} // namespace bpftune::measure
