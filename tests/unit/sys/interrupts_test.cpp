// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "sys/interrupts.hpp"

using namespace bpftune::sys;

TEST_CASE("interrupts are told with how often each CPU was given one, and who handles them") {
    const auto lines =
        interrupt_lines("           CPU0       CPU2       \n"
                        "  4:          0         12   IO-APIC   4-edge      ttyS0\n"
                        " 26:       1000   40000000  PCI-MSIX-0000:00:03.0   1-edge      virtio0-input.0\n"
                        "NMI:          1          2   Non-maskable interrupts\n"
                        "ERR:          0\n");
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == InterruptLine{.irq = 4, .name = "ttyS0", .taken = {{0, 0}, {2, 12}}});
    CHECK(lines[1] == InterruptLine{.irq = 26, .name = "virtio0-input.0", .taken = {{0, 1000}, {2, 40000000}}});
}

TEST_CASE("an interrupt that nobody handles has no name") {
    const auto lines = interrupt_lines("   CPU0\n 30:   0\n");
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].name.empty());
}

TEST_CASE("what is no list of interrupts has none, and a line that is cut short is left out") {
    CHECK(interrupt_lines("").empty());
    CHECK(interrupt_lines("\n 4: 1\n").size() <= 1);
    CHECK(interrupt_lines("  cpu0 CPU1\n 4: 1 2  x\n").at(0).taken.empty());
    CHECK(interrupt_lines("  CPU0 CPU1\n 4: 1\n 5: 1 many  x\n 99999999999: 1 2  x\n : 1 2\n").empty());
}
