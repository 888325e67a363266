// SPDX-License-Identifier: Apache-2.0
#include "service/pod_names.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::service;

namespace {

struct Case {
    std::string what;
    kube::CriState state;
    bool has_listing = false;
    bool is_named = false;
    bool expected = false;
};

} // namespace

TEST_CASE("who is new is waited for where a runtime that has not answered may know him") {
    const auto each = GENERATE(from_range(std::vector<Case>{
        {"not tried yet", {}, false, false, true},
        {"none is there", {.error = "no container runtime"}, false, false, false},
        {"none is there, though an option names it", {.error = "no container runtime"}, false, true, true},
        {"it is there, and refuses", {.unheard = true, .error = "cannot be connected to"}, false, false, true},
        {"none was there, and one has come", {.unheard = true, .error = "no container runtime"}, false, false, true},
        {"who serves it knows no CRI", {.error = "does not speak CRI v1"}, false, false, false},
        {"it answers", {.connected = true}, true, false, false},
        {"it answers, and is named", {.connected = true}, true, true, false},
        {"it has no pods, and another is there", {.connected = true, .unheard = true}, true, false, true},
        {"it did answer, and has gone away", {.error = "has gone away"}, true, false, true},
    }));
    INFO(each.what);
    kube::CriClient::Known known{.listing = nullptr, .state = each.state};
    if (each.has_listing) known.listing = std::make_shared<kube::Listing>();
    CHECK(is_awaited(known, each.is_named) == each.expected);
}
