// SPDX-License-Identifier: Apache-2.0
// The invariants of controller/invariants.hpp, over random traces of a node.
//
//   SEED=8121 unit-controller-tests "invariants hold over random traces"     one trace again, decision by decision
#include <array>
#include <bit>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "controller/flood.hpp"
#include "controller/invariants.hpp"
#include "tunables/undo.hpp"
#include "unit/controller/owners.hpp"
#include "unit/controller/world.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;
using controller::State;
using policy::Mode;
using policy::OnConflict;

namespace {

// With sanitizers, which make a trace ten times as long, a part: what these look for is the same in all.
#ifdef __has_feature
constexpr int traces = __has_feature(address_sanitizer) ? 1000 : 10000;
#else
constexpr int traces = 10000;
#endif
constexpr int steps_of_a_trace = 50;

// What the invariants speak of, written down by the trace itself: nothing here is taken from the controller's state.
struct Ledger {
    struct Ours {
        std::uint64_t original = 0;
        std::uint64_t value = 0;
        std::uint64_t expected = 0; // the most that one of its raises was made for
        std::uint64_t used = 0;     // at the last tick
        std::string tenant;         // as last told; empty: the node
        std::optional<Pod> pod;     // whose it was at the last write
    };
    std::map<ObjectKey, Ours> ours;
    std::map<ObjectKey, Ours> taken; // ours until someone else set it, and not given up since
    std::map<ObjectKey, std::uint64_t> before_trial;
    std::map<ObjectKey, std::uint64_t> undo; // what a failed raise that is in use is to go back to
    std::map<ObjectKey, MonoTime> last_raise;
    std::map<ObjectKey, MonoTime> last_write;
    std::map<ObjectKey, std::deque<std::pair<MonoTime, std::uint64_t>>> used; // places, by the end of each window
    std::map<ObjectKey, std::deque<MonoTime>> changes;
    std::map<ObjectKey, std::deque<MonoTime>> reasserts;
    std::map<ObjectKey, std::uint64_t> flooded; // the limit when this flood began
    int table_raises = 0;                       // in this flood
};

// One more now; whether there were too many within an hour.
bool too_many(std::deque<MonoTime>& times, MonoTime now, std::size_t most) {
    times.push_back(now);
    while (times.front() <= now - 1h) times.pop_front();
    return times.size() > most;
}

class Trace {
public:
    Trace(std::uint64_t seed, bool verbose) : dice_(seed), verbose_(verbose), owners_(dice_.once_in(2)) {
        policy_ = random_policy();
        if (dice_.once_in(2)) world_.unit_bytes = {.conntrack_entry = 384, .queued_connection = 9000};
        world_.tables[World::host] = {.netns = World::host};
        owners_.settle(World::host, dice_);
        for (std::uint64_t i = dice_.up_to(2); i > 0; --i) add_listener();
        style_ = dice_.one_of({Style::calm, Style::bursts, Style::ramp, Style::slow, Style::drops});
    }

    // The first invariant that does not hold, or nothing.
    std::string run() {
        for (int i = 0; i < steps_of_a_trace && broken_.empty(); ++i) one_step();
        return broken_;
    }

private:
    enum class Style { calm, bursts, ramp, slow, drops };

    void fail(const std::string& what) {
        if (broken_.empty()) broken_ = fmt::format("at {:.3f} s: {}", Seconds(now_ - MonoTime(1h)).count(), what);
    }

    policy::Policy random_policy() {
        policy::Policy policy;
        policy.mode = dice_.one_of({Mode::automatic, Mode::automatic, Mode::automatic, Mode::recommend, Mode::observe});
        policy.on_conflict = dice_.one_of({OnConflict::yield, OnConflict::reassert});
        policy.memory_budget_bytes = dice_.one_of<std::uint64_t>({1 << 18, 1 << 22, 1 << 28});
        policy.tenant_share = dice_.one_of({0.1, 0.1, 0.4, 1.0});
        for (auto& tunable : policy.tunables) {
            if (dice_.once_in(3)) tunable.named = true;
            if (dice_.once_in(4)) tunable.max = 2 * dice_.between(32, 1 << 15);
            if (dice_.once_in(8)) tunable.min = 2 * dice_.between(1, tunable.max / 2);
            tunable.shrink_after.reset();
            if (dice_.once_in(2)) tunable.shrink_after = dice_.one_of<Nanoseconds>({2s, 30s, 600s});
            if (dice_.once_in(8)) tunable.mode = dice_.one_of({Mode::observe, Mode::recommend});
        }
        if (dice_.once_in(2)) policy.pods = random_entries(dice_);
        return policy;
    }

