// SPDX-License-Identifier: Apache-2.0
// Servers whose connections come in bursts, on a node that decides about them and does it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "controller/tenant.hpp"
#include "unit/controller/world.hpp"

namespace bpftune::testing {

inline constexpr std::uint64_t mebibyte = 1 << 20;

inline NetnsId netns(std::uint64_t number) {
    return {.cookie = number, .inode = static_cast<std::uint32_t>(4026532000 + number)};
}

// Servers that asked for more than somaxconn, 128, each in a namespace of its own.
class Servers {
public:
    World world;
    controller::State state;
    policy::Policy policy;

    Servers() {
        policy.mode = policy::Mode::automatic;
        policy.memory_budget_bytes = 64 * mebibyte; // 6.4 of them for each tenant
        world.somaxconn[World::host] = 128;
        world.names[World::host] = {};
    }

    Listener& add(std::uint64_t number, const NetnsId& in) {
        world.somaxconn.try_emplace(in, 128);
        world.names.try_emplace(in);
        Listener listener;
        listener.netns = in;
        listener.cookie = number;
        listener.local = {"0.0.0.0", 8080};
        listener.pid = 712;
        listener.limit = 128;
        listener.asked = 65535;
        return world.listeners[number] = listener;
    }

    Listener& add(std::uint64_t number) { return add(number, netns(number)); }

    // So many connections come to it, of which those are lost that find its queue full. The last decision about it.
    std::optional<Decision> burst(Listener& listener, std::uint32_t connections) {
        now_ += std::chrono::minutes(1);
        const std::uint32_t waiting = std::min(connections, listener.limit + 1);
        listener.window = {.length = std::chrono::milliseconds(40),
                           .peak = waiting,
                           .arrivals = connections,
                           .overflows = connections - waiting,
                           .event = now_};
        return decide(world.pressure(listener, now_), listener.cookie);
    }

    // In which nothing comes.
    void tick() {
        for (auto& [cookie, listener] : world.listeners) listener.window = {.length = std::chrono::seconds(1)};
        tick_as_it_is();
    }

    void tick_as_it_is() {
        now_ += std::chrono::seconds(1);
        decide(world.tick(now_, std::chrono::seconds(1)), 0);
    }

    [[nodiscard]] std::uint64_t charged_for(const ObjectKey& object) {
        const auto held = state.held.find(object);
        if (held == state.held.end()) return 0;
        const Snapshot snapshot = world.tick(now_, std::chrono::seconds(1));
        return controller::cost_of(object, held->second, controller::Gate(policy, state, snapshot, now_)).charged_bytes;
    }

    // Why, of the last decision of all.
    [[nodiscard]] const std::string& told() const { return told_; }

    // What those with these numbers are charged with.
    [[nodiscard]] std::uint64_t charged(std::uint64_t first, std::uint64_t last) {
        const Snapshot snapshot = world.tick(now_, std::chrono::seconds(1));
        const controller::Gate gate(policy, state, snapshot, now_);
        std::uint64_t sum = 0;
        for (const auto& [object, held] : state.held)
            if (object.listener_cookie >= first && object.listener_cookie <= last)
                sum += controller::cost_of(object, held, gate).charged_bytes;
        return sum;
    }

    [[nodiscard]] std::string account_of(std::uint64_t listener) {
        const Listener& row = world.listeners.at(listener);
        const Snapshot snapshot = world.tick(now_, std::chrono::seconds(1));
        const controller::Gate gate(policy, state, snapshot, now_);
        return controller::tenant_of(gate, object_of(row), scope_of(row)).account;
    }

private:
    static ObjectKey object_of(const Listener& listener) {
        return {TunableId::listener_backlog, listener.netns, listener.cookie};
    }

    std::optional<Decision> decide(const Snapshot& snapshot, std::uint64_t listener) {
        std::optional<Decision> last;
        for (const Decision& decision : controller::step(policy, state, snapshot, now_)) {
            told_ = decision.why;
            if (is_write(decision)) settle(state, decision, world.write(decision), now_);
            if (decision.scope.listener && decision.scope.listener->cookie == listener) last = decision;
        }
        return last;
    }

    MonoTime now_ = MonoTime(std::chrono::hours(1));
    std::string told_;
};

} // namespace bpftune::testing
