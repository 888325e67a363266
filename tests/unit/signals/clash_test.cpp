// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <arpa/inet.h>

#include "signals/clash.hpp"

using namespace bpftune;
using namespace bpftune::signals;

namespace {

probes::ConntrackEnd end_of(const char* address, std::uint16_t port) {
    probes::ConntrackEnd end{.port = port};
    ::inet_pton(AF_INET, address, end.address.data());
    return end;
}

probes::ConntrackEntry translated(std::uint16_t from, std::uint16_t to, const char* peer = "10.91.2.2") {
    return {.family = AF_INET,
            .transport = IPPROTO_TCP,
            .source_nat = true,
            .port = 8080,
            .from = from,
            .translated = end_of("10.91.2.1", to),
            .peer = end_of(peer, 8080)};
}

probes::ConntrackSample masquerade_to(std::uint16_t ports) {
    probes::ConntrackSample sample{.whole = true};
    for (std::uint16_t i = 0; i < ports; ++i)
        sample.entries.push_back(
            translated(static_cast<std::uint16_t>(33000 + 7 * i), static_cast<std::uint16_t>(40000 + i)));
    return sample;
}

} // namespace

TEST_CASE("translated sources that fill their ports are NAT without a free one") {
    const std::uint16_t ports = GENERATE(std::uint16_t{1}, std::uint16_t{5}, std::uint16_t{50}, std::uint16_t{900});
    const Clash clash = clash_of(masquerade_to(ports), ports);
    CHECK(clash.nat_exhausted);
    if (ports == 1)
        CHECK(clash.sentence ==
              "NAT ports exhausted: port 40000 of 10.91.2.1 is taken by a connection to 10.91.2.2:8080");
    if (ports == 5)
        CHECK(clash.sentence ==
              "NAT ports exhausted: ports 40000-40004 of 10.91.2.1 are taken by connections to 10.91.2.2:8080");
}

TEST_CASE("a part of a large table is counted for the whole") {
    probes::ConntrackSample sample;
    for (std::uint16_t i = 0; i < 500; ++i)
        sample.entries.push_back(translated(1, static_cast<std::uint16_t>(40000 + 10 * i)));
    CHECK(clash_of(sample, 5000).nat_exhausted);
    CHECK_FALSE(clash_of(sample, 1000).nat_exhausted);
}

TEST_CASE("one port is a range when two connections got it, or when there is nothing else to clash with") {
    probes::ConntrackSample sample{.whole = true};
    sample.entries = {translated(33000, 41234, "1.2.3.4")};
    const probes::ConntrackEntry query{.family = AF_INET, .transport = IPPROTO_UDP, .port = 53, .from = 50000};
    SECTION("alone") { CHECK(clash_of(sample, 1).nat_exhausted); }
    SECTION("alone, and of a protocol whose packets come at once") {
        sample.entries[0].transport = IPPROTO_UDP;
        CHECK_FALSE(clash_of(sample, 1).nat_exhausted);
    }
    SECTION("beside two queries of one socket") {
        sample.entries.push_back(query);
        const Clash clash = clash_of(sample, 2);
        CHECK_FALSE(clash.nat_exhausted);
        CHECK(clash.sentence.starts_with("another connection was in the table"));
    }
    SECTION("beside them, for two connections") {
        sample.entries.push_back(query);
        sample.entries.push_back(translated(33001, 41234, "1.2.3.5"));
        CHECK(clash_of(sample, 3).nat_exhausted);
    }
    SECTION("for one socket that asks two servers, which keeps what it got") {
        sample.entries.push_back(translated(33000, 41234, "1.2.3.5"));
        CHECK_FALSE(clash_of(sample, 2).nat_exhausted);
    }
}

TEST_CASE("a few connections of a large table do not stand for many") {
    probes::ConntrackSample sample;
    const int each = GENERATE(1, 2, 5, 19);
    for (std::uint8_t host = 1; host < 50; ++host)
        for (int i = 0; i < each; ++i) {
            auto entry = translated(33000, static_cast<std::uint16_t>(20000 + 40 * i + host), "1.2.3.4");
            entry.translated.address[3] = host;
            sample.entries.push_back(entry);
        }
    CHECK_FALSE(clash_of(sample, sample.entries.size() * 100).nat_exhausted);
}

TEST_CASE("connections that are not translated, keep their ports or have many left clash for another reason") {
    enum class Why { not_translated, kept, many_left };
    const Why why = GENERATE(Why::not_translated, Why::kept, Why::many_left);
    probes::ConntrackSample sample{.whole = true};
    for (std::uint16_t i = 0; i < 40; ++i) {
        probes::ConntrackEntry entry = translated(static_cast<std::uint16_t>(33000 + i), 0);
        if (why == Why::not_translated) entry.source_nat = false;
        entry.translated.port = why == Why::many_left ? static_cast<std::uint16_t>(20000 + 1000 * i) : entry.from;
        sample.entries.push_back(entry);
    }
    const Clash clash = clash_of(sample, sample.entries.size());
    CHECK_FALSE(clash.nat_exhausted);
    CHECK(clash.sentence.starts_with("another connection was in the table"));
}

TEST_CASE("ports that one peer's connections fill are exhausted, whatever others of the same address have") {
    enum class Others { kept, wide_range };
    const Others others = GENERATE(Others::kept, Others::wide_range);
    probes::ConntrackSample sample = masquerade_to(5);
    for (std::uint16_t i = 0; i < 60; ++i) {
        const auto from = static_cast<std::uint16_t>(33000 + 11 * i);
        const auto to = others == Others::kept ? from : static_cast<std::uint16_t>(20000 + 600 * i);
        sample.entries.push_back(translated(from, to, "10.91.2.9"));
    }
    const Clash clash = clash_of(sample, sample.entries.size());
    CHECK(clash.nat_exhausted);
    CHECK(clash.sentence ==
          "NAT ports exhausted: ports 40000-40004 of 10.91.2.1 are taken by connections to 10.91.2.2:8080");
}

TEST_CASE("two ports beside each other are no range where others of the same address have many") {
    probes::ConntrackSample sample{.whole = true};
    for (std::uint16_t i = 0; i < 60; ++i)
        sample.entries.push_back(translated(1, static_cast<std::uint16_t>(20000 + 600 * i), "10.91.2.9"));
    sample.entries.push_back(translated(2, 30000));
    sample.entries.push_back(translated(3, 30001));
    CHECK_FALSE(clash_of(sample, sample.entries.size()).nat_exhausted);
}