    void add_listener() {
        Listener listener;
        listener.netns = {.cookie = dice_.one_of({namespaces_[0], namespaces_[1]}), .inode = 4026532000};
        if (dice_.once_in(4)) listener.netns = World::host;
        owners_.settle(listener.netns, dice_);
        listener.cookie = ++cookies_;
        listener.local = {"0.0.0.0", static_cast<std::uint16_t>(8000 + cookies_)};
        const auto somaxconn = world_.somaxconn.try_emplace(listener.netns, dice_.one_of<std::uint32_t>({128, 4096}));
        const std::uint32_t asked = dice_.one_of<std::uint32_t>({50, 128, 510, 65534});
        listener.limit = std::min(asked, somaxconn.first->second);
        if (!dice_.once_in(3)) listener.asked = asked;
        world_.listeners[listener.cookie] = listener;
        owners_.hold(listener, dice_);
    }

    std::map<std::uint64_t, Listener>::iterator random_listener() {
        auto listener = world_.listeners.begin();
        for (std::uint64_t i = dice_.up_to(world_.listeners.size() - 1); i > 0; --i) ++listener;
        return listener;
    }

    void remove_listener() {
        if (world_.listeners.empty()) return;
        const auto gone = random_listener();
        const NetnsId netns = gone->second.netns;
        let_go({TunableId::listener_backlog, netns, gone->first});
        world_.listeners.erase(gone);
        if (netns == World::host) return;
        const bool others =
            std::ranges::any_of(world_.listeners, [&](const auto& l) { return l.second.netns == netns; });
        if (others) return;
        let_go({TunableId::somaxconn, netns});
        ledger_.changes.erase({TunableId::somaxconn, netns});
        ledger_.reasserts.erase({TunableId::somaxconn, netns});
        std::ranges::replace(namespaces_, netns.cookie, ++last_namespace_); // the next one is another
        world_.somaxconn.erase(netns);
    }

    void let_go(const ObjectKey& object) {
        ledger_.ours.erase(object);
        ledger_.taken.erase(object);
        ledger_.before_trial.erase(object);
    }

    void change_floods() {
        const auto flood = [&] { return dice_.once_in(3) ? std::optional<std::string>("a flood") : std::nullopt; };
        for (auto& [cookie, listener] : world_.listeners) listener.flood = flood();
        world_.tables[World::host].flood = flood();
    }

    void note_flood(const ObjectKey& object, std::uint64_t now, const std::optional<std::string>& flood) {
        if (!flood) {
            ledger_.flooded.erase(object);
            return;
        }
        const auto limit = ledger_.flooded.try_emplace(object, now).first;
        limit->second = std::min(limit->second, now);
    }

    void note_floods(const Snapshot& snapshot) {
        for (const Listener& each : snapshot.listeners)
            note_flood({TunableId::listener_backlog, each.netns, each.cookie}, each.limit, each.flood);
        const ObjectKey table{TunableId::conntrack_max, World::host};
        for (const Conntrack& each : snapshot.conntrack) note_flood(table, each.limit, each.flood);
        if (!ledger_.flooded.contains(table)) ledger_.table_raises = 0;
    }

    // Somebody else sets a value.
    void meddle() {
        std::vector<ObjectKey> objects{{TunableId::conntrack_max, World::host},
                                       {TunableId::conntrack_buckets, World::host}};
        for (const auto& [netns, value] : world_.somaxconn) objects.push_back({TunableId::somaxconn, netns});
        for (const auto& [cookie, listener] : world_.listeners)
            objects.push_back({TunableId::listener_backlog, listener.netns, cookie});
        const ObjectKey object = objects[dice_.up_to(objects.size() - 1)];
        // Odd, and each only once: a value that changes and comes back to what we wrote cannot be told from ours.
        const std::uint64_t value = 2 * dice_.up_to(10000) + 1;
        if (!foreign_.insert(value).second) return;
        if (object.tunable == TunableId::listener_backlog) return listen_again(object, value);
        world_.set(object, value);
        if (const auto ours = ledger_.ours.find(object); ours != ledger_.ours.end()) {
            ledger_.taken.insert(*ours);
            ledger_.ours.erase(ours);
        }
    }

