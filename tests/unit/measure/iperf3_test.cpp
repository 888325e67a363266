// SPDX-License-Identifier: Apache-2.0
#include "measure/iperf3.hpp"

#include <catch2/catch.hpp>

using namespace bpftune::measure;

TEST_CASE("iperf3's answer gives what the server received") {
    const auto throughput = parse_iperf3(R"({"end": {"sum_sent": {"bits_per_second": 2e9, "retransmits": 12},
                                                     "sum_received": {"bits_per_second": 1.5e9}}})");
    REQUIRE(throughput);
    CHECK(throughput->bits_per_second == 1.5e9);
    CHECK(throughput->retransmits == 12);
}

TEST_CASE("iperf3's own error is passed on, fit to show") {
    const auto failed = parse_iperf3(R"({"start": {}, "end": {}, "error": "unable to connect: \u001b[2Jrefused"})");
    REQUIRE(!failed);
    CHECK(failed.error().message == "unable to connect: \\x1b[2Jrefused");
}

TEST_CASE("what is no answer of iperf3 is no figure") {
    for (const char* text : {"", "{", "null", "[1]", R"({"end": 1})", R"({"end": {"sum_received": []}})",
                             R"({"end": {"sum_received": {"bits_per_second": "fast"}}})",
                             R"({"end": {"sum_received": {"bits_per_second": -1}}})",
                             R"({"end": {"sum_received": {"bits_per_second": 1e999}}})", "\xff\xfe"}) {
        INFO(text);
        const auto none = parse_iperf3(text);
        REQUIRE(!none);
        CHECK(none.error().message == "its answer is not understood");
    }
    CHECK(!parse_iperf3(std::string(1'000'000, '[')));
}
