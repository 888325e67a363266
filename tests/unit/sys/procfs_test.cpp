// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "sys/procfs.hpp"

using namespace bpftune::sys;

TEST_CASE("softnet_stat of 6.4 and later: the CPU is a column, the two queues after it are not the backlog") {
    const auto rows = parse_softnet_stat(
        "00000015 00000002 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000002a "
        "00000000 00000029 00000001\n"
        "0000033f 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000003 00000000 00000000\n");
    REQUIRE(rows.has_value());
    CHECK(*rows == std::vector<SoftnetRow>{{0, 0x15, 2, 3, 0x2a}, {3, 0x33f, 0, 0, 0}});
}

TEST_CASE("softnet_stat of 5.10 to 6.3 has backlog and CPU") {
    const auto rows = parse_softnet_stat("00358fe3 00006283 00000000 00000000 00000000 00000000 00000000 00000000 "
                                         "00000000 00000000 00000000 00000007 00000001\n");
    REQUIRE(rows.has_value());
    CHECK(*rows == std::vector<SoftnetRow>{{1, 0x358fe3, 0x6283, 0, 7}});
}

TEST_CASE("softnet_stat of 4.19 tells neither backlog nor CPU: rows are counted") {
    const auto rows = parse_softnet_stat(
        "000f4240 00000000 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"
        "00000001 00000009 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n");
    REQUIRE(rows.has_value());
    CHECK(*rows == std::vector<SoftnetRow>{{0, 1'000'000, 0, 10, std::nullopt}, {1, 1, 9, 0, std::nullopt}});
}

TEST_CASE("what is no softnet_stat is refused") {
    CHECK_FALSE(parse_softnet_stat("00000001 0000000g 00000000\n").has_value());
    CHECK_FALSE(parse_softnet_stat("00000001 00000000\n").has_value());
    CHECK_FALSE(parse_softnet_stat("\n").has_value());
    CHECK(parse_softnet_stat("")->empty());
}

TEST_CASE("conntrack's counters are summed over the CPUs, its entries are not") {
    const auto stat = parse_conntrack_stat(
        "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop "
        "icmp_error  expect_new expect_create expect_delete search_restart\n"
        "00004e20  00000000 00000001 00000000 00000000 00000000 00000000 00000002 00000000 00000002 00003e8d 00000003 "
        "00000000  00000000 00000000 00000000 00000000\n"
        "00004e20  00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000001 00000001 "
        "00000000  00000000 00000000 00000000 00000000\n");
    REQUIRE(stat.has_value());
    CHECK(*stat ==
          ConntrackStat{.entries = 20000, .insert_failed = 3, .drop = 16014, .early_drop = 4, .chain_too_long = 2});
}

TEST_CASE("conntrack's columns are found by name: 4.9 calls the second one otherwise") {
    const auto stat = parse_conntrack_stat(
        "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop "
        "icmp_error  expect_new expect_create expect_delete search_restart\n"
        "0000000a  00000063 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000002 00000003 "
        "00000000  00000000 00000000 00000000 00000000\n");
    REQUIRE(stat.has_value());
    CHECK(*stat == ConntrackStat{.entries = 10, .insert_failed = 1, .drop = 2, .early_drop = 3});
}

TEST_CASE("what is no conntrack statistic is refused") {
    CHECK_FALSE(parse_conntrack_stat("").has_value());
    CHECK_FALSE(parse_conntrack_stat("entries drop\n00000001 00000001\n").has_value());
    CHECK_FALSE(parse_conntrack_stat("entries insert_failed drop early_drop\n00000001 00000001\n").has_value());
    CHECK_FALSE(parse_conntrack_stat("entries insert_failed drop early_drop\n1 2 3 x\n").has_value());
}