    // Its application's word, whatever the policy says of conflicts.
    void listen_again(const ObjectKey& object, std::uint64_t value) {
        const std::uint64_t limit = std::min<std::uint64_t>(value, world_.somaxconn.at(object.netns));
        const auto held = state_.held.find(object);
        const bool is_as_we_wrote = held != state_.held.end() && held->second.current == limit;
        if (limit == world_.value(object) || is_as_we_wrote) return; // nothing tells it from ours
        world_.listen(object, limit);
        let_go(object);
    }

    QueueWindow random_window(const Listener& listener, Nanoseconds length) {
        const std::uint32_t full = listener.limit + 1;
        QueueWindow window{.length = length};
        switch (style_) {
        case Style::calm: window.peak = static_cast<std::uint32_t>(dice_.up_to(full / 3)); break;
        case Style::bursts: window.peak = static_cast<std::uint32_t>(dice_.up_to(full)); break;
        case Style::ramp:
            window.peak = static_cast<std::uint32_t>(std::min<std::uint64_t>(full, 10 + 40 * steps_));
            break;
        case Style::slow:
        case Style::drops: window.peak = full; break;
        }
        if (window.peak == full) window.overflows = dice_.up_to(2000);
        window.floor = style_ == Style::slow && !dice_.once_in(4) ? window.peak : 0;
        window.arrivals = window.peak + dice_.up_to(1000);
        window.accepted = *window.arrivals - window.floor;
        return window;
    }

    void random_table() {
        Conntrack& table = world_.tables[World::host];
        const std::uint64_t before = table.entries;
        const std::uint64_t wanted =
            style_ == Style::ramp ? before + before / 10 + 100 : dice_.up_to(world_.conntrack_max * 5 / 4);
        table.entries = std::min(wanted, world_.conntrack_max);
        table.window_drops = wanted - table.entries;
        table.entries_per_second = static_cast<double>(table.entries) - static_cast<double>(before);
        table.inserts_per_second.reset();
        if (dice_.once_in(2)) table.inserts_per_second = static_cast<double>(dice_.up_to(2000));
    }

    void one_step() {
        ++steps_;
        now_ += dice_.one_of<Nanoseconds>({1s, 1s, 1s, 1s, 11s, 70s, 700s});
        if (dice_.once_in(20))
            style_ = dice_.one_of({Style::calm, Style::bursts, Style::ramp, Style::slow, Style::drops});
        if (dice_.once_in(25)) add_listener();
        if (dice_.once_in(40)) remove_listener();
        if (dice_.once_in(30)) meddle();
        if (dice_.once_in(12)) change_floods();
        if (dice_.once_in(10)) owners_.learn(dice_);
        owners_.show(world_);
        if (dice_.once_in(50)) {
            policy_ = random_policy();
            controller::reloaded(state_);
        }
        world_.guards.memory_pressure = static_cast<double>(dice_.once_in(30) ? 40 : 0);
        if (dice_.once_in(3) && !world_.listeners.empty()) {
            burst();
        } else {
            for (auto& [cookie, listener] : world_.listeners) {
                listener.window = random_window(listener, 1s);
                listener.queue = listener.window.floor;
                note_use(listener);
            }
            random_table();
            ledger_.used[{TunableId::conntrack_max, World::host}].emplace_back(now_,
                                                                               world_.tables[World::host].entries);
            decide(world_.tick(now_, 1s));
        }
    }

    void burst() {
        Listener& listener = random_listener()->second;
        listener.queue = listener.limit / 2 + 1;
        listener.window = {.length = 2ms, .peak = listener.queue, .arrivals = listener.queue, .event = now_};
        decide(world_.pressure(listener, now_));
        now_ += 40ms;
        listener.window = random_window(listener, 42ms);
        listener.queue = 0;
        note_use(listener);
        decide(world_.pressure(listener, now_));
    }

    void decide(const Snapshot& snapshot) {
        seen_ = &snapshot;
        note_floods(snapshot);
        const auto back_offs = state_.back_offs;
        if (snapshot.cause == Snapshot::Cause::tick) {
            note_use();
            note_tenants(snapshot);
        }
        const auto decisions = controller::step(policy_, state_, snapshot, now_);
        note_releases(decisions);
        check_budget(decisions, snapshot);
        if (dice_.once_in(40)) meddle(); // between the snapshot and the write
        for (const Decision& decision : decisions) {
            check(decision, back_offs);
            now_ += 100us;
            if (is_write(decision))
                carry_out(decision, key_of(decision.tunable, decision.scope));
            else
                tell(decision, {});
        }
        check_originals();
    }

