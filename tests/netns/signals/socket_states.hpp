// SPDX-License-Identifier: Apache-2.0
// Connections of a namespace to itself in each state that stays for a while, and what the kernel says of them.
#pragma once

#include <array>
#include <sstream>
#include <string>
#include <vector>

#include "core/snapshot.hpp"
#include "netns/namespace.hpp"
#include "netns/probes/traffic.hpp"

namespace bpftune::testing {

// As /proc/net/tcp lists them: its fourth word is the state (include/net/tcp_states.h).
inline TcpStates states_of(const Namespace& netns) {
    TcpStates states;
    std::istringstream rows(netns.read("net/tcp"));
    std::string number;
    std::string local;
    std::string remote;
    std::string state;
    while (rows >> number >> local >> remote >> state) {
        std::getline(rows, number);
        if (state == "01") ++states.established;
        if (state == "02") ++states.syn_sent;
        if (state == "03") ++states.syn_recv;
        if (state == "04") ++states.fin_wait1;
        if (state == "05") ++states.fin_wait2;
        if (state == "06") ++states.time_wait;
        if (state == "08") ++states.close_wait;
        if (state == "09") ++states.last_ack;
        if (state == "0B") ++states.closing;
    }
    return states;
}

// Two that are established, with one of each that nobody accepts; a connect that nobody answers; two handshakes under
// way; a connection that one end has closed and of which the FIN is lost, so that it sends that again; one that both
// have; three in TIME_WAIT.
class ConnectionsInStates {
public:
    explicit ConnectionsInStates(const Namespace& netns) {
        shell("ip netns exec " + netns.name() +
              " nft 'add table inet states; add chain inet states c { type filter hook input priority 0; }; "
              "add rule inet states c tcp dport 8091 tcp flags & (syn|ack) == syn drop; "
              "add rule inet states c tcp dport 8092 tcp flags & (syn|ack) == ack drop; "
              "add rule inet states c tcp sport 8093 tcp flags & fin == fin drop'");
        for (const std::uint16_t port : std::array<std::uint16_t, 3>{8090, 8092, 8093})
            listeners_.push_back(netns.inside([port] { return listen_on("127.0.0.1", port, 64); }));
        connect_and_close(netns, listeners_[0], 8090, 3);
        open(netns, 8090, 2);
        open(netns, 8091, 1);
        open(netns, 8092, 2);
        open(netns, 8093, 2);
        const sys::Fd closed_here = accept_one(listeners_[2]);
        const sys::Fd closed_by_both = accept_one(listeners_[2]);
        must(::shutdown(sockets_.back().value(), SHUT_WR) == 0, "shutdown");
        must(eventually([&] { return states_of(netns).fin_wait2 == 1; }), "wait until its FIN is acknowledged");
    }

    // The namespace has so many in each.
    static constexpr TcpStates states{.established = 2 * 2 + 2 + 1,
                                      .syn_sent = 1,
                                      .syn_recv = 2,
                                      .fin_wait1 = 1,
                                      .fin_wait2 = 1,
                                      .time_wait = 3,
                                      .last_ack = 1};

private:
    void open(const Namespace& netns, std::uint16_t port, std::size_t count) {
        auto some = netns.inside([&] { return clients(count, "127.0.0.1", port); });
        std::ranges::move(some, std::back_inserter(sockets_));
    }

    std::vector<sys::Fd> listeners_;
    std::vector<sys::Fd> sockets_;
};

} // namespace bpftune::testing