TEST_CASE("the neighbour tables' counters are summed over the CPUs, their entries are not") {
    const auto stat = parse_neighbour_stat(
        "entries  allocs   destroys hash_grows lookups  hits     res_failed rcv_probes_mcast rcv_probes_ucast "
        "periodic_gc_runs forced_gc_runs unresolved_discards table_fulls\n"
        "00000400 00000410 0000002a 00000000   000000b7 00000003 00000007   00000000         00000000         "
        "00000000         00000000       00000000            000003d1\n"
        "00000400 00000001 0000002f 00000000   000000bc 00000006 100000000  00000000         00000000         "
        "00000059         00000000       00000000            00000002\n");
    REQUIRE(stat.has_value());
    CHECK(*stat == NeighbourStat{.entries = 1024, .allocs = 1041, .res_failed = 0x100000007, .table_fulls = 979});
    CHECK_FALSE(parse_neighbour_stat("").has_value());
    CHECK_FALSE(parse_neighbour_stat("entries allocs res_failed\n00000001 00000001 00000001\n").has_value());
    CHECK_FALSE(parse_neighbour_stat("entries allocs res_failed table_fulls\n1 2 3\n").has_value());
}

TEST_CASE("netstat's numbers stand under their names") {
    constexpr auto text = "TcpExt: SyncookiesSent TW TWRecycled TWKilled ListenOverflows\n"
                          "TcpExt: 7814 12 0 3 355\n"
                          "IpExt: InNoRoutes TW\n"
                          "IpExt: 4 99\n";
    CHECK(netstat_value(text, "TcpExt", "SyncookiesSent") == 7814U);
    CHECK(netstat_value(text, "TcpExt", "ListenOverflows") == 355U);
    CHECK(netstat_value(text, "IpExt", "TW") == 99U);
    CHECK_FALSE(netstat_value(text, "TcpExt", "TCPReqQFullDrop").has_value());
    CHECK_FALSE(netstat_value(text, "Tcp", "TW").has_value());
    CHECK_FALSE(netstat_value("TcpExt: TW\n", "TcpExt", "TW").has_value());
}

TEST_CASE("sockstat's numbers follow their names") {
    constexpr auto text = "sockets: used 148\nTCP: inuse 5 orphan 0 tw 812 alloc 7 mem 1\nUDP: inuse 2 mem 0\n";
    CHECK(sockstat_value(text, "TCP", "tw") == 812U);
    CHECK(sockstat_value(text, "UDP", "mem") == 0U);
    CHECK_FALSE(sockstat_value(text, "UDP", "tw").has_value());
    CHECK_FALSE(sockstat_value(text, "TCP6", "tw").has_value());
}

TEST_CASE("meminfo's numbers stand under their names, in bytes") {
    constexpr auto text =
        "MemTotal:       16316412 kB\nMemFree:         1000 kB\nMemAvailable:       2048 kB\nHugePages_Total:  3\n";
    CHECK(meminfo_bytes(text, "MemAvailable") == 2048U * 1024);
    CHECK_FALSE(meminfo_bytes(text, "Mem").has_value());
    CHECK_FALSE(meminfo_bytes(text, "HugePages_Total").has_value());
}

TEST_CASE("pressure is that of some task in the last ten seconds") {
    CHECK(pressure_avg10("some avg10=1.25 avg60=0.50 avg300=0.00 total=99\nfull avg10=7.00\n") == 1.25);
    CHECK_FALSE(pressure_avg10("full avg10=7.00 avg60=0.00\n").has_value());
    CHECK_FALSE(pressure_avg10("some avg10=high\n").has_value());
    CHECK_FALSE(pressure_avg10("").has_value());
}

TEST_CASE("CPU time is that of all CPUs, softirqs and everything but what guests have in user time already") {
    const auto time = cpu_time("cpu  10 20 30 40 50 60 70 80 9 1\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 5 1 2\n");
    REQUIRE(time.has_value());
    CHECK(*time == CpuTime{.softirq = 70, .total = 360});
    CHECK(cpu_time("cpu  1 1 1 1 1 1 1 1\n").has_value());
}