    void check(const Decision& decision, const std::map<controller::TrialKey, controller::BackOff>& back_offs) {
        const ObjectKey object = key_of(decision.tunable, decision.scope);
        switch (decision.act) {
        case Decision::Act::recommend: break;
        case Decision::Act::advise:
            if (decision.from != decision.to) fail("advice with a value to set");
            break;
        case Decision::Act::keep:
            if (decision.why.starts_with("not rolled back to ")) ledger_.undo[object] = ledger_.before_trial[object];
            ledger_.before_trial.erase(object);
            break;
        case Decision::Act::yield:
            if (object.tunable == TunableId::listener_backlog) fail("a listener is yielded");
            let_go(object);
            break;
        case Decision::Act::release:
        case Decision::Act::forget: let_go(object); break;
        case Decision::Act::write:
            check_mode(decision);
            check_raise(decision, back_offs);
            break;
        case Decision::Act::reassert:
            check_mode(decision);
            check_reassert(decision, object);
            break;
        case Decision::Act::roll_back:
            check_mode(decision);
            check_roll_back(decision, object);
            break;
        case Decision::Act::give_back:
            check_mode(decision);
            check_give_back(decision, object);
            break;
        }
    }

    void carry_out(const Decision& decision, const ObjectKey& object) {
        Outcome outcome{.kind = Outcome::Kind::failed, .error = "Permission denied"};
        if (!dice_.once_in(15)) outcome = world_.write(decision);
        tell(decision, outcome);
        controller::settle(state_, decision, outcome, now_);
        if (outcome.kind == Outcome::Kind::gone) let_go(object);
        if (const auto held = ledger_.ours.find(object); held != ledger_.ours.end()) note_owner(decision, held->second);
        if (outcome.kind != Outcome::Kind::written) return;
        check_changes(object);
        Ledger::Ours& ours = ledger_.ours.try_emplace(object, decision.from, decision.to).first->second;
        ours.value = decision.to;
        ledger_.last_write[object] = now_;
        if (decision.act == Decision::Act::reassert) {
            ours = ledger_.taken.at(object);
            ledger_.taken.erase(object);
            // A flood that met the other's value is followed from ours.
            if (const auto flooded = ledger_.flooded.find(object); flooded != ledger_.flooded.end())
                flooded->second = std::max(flooded->second, decision.to);
        } else if (decision.act == Decision::Act::write) {
            ledger_.undo.erase(object);
            note_owner(decision, ours);
            ours.expected = evidence_of(decision, "expected_use");
            ledger_.before_trial.try_emplace(object, decision.from);
            ledger_.last_raise[object] = now_;
        } else {
            ledger_.before_trial.erase(object);
            if (ours.value == ours.original) ledger_.ours.erase(object);
        }
    }

    void check_mode(const Decision& decision) {
        if (policy_.mode != Mode::automatic) fail(fmt::format("a write in {}", policy::to_string(policy_.mode)));
        const bool listener = decision.tunable == TunableId::listener_backlog;
        const TunableId decides =
            listener && !policy_.of(decision.tunable).named ? TunableId::somaxconn : decision.tunable;
        if (policy_.of(decides).mode != Mode::automatic) fail("a write of what the policy does not let be written");
        if (!is_allowed(decision, decides)) fail("a write that an entry of pods forbids");
    }

    // By who they are in truth, however little of it was known: of the object, and of the listener that it is for.
    [[nodiscard]] bool is_allowed(const Decision& decision, TunableId decides) const {
        const NetnsId& netns = decision.scope.netns;
        const bool for_itself = decision.act == Decision::Act::write && !is_for_min(decision);
        if (decision.tunable == TunableId::conntrack_max)
            return !for_itself || owners_.lowered(policy_, decides, owners_.in(netns)).mode == policy_.of(decides).mode;
        if (decision.tunable == TunableId::conntrack_buckets) return true;
        const auto allows = [&](const Owner& owner) {
            return std::min(owners_.lowered(policy_, decides, owner).mode,
                            owners_.lowered(policy_, decision.tunable, owner).mode) == Mode::automatic;
        };
        const bool is_netns_asked = decides == TunableId::somaxconn;
        const bool is_listener_asked = decision.scope.listener && (for_itself || is_of_socket(decision.tunable));
        if (is_netns_asked && owners_.lowered(policy_, decides, owners_.in(netns)).mode != Mode::automatic)
            return false;
        if (!is_listener_asked) return true;
        const Owner* other = owners_.other_of(netns, decision.scope.listener->cookie);
        return allows(owners_.of(netns, decision.scope.listener->cookie)) && (other == nullptr || allows(*other));
    }

