// SPDX-License-Identifier: Apache-2.0
#include "signals/attribution.hpp"

#include <algorithm>
#include <numeric>

namespace bpftune::signals {

std::vector<std::uint64_t> divide(std::uint64_t total, std::span<const std::uint64_t> claims) {
    std::vector<std::uint64_t> shares(claims.begin(), claims.end());
    const std::uint64_t claimed = std::accumulate(claims.begin(), claims.end(), std::uint64_t{0});
    if (claimed <= total) return shares;

    std::vector<std::size_t> by_remainder(claims.size());
    std::iota(by_remainder.begin(), by_remainder.end(), std::size_t{0});
    const auto product = [&](std::size_t i) { return static_cast<unsigned __int128>(total) * claims[i]; };
    std::uint64_t given = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
        shares[i] = static_cast<std::uint64_t>(product(i) / claimed);
        given += shares[i];
    }
    std::ranges::stable_sort(by_remainder, std::greater{},
                             [&](std::size_t i) { return static_cast<std::uint64_t>(product(i) % claimed); });
    for (std::size_t k = 0; given < total; ++k, ++given) ++shares[by_remainder[k]];
    return shares;
}

std::vector<std::uint64_t> least(std::uint64_t total, std::span<const std::uint64_t> claims) {
    const std::uint64_t claimed = std::accumulate(claims.begin(), claims.end(), std::uint64_t{0});
    std::vector<std::uint64_t> shares;
    shares.reserve(claims.size());
    for (const std::uint64_t claim : claims) {
        const std::uint64_t of_others = claimed - claim;
        shares.push_back(std::min(claim, total > of_others ? total - of_others : 0));
    }
    return shares;
}

} // namespace bpftune::signals
