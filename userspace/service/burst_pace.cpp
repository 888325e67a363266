// SPDX-License-Identifier: Apache-2.0
#include "service/burst_pace.hpp"

namespace bpftune::service {

bool BurstPace::has_turn(const NetnsId& netns, MonoTime now) const {
    const auto turn = turns_.find(netns);
    return turn == turns_.end() || now >= turn->second.next;
}

void BurstPace::took(const NetnsId& netns, Nanoseconds cpu, MonoTime now) {
    Turn& turn = turns_.try_emplace(netns, Turn{.cpu = {1.0 / share, at_one_go, now}, .next = now}).first->second;
    turn.used += cpu;
    turn.next = now + turn.cpu.rest(turn.used, now);
}

void BurstPace::forget(MonoTime now) {
    std::erase_if(turns_, [now](const auto& entry) { return now >= entry.second.next + share * at_one_go; });
}

} // namespace bpftune::service