    static bool is_for_min(const Decision& decision) { return decision.why.contains("the policy's min"); }

    // The max of whoever has a say.
    [[nodiscard]] std::uint64_t max_of(const Decision& decision) const {
        const NetnsId& netns = decision.scope.netns;
        std::uint64_t max = policy_.of(decision.tunable).max;
        if (decision.tunable >= TunableId::conntrack_max) return max;
        if (decision.tunable == TunableId::somaxconn)
            max = std::min(max, owners_.lowered(policy_, decision.tunable, owners_.in(netns)).max);
        if (!decision.scope.listener || decision.act != Decision::Act::write) return max;
        const std::uint64_t cookie = decision.scope.listener->cookie;
        max = std::min(max, owners_.lowered(policy_, decision.tunable, owners_.of(netns, cookie)).max);
        const Owner* other = owners_.other_of(netns, cookie);
        return other == nullptr ? max : std::min(max, owners_.lowered(policy_, decision.tunable, *other).max);
    }

    void check_raise(const Decision& decision, const std::map<controller::TrialKey, controller::BackOff>& back_offs) {
        if (decision.to <= decision.from) fail("a write that is no raise");
        if (decision.to > max_of(decision)) fail("a raise past the policy's max");
        if (decision.to > tunables::row(decision.tunable).kernel_max) fail("a raise past what the kernel takes");
        if (is_for_min(decision)) return;
        check_flood(decision);
        const bool conntrack = decision.tunable >= TunableId::conntrack_max;
        if (decision.tunable == TunableId::somaxconn) return; // may be raised for another queue
        const auto back_off =
            back_offs.find(conntrack ? controller::TrialKey{.object = {TunableId::conntrack_max, World::host}}
                                     : controller::TrialKey{.object = key_of(decision.tunable, decision.scope)});
        if (back_off != back_offs.end() && now_ < back_off->second.until) fail("a raise within its back-off");
    }

    void check_reassert(const Decision& decision, const ObjectKey& object) {
        const auto taken = ledger_.taken.find(object);
        if (policy_.on_conflict != OnConflict::reassert) fail("someone else's value is written over");
        if (taken == ledger_.taken.end()) return fail("a value is put back that was not ours");
        if (decision.to != taken->second.value) fail("another value is put back than ours");
        if (decision.from > decision.to) fail("a value is put back over a higher one");
        if (decision.to > policy_.of(decision.tunable).max) fail("a value past the policy's max is put back");
        if (too_many(ledger_.reasserts[object], now_, controller::reasserts_an_hour))
            fail("a value is put back too often within an hour");
    }

    void check_flood(const Decision& decision) {
        if (decision.tunable == TunableId::conntrack_buckets) return;
        const bool conntrack = decision.tunable == TunableId::conntrack_max;
        const auto flooded = ledger_.flooded.find(
            conntrack ? ObjectKey{decision.tunable, World::host}
                      : ObjectKey{TunableId::listener_backlog, decision.scope.netns, decision.scope.listener->cookie});
        if (flooded == ledger_.flooded.end()) return;
        if (conntrack && ++ledger_.table_raises > 1) fail("a second raise of the table in one flood");
        const std::uint64_t most = conntrack ? controller::next_step(flooded->second) : 8 * flooded->second;
        if (decision.to > most)
            fail(fmt::format("a raise to {} in a flood that began at {}", decision.to, flooded->second));
    }

    void check_roll_back(const Decision& decision, const ObjectKey& object) {
        const auto before = ledger_.before_trial.find(object);
        if (world_.value(object) != decision.from) return; // someone else's by now: it will not be written
        if (before == ledger_.before_trial.end()) return fail("a roll-back without a trial");
        if (decision.to != before->second) fail("a roll-back to another value than the one before the trial");
        if (now_ - ledger_.last_raise[object] < controller::trial_window) fail("a roll-back within the window");
        check_room(decision, object);
    }

    // What is in use has room under what a failed raise goes back to.
    void check_room(const Decision& decision, const ObjectKey& object) {
        if (tunables::room_for(object.tunable, in_use_of(object)) > decision.to)
            fail(fmt::format("rolled back below what is in use, {}", in_use_of(object)));
    }

    std::uint64_t in_use_of(const ObjectKey& object) const {
        const auto listener = world_.listeners.find(object.listener_cookie);
        if (object.tunable == TunableId::listener_backlog)
            return listener == world_.listeners.end() ? 0 : listener->second.queue;
        return object.tunable == TunableId::conntrack_max ? world_.tables.at(World::host).entries : 0;
    }

