// SPDX-License-Identifier: Apache-2.0
// Programs that the kernel refuses, each made to ask for what its target has not.
#include <catch2/catch.hpp>

#include <array>

#include "drops_tracepoint.skel.h"
#include "listen_fentry.skel.h"

#include "netns/namespace.hpp"
#include "netns/rungs.hpp"
#include "probes/object.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;

namespace {

void attach_to(bpf_program* program, const char* target) {
    must(bpf_program__set_attach_target(program, 0, target) == 0, target);
}

} // namespace

TEST_CASE("a dispensable program that the kernel refuses costs itself alone, and what it sees is said") {
    constexpr std::array dispensable{Dispensable{"drops_by_listener", "whose drops they were"},
                                     Dispensable{"drops_of_backlog", "drops of the backlog"}};
    std::string unseen;
    const auto object = attach_most<drops_tracepoint>(
        dispensable,
        // Which tells three things: the program wants a fourth.
        [](drops_tracepoint& drops) { attach_to(drops.progs.drops_by_listener, "inet_sock_set_state"); }, unseen);
    REQUIRE(object.has_value());
    const auto& links = (*object)->links;
    if (is_blind(links.drops_of_backlog != nullptr, "why a packet was dropped")) return;
    CHECK(links.drops_by_listener == nullptr);
    CHECK(unseen == "whose drops they were");
}

TEST_CASE("two dispensable programs that the kernel refuses leave those that are needed and those that it takes") {
    constexpr std::array dispensable{Dispensable{"connect_v4", "IPv4"}, Dispensable{"listen_start", "listen()"},
                                     Dispensable{"connect_v6", "IPv6"}};
    std::string unseen;
    const auto object = attach_most<listen_fentry>(
        dispensable,
        [](listen_fentry& listen) {
            // Which has one argument: the programs want three.
            attach_to(listen.progs.connect_v4, "inet_csk_listen_stop");
            attach_to(listen.progs.connect_v6, "inet_csk_listen_stop");
        },
        unseen);
    if (!object) {
        WARN("no fentry here: " << object.error().message);
        return;
    }
    const auto& links = (*object)->links;
    for (const bpf_link* link :
         {links.syn, links.arrival, links.last_ack, links.last_ack_with_cookie, links.listen_start})
        CHECK(link != nullptr);
    CHECK(links.connect_v4 == nullptr);
    CHECK(links.connect_v6 == nullptr);
    CHECK(unseen == "IPv4, IPv6");
}
