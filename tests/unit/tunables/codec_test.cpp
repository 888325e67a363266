// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tunables/codec.hpp"

using namespace bpftune;
using namespace bpftune::tunables;

namespace {

const Tunable& whole = row(TunableId::somaxconn);
const Tunable& last_of_three = row(TunableId::tcp_rmem);
const Tunable& first_port = row(TunableId::ip_local_port_range);

const Tunable& reuse = row(TunableId::tcp_tw_reuse);
const Tunable& control = row(TunableId::tcp_congestion_control);

} // namespace

TEST_CASE("a value that has its file to itself is all of the text") {
    CHECK(value_in(whole, "4096\n").value() == 4096);
    CHECK(text_with(whole, "4096\n", 128).value() == "128");
    for (const auto* other : {"", "\n", "4096 1", "many", "-1"}) CHECK_FALSE(value_in(whole, other).has_value());
}

TEST_CASE("one of several numbers is read and set where it stands, and the others stay as they are") {
    CHECK(value_in(last_of_three, "4096\t131072\t6291456\n").value() == 6291456);
    CHECK(text_with(last_of_three, "4096\t131072\t6291456\n", 8388608).value() == "4096\t131072\t8388608");
    CHECK(text_with(last_of_three, "1 2 3 4\n", 8).value() == "1 2 8 4");
}

TEST_CASE("a file that has fewer numbers than one reads from it is said to be none of that kind") {
    CHECK(value_in(last_of_three, "4096\t131072\n").error().message == "'4096\\x09131072\\x0a' has no number 3");
    CHECK_FALSE(text_with(last_of_three, "4096\t131072\n", 1).has_value());
    CHECK_FALSE(value_in(last_of_three, "4096 131072 many").has_value());
}

TEST_CASE("a value that is counted down is what the number is short of another, and the others stay as they are") {
    CHECK(value_in(first_port, "32768\t60999\n").value() == 32768);
    CHECK(value_in(first_port, "10000 60999").value() == 55536);
    CHECK(text_with(first_port, "32768\t60999\n", 32768).value() == "32768\t60999");
    CHECK(text_with(first_port, "20000\t55000\n", 55536).value() == "10000\t55000");
    for (const auto* other : {"", "a b", "65537 65537"}) CHECK_FALSE(value_in(first_port, other).has_value());
    CHECK_FALSE(text_with(first_port, "32768 60999", 65537).has_value());
}

TEST_CASE("what somebody was about to write is read as the file would be") {
    CHECK(value_in(first_port, {.value = 1024, .more = {65535}}) == 64512);
    CHECK_FALSE(value_in(first_port, {.value = 65537, .more = {65538}}).has_value());
    CHECK(value_in(whole, {.value = 128}) == 128);
    CHECK(value_in(last_of_three, {.value = 1, .more = {2, 3}}) == 3);
}

TEST_CASE("a word is the value at its place, and what is none of the words is not touched") {
    CHECK(value_in(reuse, "0\n").value() == 0);
    CHECK(value_in(reuse, "2\n").value() == 1);
    CHECK(value_in(reuse, "1\n").value() == 2); // it grants most
    CHECK(text_with(reuse, "2\n", 2).value() == "1");
    CHECK_FALSE(text_with(reuse, "2\n", 3).has_value());
    CHECK(value_in(control, "bbr\n").value() == control.kernel_max);
    for (const auto* other : {"", "\n", "brutal\n", "bbr cubic", "BBR"})
        CHECK_FALSE(value_in(control, other).has_value());
    CHECK(value_in(control, {.value = {}, .text = "cubic"}) == value_of(control, "cubic").value());
    CHECK_FALSE(value_in(control, {.value = {}, .text = "brutal"}).has_value());
}

TEST_CASE("a set of CPUs is the bits of the value, and one with a CPU past the first 64 is not touched") {
    const Tunable& cpus = row(TunableId::rps_cpus);
    CHECK(value_in(cpus, "00000000,00000003\n").value() == 3);
    CHECK(value_in(cpus, "f\n").value() == 15);
    CHECK(value_in(cpus, "0\n").value() == 0);
    CHECK(value_in(cpus, "80000001,00000002\n").value() == 0x8000000100000002);
    CHECK(value_in(cpus, "00000000,00000000,80000001,00000002\n").value() == 0x8000000100000002);
    CHECK(value_in(cpus, {.value = 10, .text = "10"}) == 16);
    for (const auto* other : {"1,00000000,00000000", "", "\n", ",", "3,", ",3", "3,1", "3,000000001", "123456789",
                              "0x3", "-1", "g", "3 4", "0-3"})
        CHECK_FALSE(value_in(cpus, other).has_value());
    CHECK(text_with(cpus, "00000000,00000000\n", 3).value() == "3");
    CHECK(text_of(cpus, std::uint64_t{1} << 32) == "1,00000000");
    CHECK(text_of(cpus, 0) == "0");
}

TEST_CASE("what is said of a value is what its file says of it") {
    CHECK(text_of(TunableId::somaxconn, 4096) == "4096");
    CHECK(text_of(TunableId::ip_local_port_range, 55536) == "10000");
    CHECK(value_of(TunableId::ip_local_port_range, "10000").value() == 55536);
    for (const Tunable& tunable : catalog())
        for (const std::uint64_t value : {tunable.kernel_min, tunable.default_max, tunable.kernel_max})
            CHECK(value_of(tunable, text_of(tunable, value)).value() == value);
    const Decision decision{.tunable = TunableId::tcp_congestion_control, .from = 3, .to = control.kernel_max};
    const Change change = change_of(decision, {}, ChangeState::applied);
    CHECK(change.from == "cubic");
    CHECK(change.to == "bbr");
}
