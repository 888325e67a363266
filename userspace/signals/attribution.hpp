// SPDX-License-Identifier: Apache-2.0
// The kernel counts accept-queue overflows for a namespace (ListenOverflows); each listener counts only drops
// (sk_drops), which include other discards. This divides the first by the second.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bpftune::signals {

// Divides `total` among `claims`. Claims that add up to no more than `total` are met in full, and the rest is nobody's;
// larger ones share `total` in proportion, by largest remainders, so that nothing is lost to rounding.
// Exact while one listener overflows at a time, or where claims are exact (kernels with rx_sk in kfree_skb).
std::vector<std::uint64_t> divide(std::uint64_t total, std::span<const std::uint64_t> claims);

// What of `total` each has at the least, as all claims of the others leave so much of it: where some claims are false
// and nobody knows which.
std::vector<std::uint64_t> least(std::uint64_t total, std::span<const std::uint64_t> claims);

} // namespace bpftune::signals