    void check_step_back(const Decision& decision, const ObjectKey& object) {
        const auto undo = ledger_.undo.find(object);
        if (undo == ledger_.undo.end()) return fail("a step back of what is not to go back");
        if (decision.to >= decision.from || decision.to < undo->second) fail("a step back past where it is to go");
        check_room(decision, object);
    }

    void check_give_back(const Decision& decision, const ObjectKey& object) {
        if (decision.why.starts_with("rolled back as far")) return check_step_back(decision, object);
        const auto ours = ledger_.ours.find(object);
        if (world_.value(object) != decision.from) return; // someone else's by now: it will not be written
        if (ours == ledger_.ours.end()) return fail("a value that is not ours is given back");
        if (ledger_.before_trial.contains(object)) fail("a value on trial is given back");
        if (decision.to >= decision.from || decision.to < decision.from / 2) fail("given back by none or over half");
        if (decision.to < ours->second.original) fail("given back past the original");
        if (decision.to < std::min(policy_.of(decision.tunable).min.value_or(0), max_of(decision)))
            fail("given back below the policy's min");
        const auto calm = shrink_after(decision.tunable);
        if (!calm) return fail("given back what the policy lets never be");
        if (now_ < ledger_.last_write[object] + *calm) return fail("given back within a calm");
        if (object.tunable == TunableId::conntrack_buckets) return; // as the limit needs them
        for (const auto& [when, used] : ledger_.used[object])
            if (when > now_ - *calm && used > decision.to) fail("given back what was in use");
        if (object.tunable != TunableId::somaxconn) return;
        for (const auto& [other, value] : ledger_.ours)
            if (other.tunable == TunableId::listener_backlog && other.netns == object.netns &&
                value.value > decision.to)
                fail("somaxconn given back below a queue of ours");
    }

    std::optional<Nanoseconds> shrink_after(TunableId tunable) const {
        return policy_.of(policy_.of(tunable).named ? tunable : TunableId::somaxconn).shrink_after;
    }

    void note_use(const Listener& listener) {
        const std::uint64_t used = listener.window.peak + listener.window.overflows;
        ledger_.used[{TunableId::listener_backlog, listener.netns, listener.cookie}].emplace_back(now_, used);
        ledger_.used[{TunableId::somaxconn, listener.netns}].emplace_back(now_, used);
    }

    void check_changes(const ObjectKey& object) {
        if (too_many(ledger_.changes[object], now_, controller::changes_an_hour))
            fail("too many changes of an object within an hour");
    }

    static std::uint64_t evidence_of(const Decision& decision, const std::string& name) {
        const auto found = std::ranges::find(decision.evidence, name, &Evidence::name);
        return found == decision.evidence.end() ? 0 : found->value;
    }

    [[nodiscard]] std::uint64_t bytes_of(const ObjectKey& object, const Ledger::Ours& ours) const {
        const std::uint64_t most = std::max(std::min(ours.expected, ours.value), ours.used);
        const std::uint64_t units = most > ours.original ? most - ours.original : 0;
        switch (object.tunable) {
        case TunableId::somaxconn: return 0;
        case TunableId::listener_backlog: return units * world_.unit_bytes.queued_connection.value_or(5120);
        case TunableId::conntrack_max: return units * world_.unit_bytes.conntrack_entry.value_or(512);
        case TunableId::conntrack_buckets: return units * 8;
        case TunableId::tcp_max_syn_backlog: return units * 320;
        case TunableId::tcp_rmem:
        case TunableId::tcp_wmem:
        case TunableId::udp_rcvbuf: return units;
        case TunableId::netdev_max_backlog: return units * 2304;
        case TunableId::ipfrag_high_thresh:
        case TunableId::ip6frag_high_thresh: return units;
        case TunableId::ip_local_port_range: return units * 256;
        case TunableId::neigh_gc_thresh3:
        case TunableId::neigh6_gc_thresh3: return units * 512;
        case TunableId::neigh_gc_thresh2:
        case TunableId::neigh_gc_thresh1:
        case TunableId::neigh6_gc_thresh2:
        case TunableId::neigh6_gc_thresh1:
        case TunableId::netdev_budget:
        case TunableId::netdev_budget_usecs:
        case TunableId::tcp_tw_reuse:
        case TunableId::tcp_tw_reuse_delay:
        case TunableId::tcp_congestion_control:
        case TunableId::tcp_mem_pressure:
        case TunableId::tcp_mem_low:
        case TunableId::udp_mem_pressure:
        case TunableId::udp_mem_low:
        case TunableId::tcp_fastopen:
        case TunableId::nf_conntrack_tcp_timeout_established:
        case TunableId::nf_conntrack_tcp_timeout_time_wait:
        case TunableId::nf_conntrack_tcp_timeout_close_wait:
        case TunableId::rps_cpus:
        case TunableId::smp_affinity: return 0;
        case TunableId::rmem_max:
        case TunableId::wmem_max:
        case TunableId::rmem_default:
        case TunableId::wmem_default: return units;
        case TunableId::tcp_mem:
        case TunableId::udp_mem: return units * 4096;
        }
        return 0;
    }