TEST_CASE("of each CPU that is online it is known what interrupts, softirqs and the hypervisor took, and idling") {
    const auto cpus = cpus_interrupts("cpu  11 22 33 44 55 66 77 88 9 9\ncpu0 1 2 3 40 5 6 7 8 9 9\n"
                                      "cpu12 1 1 1 1 1 1 1 1 0 0\nintr 5 1 2\n");
    CHECK(cpus == std::vector<CpuInterrupts>{{.cpu = 0, .taken = 21, .total = 72, .idle = 45},
                                             {.cpu = 12, .taken = 3, .total = 8, .idle = 2}});
    CHECK(cpus_interrupts("").empty());
    CHECK(cpus_interrupts("cpu  1 1 1 1 1 1 1 1\ncpu0 1 1 1\n").empty());
    CHECK(cpus_interrupts("cpu  1 1 1 1 1 1 1 1\ncpufreq 1 1 1 1 1 1 1 1\n").empty());
}

TEST_CASE("of each network device it is known how many packets it received and of how many bytes, whatever its name") {
    const std::string titles = "Inter-|   Receive                                                |  Transmit\n"
                               " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n";
    CHECK(devices_received(titles +
                           "    lo: 1234 12 0 0 0 0 0 0 1234 12\n  eth0:99 7 0 0 0 0 0 0 1 1\n\x1b[0m|: 1 2 3\n") ==
          std::vector<DeviceReceived>{{.name = "lo", .received = {.packets = 12, .bytes = 1234}},
                                      {.name = "eth0", .received = {.packets = 7, .bytes = 99}},
                                      {.name = "\x1b[0m|", .received = {.packets = 2, .bytes = 1}}});
    for (const auto* text :
         {"", "\n", "\n\n", "\n\neth0\n", "\n\n: 1 2\n", "\n\neth0: 1\n", "\n\neth0: 1 x\n", "\n\neth0: x 1\n"})
        CHECK(devices_received(text).empty());
}

TEST_CASE("softnet_stat counts what the limit of one flow dropped") {
    const auto rows = parse_softnet_stat("00000015 00000009 00000000 00000000 00000000 00000000 00000000 00000000 "
                                         "00000000 00000000 00000004\n");
    REQUIRE(rows.has_value());
    CHECK(rows->front().flow_limited == 4);
}

TEST_CASE("what is no CPU time is refused") {
    CHECK_FALSE(cpu_time("").has_value());
    CHECK_FALSE(cpu_time("cpu  1 1 1 1 1 1 1\n").has_value());
    CHECK_FALSE(cpu_time("cpu0 1 1 1 1 1 1 1 1 1 1\n").has_value());
    CHECK_FALSE(cpu_time("cpu  1 1 1 1 1 -1 1 1 0 0\n").has_value());
}

TEST_CASE("a sysctl of several numbers is all of them, or none") {
    CHECK(sysctl_numbers("287898\t383865\t575796\n") == std::vector<std::uint64_t>{287898, 383865, 575796});
    CHECK(sysctl_numbers("7\n") == std::vector<std::uint64_t>{7});
    CHECK(sysctl_numbers("1\tmany\t3\n").empty());
    CHECK(sysctl_numbers("").empty());
}

TEST_CASE("what is written to a sysctl is read as the kernel does") {
    using Numbers = std::vector<std::uint64_t>;
    CHECK(written_numbers("131072\n") == Numbers{131072});
    CHECK(written_numbers(" \t512 77\n") == Numbers{512, 77});
    CHECK(written_numbers("4096\t0x20000  6291456") == Numbers{4096, 131072, 6291456});
    CHECK(written_numbers("4096 -1 6291456") == Numbers{4096});
    CHECK(written_numbers("010\n") == Numbers{8});
    CHECK(written_numbers("0") == Numbers{0});
    for (const auto* refused : {"", "\n", "-1", "12x", "0x", "09", "many", "99999999999999999999"})
        CHECK(written_numbers(refused).empty());
}
