// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tunables/catalog.hpp"

namespace bpftune::tunables {

TEST_CASE("the rows of the catalog are in the order of their ids, by which they are found") {
    for (std::size_t i = 0; i < catalog().size(); ++i) CHECK(static_cast<std::size_t>(catalog()[i].id) == i);
}

TEST_CASE("a row is of a socket where its kind is") {
    for (const Tunable& tunable : catalog()) {
        INFO(tunable.name);
        CHECK(is_of_socket(tunable.id) == (tunable.kind == Kind::listener || tunable.kind == Kind::udp_buffer));
    }
}

TEST_CASE("a row is of a receive queue or an interrupt where its kind is, and none is of two things") {
    for (const Tunable& tunable : catalog()) {
        INFO(tunable.name);
        CHECK(is_of_queue(tunable.id) == (tunable.kind == Kind::rx_queue));
        CHECK(is_of_interrupt(tunable.id) == (tunable.kind == Kind::interrupt));
        CHECK_FALSE((is_of_queue(tunable.id) && is_of_socket(tunable.id)));
    }
}

TEST_CASE("what is bounded, or never more, is lowered before the other, and else what follows after its leader") {
    for (const Tunable& tunable : catalog()) {
        INFO(tunable.name);
        if (tunable.bounded_by) CHECK(lowering_rank(tunable.id) < lowering_rank(*tunable.bounded_by));
        if (tunable.at_most)
            CHECK(lowering_rank(tunable.id) < lowering_rank(*tunable.at_most));
        else if (tunable.follows)
            CHECK(lowering_rank(tunable.id) > lowering_rank(*tunable.follows));
    }
}

} // namespace bpftune::tunables