    void note_use() {
        for (auto* objects : {&ledger_.ours, &ledger_.taken})
            for (auto& [object, ours] : *objects) {
                if (object.tunable == TunableId::conntrack_max) ours.used = world_.tables.at(World::host).entries;
                if (object.tunable == TunableId::conntrack_buckets) ours.used = world_.conntrack_buckets;
                const auto listener = world_.listeners.find(object.listener_cookie);
                if (object.tunable == TunableId::listener_backlog && listener != world_.listeners.end())
                    ours.used = listener->second.window.peak;
            }
    }

    // Whose account it is, as far as the snapshot tells. `pod`: whose it was.
    static std::string tenant_in(const Snapshot& snapshot, const ObjectKey& object, const std::optional<Pod>& pod) {
        if (object.tunable == TunableId::conntrack_max || object.tunable == TunableId::conntrack_buckets) return {};
        const auto listener = std::ranges::find(snapshot.listeners, object.listener_cookie, &Listener::cookie);
        const bool is_there = object.listener_cookie != 0 && listener != snapshot.listeners.end();
        const NetnsNames* names = snapshot.names_of(object.netns);
        const auto owner = is_there && listener->pod        ? listener->pod
                           : names != nullptr && names->pod ? names->pod
                                                            : pod;
        if (owner) return "pod " + owner->uid;
        if (object.netns == World::host && is_there && !listener->unit.empty()) return "unit " + listener->unit;
        if (object.netns == World::host) return object.listener_cookie != 0 ? "nobody known" : "";
        if (names != nullptr && names->user_ns_owner)
            return names->unit.empty() ? fmt::format("user {}", *names->user_ns_owner) : "unit " + names->unit;
        return fmt::to_string(object.netns.cookie);
    }

    void note_owner(const Decision& decision, Ledger::Ours& ours) {
        if (decision.act != Decision::Act::write) return;
        ours.pod = decision.scope.pod;
        ours.tenant = tenant_in(*seen_, key_of(decision.tunable, decision.scope), ours.pod);
    }

    void note_tenants(const Snapshot& snapshot) {
        for (auto* objects : {&ledger_.ours, &ledger_.taken})
            for (auto& [object, ours] : *objects)
                if (snapshot.names_of(object.netns) != nullptr) ours.tenant = tenant_in(snapshot, object, ours.pod);
    }

    // `all`: what is charged, the raise included. `before`: the object as it was.
    void check_share(const std::map<ObjectKey, Ledger::Ours>& all, const ObjectKey& object) {
        const Ledger::Ours& ours = all.at(object);
        const std::uint64_t own = bytes_of(object, ours);
        if (ours.tenant.empty() || own == 0) return;
        std::uint64_t spent = 0, of_tenant = 0, for_itself = 0; // by others, of all and of these the tenant's
        for (const auto& [other, held] : all) {
            if (other == object) continue;
            spent += bytes_of(other, held);
            if (held.tenant != ours.tenant) continue;
            of_tenant += bytes_of(other, held);
            const auto known = state_.held.find(other);
            if (known != state_.held.end() && known->second.raised) for_itself += bytes_of(other, held);
        }
        const std::uint64_t share = policy_.share_bytes(world_.memory_bytes);
        if (of_tenant + own <= share) return;
        const auto raised = state_.held.find(object);
        const bool is_for_itself = raised == state_.held.end() || raised->second.raised == now_;
        if (!is_for_itself || for_itself > share) return fail("a raise past the tenant's share");
        const std::uint64_t left = policy_.budget_bytes(world_.memory_bytes) - spent;
        if (own > left - left / controller::parts_with_one_for_others) fail("a raise that leaves too little to others");
    }

