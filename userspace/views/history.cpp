// SPDX-License-Identifier: Apache-2.0
#include "views/history.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "core/text.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

// The heading of a day: its times are in this zone. Empty for another form of time.
std::string day_of(const std::string& time) {
    const auto local = local_time(time);
    return local ? fmt::format("{} {}", local->day, local->zone) : std::string();
}
std::string clock_of(const std::string& time) {
    const auto local = local_time(time);
    return local ? local->clock : time;
}

std::string state_of(const Json& change) {
    std::string state = text_of(change, "state");
    std::ranges::replace(state, '_', ' ');
    return state;
}

// Tunable, values and state; advice has no values.
std::string head_of(const Json& change) {
    const std::string tunable = text_of(change, "tunable");
    if (find(change, "to") == nullptr) return fmt::format("{}  {}", tunable, state_of(change));
    return fmt::format("{}  {} → {}  {}", tunable, text_of(change, "from"), text_of(change, "to"), state_of(change));
}

// ", 310 µs after the event"
std::string reaction_of(const Json& change) {
    const Json* reaction = find(change, "reaction_us");
    if (reaction == nullptr || !reaction->is_number()) return {};
    const double us = reaction->get<double>();
    if (us < 1000) return fmt::format(", {:.0f} µs after the event", us);
    if (us < 1e6) return fmt::format(", {:.1f} ms after the event", us / 1e3);
    return fmt::format(", {:.1f} s after the event", us / 1e6);
}

} // namespace

std::string whom_of(const Json& change) {
    const Json* scope = find(change, "scope");
    if (scope == nullptr) return "-";
    std::string whom = fmt::format("netns {}", text_of(*scope, "netns"));
    if (const Json* pod = find(*scope, "pod")) whom = pod_text(*pod);
    if (const Json* listener = find(*scope, "listener")) {
        const std::string address = text_of(*listener, "address");
        const bool v6 = address.find(':') != std::string::npos;
        whom += fmt::format(", {}:{}", v6 ? "[" + address + "]" : address, text_of(*listener, "port"));
    }
    if (const Json* queue = find(*scope, "queue"))
        whom += fmt::format(", {} rx-{}", text_of(*queue, "device"), text_of(*queue, "queue"));
    if (const Json* interrupt = find(*scope, "interrupt"))
        whom += fmt::format(", {} irq {}", text_of(*interrupt, "device"), text_of(*interrupt, "irq"));
    return whom;
}

std::string change_line(const Json& change, std::size_t width) {
    return truncated(
        fmt::format("{}  {}: {}", clock_of(text_of(change, "time")), head_of(change), text_of(change, "why")), width);
}

std::string history_table(const Json& changes, std::size_t width) {
    constexpr std::string_view indent = "          "; // below the tunable
    if (!changes.is_array() || changes.empty()) return "no changes\n";
    std::string out;
    std::string day;
    const auto line = [&](const std::string& text) { out += truncated(text, width) + "\n"; };
    for (const Json& change : changes) {
        const std::string time = text_of(change, "time");
        if (day_of(time) != day) line(day = day_of(time));
        line(fmt::format("{}  {}", clock_of(time), head_of(change)));
        const std::string why = fmt::format("{}{}: {}", whom_of(change), reaction_of(change), text_of(change, "why"));
        for (const std::string& part : wrapped(why, std::max(width, indent.size() + 20) - indent.size()))
            line(std::string(indent) + part);
    }
    return out;
}

} // namespace bpftune::views
