// SPDX-License-Identifier: Apache-2.0
// How much a row of a table deserves to be looked at.
#pragma once

#include <tuple>

#include "signals/catalog.hpp"

namespace bpftune::views {

struct Trouble {
    double loss_rate = 0;
    double loss = 0;
    double use = 0;
    double limit = 0;

    bool noted = false; // the row itself says what is wrong

    [[nodiscard]] bool lossy() const { return loss_rate > 0 || loss > 0; }
    [[nodiscard]] bool any() const { return lossy() || noted; }
    // The most troubled row's is the greatest.
    [[nodiscard]] auto key() const { return std::tuple(loss_rate, any(), limit > 0 ? use / limit : 0, loss); }
};

// `number_of(i)`: what the table's signal i is in the row, 0 where that is not known; `is_known(i)`: whether it is.
template <class NumberOf, class IsKnown>
Trouble trouble_of(const signals::Table& table, NumberOf number_of, IsKnown is_known) {
    using signals::Rank;
    Trouble trouble;
    for (std::size_t i = 0; i < table.signals.size(); ++i) {
        if (!table.signals[i].note.empty() && is_known(i)) trouble.noted = true;
        switch (table.signals[i].rank) {
        case Rank::none: break;
        case Rank::loss_rate: trouble.loss_rate += number_of(i); break;
        case Rank::loss: trouble.loss += number_of(i); break;
        case Rank::use: trouble.use = number_of(i); break;
        case Rank::limit: trouble.limit = number_of(i); break;
        }
    }
    return trouble;
}

} // namespace bpftune::views
