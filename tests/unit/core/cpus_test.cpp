// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "core/cpus.hpp"

namespace bpftune {

TEST_CASE("CPUs are told as the kernel writes them, and those past the first 64 are said to be there") {
    CHECK(parse_cpus("00000000,00000003").value() == Cpus{.first = 3});
    CHECK(parse_cpus("f").value() == Cpus{.first = 15});
    CHECK(parse_cpus("ffffffff,ffffffff").value() == Cpus{.first = ~std::uint64_t{0}});
    CHECK(parse_cpus("1,00000000,00000005").value() == Cpus{.first = 5, .has_more = true});
    CHECK(parse_cpus("1,00000000,00000000,00000005").value() == Cpus{.first = 5, .has_more = true});
    for (const auto* text : {"", ",", "0x3", "3 ", "3\n", "1,1", "123456789", "0-3"}) CHECK_FALSE(parse_cpus(text));
}

TEST_CASE("a list of CPUs is told as its ranges, and what is none is none") {
    CHECK(parse_cpu_list("").value() == Cpus{});
    CHECK(parse_cpu_list("0-3,7").value() == Cpus{.first = 0x8f});
    CHECK(parse_cpu_list("63").value() == Cpus{.first = std::uint64_t{1} << 63});
    CHECK(parse_cpu_list("62-18446744073709551615").value() == Cpus{.first = std::uint64_t{3} << 62, .has_more = true});
    for (const auto* text : {"(null)", "3-1", "-1", "1-", "a", ",,", "1 2"}) CHECK_FALSE(parse_cpu_list(text));
}

TEST_CASE("what is said of CPUs is read as the same") {
    for (const std::uint64_t cpus : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{1} << 32, ~std::uint64_t{0}})
        CHECK(parse_cpus(cpus_text(cpus)).value() == Cpus{.first = cpus});
}

} // namespace bpftune
