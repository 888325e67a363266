// SPDX-License-Identifier: Apache-2.0
#include "service/without_effect.hpp"

#include <optional>
#include <string_view>

#include <catch2/catch.hpp>

#include "policy/parse.hpp"
#include "tunables/catalog.hpp"
#include "tunables/not_tuned.hpp"
#include "tunables/without_effect.hpp"

using namespace bpftune;
using namespace bpftune::service;

namespace {

policy::Policy expecting(const std::string& lines) {
    const auto parsed = policy::parse("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\n"
                                      "metadata: {name: expecting}\nspec:\n  expect:\n" +
                                      lines);
    REQUIRE(parsed);
    return *parsed;
}

auto always(std::optional<std::uint64_t> value) {
    return [value](std::string_view) { return value; };
}

const char* const ipv6 = "    net/ipv6/route/max_size: 16384\n";

} // namespace

TEST_CASE("what a policy expects of IPv4's routing cache does nothing on any kernel") {
    const auto found = named_in_vain(expecting("    net.ipv4.ip_forward: 1\n    net.ipv4.route.max_size: 8\n"
                                               "    net.ipv4.route.gc_thresh: 8\n"),
                                     always({}));
    REQUIRE(found.size() == 2);
    CHECK(sentence(found[0]) == "net.ipv4.route.max_size does nothing here: IPv4 has no routing cache since 3.6");
    CHECK(found[1].name == "net.ipv4.route.gc_thresh");
}

TEST_CASE("a limit on the routes of IPv6 does nothing where a new network namespace has the largest there is") {
    const auto found = named_in_vain(expecting(ipv6), always(2147483647));
    REQUIRE(found.size() == 1);
    CHECK(found[0].name == "net/ipv6/route/max_size");
}

TEST_CASE("a limit on the routes of IPv6 is not said to do nothing where it limits, or where that is not known") {
    CHECK(named_in_vain(expecting(ipv6), always(4096)).empty());
    CHECK(named_in_vain(expecting(ipv6), always({})).empty());
}

TEST_CASE("what is gone from Linux, or is read by nothing, does nothing on any kernel") {
    const auto found = named_in_vain(expecting("    net.ipv4.tcp_tw_recycle: 1\n    net.ipv4.tcp_low_latency: 1\n"
                                               "    net.ipv4.tcp_fack: 1\n"),
                                     always({}));
    REQUIRE(found.size() == 3);
    CHECK(sentence(found[0]) ==
          "net.ipv4.tcp_tw_recycle does nothing here: Linux has it no more since 4.12: it refused "
          "connections of clients that share an address");
}

TEST_CASE("no tunable is among the sysctls that do nothing, or not what they are set for") {
    for (const auto& each : tunables::not_tuned()) {
        INFO(each.name);
        CHECK(tunables::find(each.name) == nullptr);
        CHECK(tunables::find_without_effect(each.name) == nullptr);
    }
    for (const auto& each : tunables::without_effect()) {
        INFO(each.name);
        CHECK(tunables::find(each.name) == nullptr);
        CHECK(tunables::find_without_effect(each.name) == &each);
    }
}

TEST_CASE("a bound on handshakes under way is said to do nothing where SYN cookies are sent, here and in new pods") {
    const auto bounded = [](const std::string& bounds) {
        return policy::parse("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: bounded}\n"
                             "spec: {mode: auto, tunables: {net.ipv4.tcp_max_syn_backlog: " +
                             bounds + "}}\n")
            .value();
    };
    const auto found = named_in_vain(bounded("{max: 16384}"), always(1), always(2));
    REQUIRE(found.size() == 1);
    CHECK(
        sentence(found[0]) ==
        "net.ipv4.tcp_max_syn_backlog does nothing here: it bounds something only where net.ipv4.tcp_syncookies is 0, "
        "which is 2 here and 1 in new network namespaces");
    CHECK(named_in_vain(bounded("{min: 4096}"), always(1), always(1)).size() == 1);
    CHECK(named_in_vain(bounded("{min: 4096}"), always(1), always(0)).empty()); // the node's own needs it
    CHECK(named_in_vain(bounded("{min: 4096}"), always(0), always(1)).empty());
    CHECK(named_in_vain(bounded("{min: 4096}"), always({}), always(1)).empty());
    CHECK(named_in_vain(bounded("{min: 4096}"), always(1), always({})).empty());
    CHECK(named_in_vain(bounded("{mode: observe}"), always(1), always(1)).empty());
    CHECK(named_in_vain(policy::Policy(), always(1), always(1)).empty());
}

TEST_CASE("a tunable that this kernel does not have is said to do nothing, where it is named and that is known") {
    const auto naming = [](const std::string& tunables) {
        return policy::parse("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: naming}\n"
                             "spec: {mode: auto, tunables: {" +
                             tunables + "}}\n")
            .value();
    };
    const auto before_6_14 = [](std::string_view path) {
        return path.ends_with("tcp_tw_reuse_delay") ? std::nullopt : std::optional<std::uint64_t>(1);
    };
    const auto found = named_in_vain(naming("net.ipv4.tcp_tw_reuse_delay: {}, net.ipv4.tcp_tw_reuse: {}"), before_6_14);
    REQUIRE(found.size() == 1);
    CHECK(sentence(found[0]) == "net.ipv4.tcp_tw_reuse_delay does nothing here: this kernel has no such sysctl");
    CHECK(named_in_vain(naming("net.ipv4.tcp_tw_reuse: {}"), before_6_14).empty());
    CHECK(named_in_vain(naming("net.ipv4.tcp_tw_reuse_delay: {}"), always({})).empty());
}
