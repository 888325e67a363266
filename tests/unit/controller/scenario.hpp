// SPDX-License-Identifier: Apache-2.0
// Reads tests/scenarios/*.yaml (its README.md describes the shorthand) and plays it to the controller.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.hpp"
#include "unit/controller/world.hpp"

namespace bpftune::testing {

struct Expected {
    std::string text; // as in the file
    std::string head; // "write net.core.somaxconn 128 -> 512"
    std::string why;  // a part of it; empty: any
};

struct Step {
    enum class Kind { tick, pressure, after, look, reload, set, attempt, gone };

    int line = 0;
    Kind kind = Kind::tick;
    Nanoseconds at{};
    Nanoseconds until{}; // ticks, one a second; decisions are expected of the last one alone
    std::vector<std::pair<std::uint64_t, QueueWindow>> windows; // by listener cookie
    std::map<std::uint64_t, std::uint32_t> queues;              // how many wait now
    std::map<std::uint64_t, std::string> floods;                // what speaks for one at these
    std::map<std::uint64_t, std::uint32_t> syn_queues;          // handshakes under way
    std::vector<Conntrack> tables;
    std::vector<TcpBuffers> buffers;          // without values
    std::map<NetnsId, NetnsTcp> ports;        // what connects found
    std::map<ObjectKey, Fragments> fragments; // without limits
    std::map<std::uint64_t, UdpSocket> udp;   // by cookie: what they lost, and how they looked
    std::vector<SoftirqCpu> cpus;
    std::map<std::string, ReceiveRate> devices; // by name
    std::map<std::uint32_t, double> interrupts; // by number: times a second
    NeighbourTable neighbours;
    std::vector<SocketMemory> socket_memory; // without limits
    Guards guards;
    policy::Policy policy;                                   // reload
    std::vector<std::pair<ObjectKey, std::uint64_t>> values; // set, attempt
    std::string by;                                          // whose hand BPF saw; empty: it saw none
    std::vector<std::uint64_t> gone;
    Outcome answer{.kind = Outcome::Kind::written, .error = {}}; // to every write of this step
    std::vector<Expected> expected;
};

struct Scenario {
    std::string file;
    int line = 0;
    std::string sentence;
    policy::Policy policy;
    World world;
    std::vector<Step> steps;
};

// All scenarios of one file, or "FILE:LINE: what is wrong".
std::expected<std::vector<Scenario>, std::string> read_scenarios(const std::string& file, const std::string& text);

// "FILE:LINE: SENTENCE: what came in place of what", or nothing where all came as expected.
std::string play(const Scenario& scenario);

} // namespace bpftune::testing