    // What the raises of one step come to, one after the other, together with all that stand.
    void check_budget(const std::vector<Decision>& decisions, const Snapshot& snapshot) {
        auto all = ledger_.ours;
        const std::uint64_t budget = policy_.budget_bytes(world_.memory_bytes);
        for (const Decision& decision : decisions) {
            const ObjectKey object = key_of(decision.tunable, decision.scope);
            using enum Decision::Act;
            if (decision.act == yield || decision.act == forget || decision.act == release) all.erase(object);
            if (!is_write(decision)) continue;
            Ledger::Ours& ours = all.try_emplace(object, decision.from, decision.to).first->second;
            ours.value = decision.to;
            if (decision.act != Decision::Act::write) continue;
            ours.tenant = tenant_in(snapshot, object, decision.scope.pod);
            expect(object, ours, evidence_of(decision, "expected_use"));
            const std::uint64_t own = bytes_of(object, ours);
            if (evidence_of(decision, "cost_bytes") != own) fail("a raise that is charged with another cost");
            std::uint64_t spent = 0;
            for (const auto& [other, held] : all) spent += bytes_of(other, held);
            if (own > 0 && spent > budget) fail("a raise past the memory budget");
            check_share(all, object);
        }
    }

    // What is not charged any more is what was not used for so long.
    void check_release(const ObjectKey& object, std::uint64_t expected) {
        if (now_ < ledger_.last_raise[object] + controller::release_after) return fail("a charge is released too soon");
        for (const auto& [when, used] : ledger_.used[object])
            if (when > now_ - controller::release_after && used > expected) fail("released what was in use");
    }

    void expect(const ObjectKey& object, Ledger::Ours& ours, std::uint64_t expected) {
        if (expected < ours.expected) check_release(object, expected);
        ours.expected = expected;
    }

    // Before the raises of the same step. Of what is raised in it, its evidence tells.
    void note_releases(const std::vector<Decision>& decisions) {
        const auto is_raised = [&](const ObjectKey& object) {
            return std::ranges::any_of(decisions, [&](const Decision& decision) {
                return decision.act == Decision::Act::write && key_of(decision.tunable, decision.scope) == object;
            });
        };
        for (auto* objects : {&ledger_.ours, &ledger_.taken})
            for (auto& [object, ours] : *objects) {
                const auto held = state_.held.find(object);
                if (held == state_.held.end() || is_raised(object)) continue;
                const auto& expected = held->second.expected;
                const std::uint64_t most = expected.empty() ? 0 : std::ranges::max(expected);
                if (most < ours.expected) expect(object, ours, most);
            }
    }

    void check_originals() {
        for (const auto& [object, ours] : ledger_.ours) {
            const auto held = state_.held.find(object);
            if (held == state_.held.end())
                return fail(fmt::format("{} of ours is not known to be", tunables::row(object.tunable).name));
            if (held->second.original != ours.original) fail("another original than the true one");
            if (held->second.current != ours.value) fail("another value than the one that was written");
        }
    }

    void tell(const Decision& decision, const Outcome& outcome) {
        if (!verbose_) return;
        fmt::print("{:.3f} s: act {}: {} of listener {}: {} -> {}: {}{}\n", Seconds(now_ - MonoTime(1h)).count(),
                   static_cast<int>(decision.act), tunables::row(decision.tunable).name,
                   decision.scope.listener ? decision.scope.listener->cookie : 0, decision.from, decision.to,
                   decision.why, is_write(decision) ? fmt::format(": outcome {}", static_cast<int>(outcome.kind)) : "");
    }

    Dice dice_;
    bool verbose_;
    World world_;
    policy::Policy policy_;
    State state_;
    Owners owners_;
    Ledger ledger_;
    const Snapshot* seen_ = nullptr; // that was decided on last
    Style style_ = Style::calm;
    MonoTime now_ = MonoTime(1h);
    std::uint64_t cookies_ = 100;
    std::array<std::uint64_t, 2> namespaces_{2, 3}; // their cookies
    std::uint64_t last_namespace_ = 3;
    std::set<std::uint64_t> foreign_;
    std::uint64_t steps_ = 0;
    std::string broken_;
};

} // namespace

TEST_CASE("invariants hold over random traces") {
    const char* one = std::getenv("SEED");
    const std::uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 0;
    for (std::uint64_t seed = first; seed < (one != nullptr ? first + 1 : traces); ++seed) {
        const std::string broken = Trace(seed, one != nullptr).run();
        INFO("SEED=" << seed << " " << broken);
        REQUIRE(broken.empty());
    }
}
