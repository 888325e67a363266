// SPDX-License-Identifier: Apache-2.0
// A workload that attacks, in a network namespace of its own, beside another whose bursts the service has to see.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "fixtures.hpp"
#include "sys/sockets.hpp"

namespace bpftune::testing {

inline constexpr std::uint16_t port = 8080;
inline constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
inline const std::string automatic = policy_text("attacked", "mode: auto");

inline std::uint64_t bytes_in(const fs::path& folder) {
    std::uint64_t sum = 0;
    for (const auto& file : fs::recursive_directory_iterator(folder))
        if (file.is_regular_file()) sum += file.file_size();
    return sum;
}

// A pod whose bursts are more than its queue holds.
class Victim {
public:
    // All that come are taken: what is left to ksoftirqd comes late.
    void burst() const {
        constexpr std::size_t count = 40;
        const auto connected = site_.connect(count, port);
        for (std::size_t taken = 0; taken < count && await(listener_, POLLIN, 300);) taken += accept_all(listener_);
    }
    [[nodiscard]] bool is_raised() const { return limit_of(listener_) >= 40; }
    [[nodiscard]] std::uint64_t losses() const { return netstat(site_.netns, "ListenOverflows"); }

private:
    Site site_;
    sys::Fd listener_ = site_.listen(port);
};

struct Attack {
    Attacker::Rights rights = Attacker::Rights::none;
    Setting service = {.policy = automatic};
    // What root does first in its network namespace, as the CNI plugin of a pod may.
    std::function<void(const Namespace&)> prepare = {};
    std::function<void()> enter = {}; // what its process enters beside that
    // While it goes on: before the victim's first burst, and after the last.
    std::function<void(const Attacked&, const Namespace&)> before_victim = {};
    std::function<void(const Attacked&, const Namespace&)> after_victim = {};
};

// Once its limit is raised the victim loses nothing more, and what the service takes is no more than it may, though
// there is a second try where the machine stalls, or the journal's log is longer than ever before: it keeps its room.
inline void goes_on(Attacked& attacked, const Attacker& attacker, const Victim& victim) {
    const std::uint64_t losses = victim.losses();
    double share = 0;          // of a core
    std::uint64_t written = 0; // bytes
    const auto look = [&] {
        const MonoTime begun = sys::now().mono;
        const double cpu = attacked.cpu();
        const std::uint64_t before = bytes_in(attacked.state());
        attacked.answers(attacker, std::chrono::seconds(3), [&] { victim.burst(); });
        share = (attacked.cpu() - cpu) / Seconds(sys::now().mono - begun).count();
        const std::uint64_t after = bytes_in(attacked.state());
        written = after - std::min(after, before);
    };
    look();
    if (share > 0.1 || written > mebibyte) look();
    INFO("takes " << 100 * share << " % of a core");
    CHECK(share <= 0.1);
    CHECK(written <= mebibyte);
    CHECK(victim.losses() == losses);
    CHECK(status_kib(attacked.pid(), "VmRSS") <= 60 * 1024);
}

// `turn` is what the workload does again and again.
template <class Turn> void hurts_nobody(Turn turn, const Attack& attack = {}) {
    const Victim victim;
    const Namespace netns;
    if (attack.prepare) attack.prepare(netns);
    Attacked attacked(attack.service);
    const Attacker attacker(std::move(turn), attack.rights, [&] {
        netns.enter();
        if (attack.enter) attack.enter();
    });
    if (attack.before_victim) attack.before_victim(attacked, netns);
    CHECK(comes_true([&] {
        victim.burst();
        return victim.is_raised();
    }));
    goes_on(attacked, attacker, victim);
    if (attack.after_victim) attack.after_victim(attacked, netns);
    attacked.ends_when_told();
}

} // namespace bpftune::testing
