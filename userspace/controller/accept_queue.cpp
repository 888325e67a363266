// SPDX-License-Identifier: Apache-2.0
#include "controller/accept_queue.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "controller/flood.hpp"
#include "controller/gate.hpp"
#include "core/words.hpp"

namespace bpftune::controller {
namespace {

// A queue that filled faster than this filled in one burst: the application may not even have been scheduled.
constexpr Nanoseconds burst_length = std::chrono::milliseconds(50);
// What waits longer than this at the observed service rate is delay, not a burst. A client's SYN is sent again after
// one second (RFC 6298): a queue is worth its places as long as waiting in it is much shorter than that.
constexpr double longest_wait_seconds = 0.25;
// At this many seconds in the queue the application hangs.
constexpr double hang_seconds = 10;
// What a stuck queue turned away comes again, in waves that look like bursts, for as long as the kernel repeats a
// SYN-ACK to it: 1 + 2 + 4 + 8 + 16 + 32 s (net/ipv4: tcp_synack_retries is 5).
constexpr Nanoseconds comes_again_for = std::chrono::seconds(63);
// A tick that saw less says nothing about draining.
constexpr Nanoseconds shortest_window = std::chrono::milliseconds(100);
// A burst goes on for so long before its queue is looked at again.
constexpr Nanoseconds until_next_look = std::chrono::milliseconds(20);
// The rate of a handful of arrivals within microseconds is nobody's.
constexpr Nanoseconds shortest_rate_window = std::chrono::milliseconds(2);
// What fills the second half of its limit faster than this is full before a raise at half of it takes effect, and is
// told of at a quarter. A few in an instant say nothing. (bpf/lib/queue.h has the same.)
constexpr Nanoseconds fills_at_once_within = std::chrono::milliseconds(2);
constexpr std::uint32_t fewest_at_once = 16;
// The next burst may be twice the last.
constexpr std::uint64_t headroom = 2;
// So many lost ones are believed for each connection that was accepted: 1,500 at once over a queue that was raised to
// 512 meanwhile find their size by it, and a queue that a flood keeps full grows by 6 at most.
constexpr std::uint64_t lost_for_an_accepted = 2;
// The largest backlog that rounding up to a power of two may ask for.
constexpr std::uint64_t largest_backlog = std::uint64_t{1} << 30;

// Past three quarters of tcp_max_syn_backlog only peers are let in that completed a handshake before
// (net/ipv4/tcp_input.c, tcp_conn_request).
std::uint64_t with_last_quarter(std::uint64_t handshakes) { return handshakes + (handshakes + 2) / 3; }

std::uint64_t power_of_two(std::uint64_t value) { return std::bit_ceil(std::min(value, largest_backlog)); }

// A flood of SYNs overflows a queue that a burst has filled; what was accepted vouches for as many of them. Where
// arrivals are not seen, what was accepted is not known well enough.
std::uint64_t demand_of(const Listener& listener) {
    const QueueWindow& window = listener.window;
    const std::uint64_t lost =
        window.arrivals ? std::min(window.overflows, lost_for_an_accepted * window.accepted) : window.overflows;
    return window.peak + lost;
}

// Of a limit of 0 or 1 one that waits is all that the application asked for.
bool has_halves(const Listener& listener) { return listener.limit > 1; }

bool is_past_half(const Listener& listener) {
    return has_halves(listener) && std::uint64_t{listener.window.peak} * 2 > listener.limit;
}

bool fills_at_once(const Listener& listener) {
    const QueueWindow& window = listener.window;
    const bool few = window.peak < fewest_at_once || std::uint64_t{window.peak} * 4 <= listener.limit;
    if (!window.event || !window.arrivals || few) return false;
    return window.length * listener.limit < fills_at_once_within * 2 * window.peak;
}

bool pressed(const Listener& listener) {
    return listener.window.overflows > 0 || is_past_half(listener) || fills_at_once(listener);
}

bool stays_half_full(const Listener& listener) {
    const QueueWindow& window = listener.window;
    if (has_halves(listener)) return std::uint64_t{window.floor} * 2 > listener.limit;
    return window.floor > listener.limit && window.overflows > 0;
}

bool is_over(const Listener& burst) { return std::uint64_t{burst.queue} * 4 <= burst.limit; }

// Handshakes; where these are not seen, what was accepted.
std::uint64_t completed_in(const QueueWindow& window) { return window.arrivals.value_or(window.accepted); }

double accepted_a_second(const QueueWindow& window) {
    const double seconds = Seconds(window.length).count();
    return seconds > 0 ? static_cast<double>(window.accepted) / seconds : 0;
}

bool is_worked_off_in_time(const QueueWindow& window) {
    return window.peak <= accepted_a_second(window) * longest_wait_seconds;
}

// Of a burst, at its rate so far. A tick's rate is of many bursts and none.
std::optional<std::uint64_t> arrivals_until_next_look(const QueueWindow& window) {
    if (!window.arrivals || !window.event || window.length >= burst_length) return std::nullopt;
    const double looks = Seconds(until_next_look) / Seconds(std::max(window.length, shortest_rate_window));
    return static_cast<std::uint64_t>(static_cast<double>(*window.arrivals) * looks);
}

// Whoever waits in it waits for so long that the application does not accept at all, rather than slowly. Where arrivals
// are not seen, what was accepted is not known.
bool hangs(const QueueWindow& window) {
    return window.arrivals && accepted_a_second(window) * hang_seconds < window.floor;
}

std::string name_of(const Listener& listener) {
    return fmt::format("{} ({})", to_string(listener.local), listener.pod ? pod_text(*listener.pod) : listener.command);
}

ObjectKey object_of(const Listener& listener) { return {TunableId::listener_backlog, listener.netns, listener.cookie}; }

TrialKey trial_of(const Listener& listener) { return {.object = object_of(listener)}; }

// Handshakes under way that need its limit as what waits does: 0 where a full SYN queue sends cookies.
std::uint32_t handshakes_of(const Listener& listener) {
    return listener.refuses_syns ? listener.syn_queue.value_or(0) : 0;
}

// What one window of it adds to a trial.
Measured measured_queue(const Listener& listener) {
    const QueueWindow& window = listener.window;
    const std::uint64_t losses = window.overflows + window.syn_dropped;
    return {.losses = losses,
            .demand = completed_in(window) + losses,
            .use = std::max(window.peak, handshakes_of(listener))};
}

// What is said of a limit that its application, or the somaxconn of its time, has set; before we raised it.
std::string unknown_wish_of(const Gate& gate, const Listener& listener) {
    const Held* held = gate.held(object_of(listener));
    return unknown_wish(fmt::to_string(held == nullptr ? listener.limit : held->original),
                        fmt::to_string(*listener.somaxconn));
}

// `expected`: how many are expected to wait at once, with headroom.
Wish wish_for(const Listener& listener, std::uint64_t to, std::uint64_t expected) {
    const QueueWindow& window = listener.window;
    Wish wish{.tunable = TunableId::listener_backlog,
              .scope = scope_of(listener),
              .from = listener.limit,
              .to = to,
              .why = fmt::format("accept queue of {} reached {} of {}", name_of(listener), window.peak, listener.limit),
              .expected = {expected},
              .evidence = {{"queue_peak", window.peak}, {"limit", listener.limit}},
              .event = window.event,
              .reason = {.trial = trial_of(listener),
                         .cause = window.overflows + window.syn_dropped > 0 ? Cause::loss : Cause::forecast,
                         .fitted = listener.limit + tunables::row(TunableId::listener_backlog).spare,
                         .before = measured_queue(listener)},
              .demand = object_of(listener),
              .asker = object_of(listener)};
    if (window.arrivals) wish.evidence.push_back({"arrivals", *window.arrivals});
    if (window.overflows > 0) {
        // A queue that was not full lost nothing at the limit that it has.
        const bool at_this_limit = window.peak > listener.limit;
        wish.why += fmt::format(" and lost {}{}", window.overflows,
                                !window.arrivals ? " between two looks at it"
                                : at_this_limit  ? ""
                                                 : " before, at a smaller limit");
        wish.evidence.push_back({"overflows", window.overflows});
    }
    if (window.syn_dropped > 0) {
        wish.why =
            fmt::format("SYN queue of {} held {} of {} and refused {}, its accept queue reached {}", name_of(listener),
                        listener.syn_queue.value_or(0), listener.limit, window.syn_dropped, window.peak);
        wish.evidence.push_back({"syn_queue", listener.syn_queue.value_or(0)});
        wish.evidence.push_back({"syn_dropped", window.syn_dropped});
    }
    if (window.accepted > 0) wish.why += " while it was being accepted from";
    if (fills_at_once(listener) && !is_past_half(listener))
        wish.why +=
            fmt::format(" within {} us, and would be full before a raise at half", window.length.count() / 1000);
    return wish;
}

// Whether a limit that equals somaxconn is held to it. Not one that was below the somaxconn of its time, and that we
// raised so far.
bool is_held_to_somaxconn(const Gate& gate, const Listener& listener) {
    const Held* held = gate.held(object_of(listener));
    if (held == nullptr || (listener.asked && *listener.asked > listener.limit)) return true;
    const Held* somaxconn = gate.held({TunableId::somaxconn, listener.netns});
    return held->original >= (somaxconn == nullptr ? *listener.somaxconn : somaxconn->original);
}

// What we wrote after a row was read is newer than the row.
Listener up_to_date(const Gate& gate, const Listener& listener) {
    Listener now = listener;
    if (const Held* held = gate.held({TunableId::somaxconn, listener.netns}))
        now.somaxconn = static_cast<std::uint32_t>(held->current);
    const Held* held = gate.held(object_of(listener));
    if (held != nullptr && listener.read <= held->since) now.limit = static_cast<std::uint32_t>(held->current);
    // Of what waits to be accepted tcp_max_syn_backlog lets in any number, one handshake after another.
    if (now.binds == Binds::syn_backlog) now.binds = accept_queue_binds(now);
    const bool is_bound = now.binds == Binds::application || now.binds == Binds::unknown;
    const bool is_older = now.somaxconn != listener.somaxconn || now.limit != listener.limit;
    if (is_bound && is_older && now.limit == now.somaxconn) now.binds = Binds::somaxconn;
    if (now.binds == Binds::somaxconn && !is_held_to_somaxconn(gate, now))
        now.binds = now.asked ? Binds::application : Binds::unknown;
    return now;
}

bool is_up_to_date(const Gate& gate, const Listener& listener) {
    return listener.binds != Binds::syn_backlog && gate.held({TunableId::somaxconn, listener.netns}) == nullptr &&
           gate.held(object_of(listener)) == nullptr;
}

// What the application is entitled to under this somaxconn. One that asked for just as much as was allowed (Go reads
// somaxconn and passes it on) asked for as much as is allowed; so did an older one whose limit equals somaxconn.
std::uint64_t granted(const Listener& listener, std::uint64_t somaxconn) {
    if (listener.asked && *listener.asked > listener.limit) return std::min<std::uint64_t>(*listener.asked, somaxconn);
    return listener.binds == Binds::somaxconn ? somaxconn : listener.limit;
}

bool had_no_connection(const Listener& listener) { return listener.arrivals == 0U && listener.queue_peak == 0; }

// Since it was first seen: it is not about what waits for it now.
std::vector<Evidence> evidence_of_bystander(const Listener& listener) {
    if (had_no_connection(listener)) return {};
    std::vector<Evidence> evidence{{"queue_peak", listener.queue_peak}, {"limit", listener.limit}};
    if (listener.arrivals) evidence.push_back({"arrivals", *listener.arrivals});
    if (listener.overflows > 0) evidence.push_back({"overflows", listener.overflows});
    return evidence;
}

bool grant(Gate& gate, const Listener& listener, std::uint64_t share, std::uint64_t somaxconn, const Wish& cause) {
    Wish wish = cause;
    wish.tunable = TunableId::listener_backlog;
    wish.scope = scope_of(listener);
    wish.from = listener.limit;
    wish.to = share;
    wish.demand = object_of(listener);
    wish.asker = wish.demand;
    wish.within_asked = share <= granted(listener, share);
    const std::string name = name_of(listener);
    if (!listener.asked)
        wish.why = fmt::format("{} was held to somaxconn, which is {} now", name, somaxconn);
    else if (*listener.asked > listener.limit)
        wish.why = fmt::format("{} asked for {}; somaxconn is {}", name, *listener.asked, somaxconn);
    else
        wish.why = fmt::format("{} {}; it is {} now", name, asked_for_all(fmt::to_string(*listener.asked)), somaxconn);
    if (listener.cookie != cause.scope.listener->cookie && had_no_connection(listener))
        wish.why += "; no connection came to it since this service began";
    if (!wish.within_asked) wish.why += fmt::format("; the policy's listener.backlog allows {}", share);
    return gate.raise(std::move(wish)) > listener.limit;
}

// Raises somaxconn of the listener's namespace. What it is afterwards. Those who wait are charged to their queues.
std::uint64_t raise_somaxconn(Gate& gate, const Listener& listener, Wish cause, std::uint64_t to) {
    cause.tunable = TunableId::somaxconn;
    cause.from = *listener.somaxconn;
    cause.to = to;
    cause.expected.clear();
    return gate.raise(std::move(cause));
}

// nullptr: it is not.
const Queue* stuck_queue(const State& state, const Listener& listener) {
    const auto queue = state.queues.find(listener.cookie);
    return queue != state.queues.end() && queue->second.stuck ? &queue->second : nullptr;
}

// Everyone else in the namespace who asked for more gets it too, after the one who waits for it; but for those whose
// own raise is not decided yet, or was rolled back a short while ago, and those to whom a longer queue is only a longer
// wait.
void grant_others(Gate& gate, const Snapshot& snapshot, const Listener& cause, std::uint64_t somaxconn,
                  const Wish& wish) {
    for (const Listener& other : snapshot.listeners) {
        if (other.netns != cause.netns || other.cookie == cause.cookie || gate.backs_off(trial_of(other))) continue;
        if (stuck_queue(gate.state(), other) != nullptr) continue;
        const Trial* undecided = trial_with(gate, object_of(other));
        if (undecided != nullptr && !undecided->values.contains(object_of(cause))) continue;
        const Listener now = up_to_date(gate, other);
        Wish shared = wish;
        shared.event.reset();                         // its reaction time is not theirs
        shared.evidence = evidence_of_bystander(now); // nor what speaks for it
        // What is granted is charged: it may be used as the one who asks does.
        shared.expected = {std::max(wish.expected.front(), headroom * demand_of(other))};
        grant(gate, now, granted(now, somaxconn), somaxconn, shared);
    }
}

// The application's own argument binds: only going beyond it helps.
bool raise_beyond(Gate& gate, const Listener& listener, Wish wish) {
    if (listener.binds == Binds::unknown)
        wish.why += "; " + unknown_wish_of(gate, listener);
    else
        wish.why += listener.asked ? fmt::format("; the application asked for only {}", *listener.asked)
                                   : std::string("; the application's own backlog binds");
    const std::uint64_t wanted = std::min(wish.to, gate.bounds_of(object_of(listener)).max);
    std::uint64_t ceiling = *listener.somaxconn;
    if (wanted > ceiling && gate.mode_of(object_of(listener)) == policy::Mode::automatic)
        ceiling = raise_somaxconn(gate, listener, wish, wanted);
    if (wanted > ceiling && gate.mode_of(object_of(listener)) != policy::Mode::observe) {
        wish.why += fmt::format("; held to somaxconn, {}", ceiling);
        wish.to = ceiling;
    }
    return gate.raise(std::move(wish)) > listener.limit;
}

// Whether something was raised for this queue.
bool raise_queue(Gate& gate, const Snapshot& snapshot, const Listener& listener, std::uint64_t expected, bool urgent) {
    Wish wish = wish_for(listener, power_of_two(expected), expected);
    wish.urgent = urgent;
    if (!gate.fit_flood(wish)) return false;
    const std::uint64_t size = wish.to;
    const std::uint64_t entitled = granted(listener, size);
    if (entitled <= listener.limit) return raise_beyond(gate, listener, std::move(wish));
    const std::uint64_t before = *listener.somaxconn;
    const std::uint64_t somaxconn = size > before ? raise_somaxconn(gate, listener, wish, size) : before;
    const bool beyond = gate.mode_of(object_of(listener)) == policy::Mode::automatic;
    const std::uint64_t share = std::min(somaxconn, beyond ? size : entitled);
    const bool raised = grant(gate, listener, share, somaxconn, wish);
    if (somaxconn > before) grant_others(gate, snapshot, listener, somaxconn, wish);
    return raised || somaxconn > before;
}

std::string why_stuck(const QueueWindow& window, const Flood* flood) {
    if (flood != nullptr) return fmt::format(": a flood is no demand ({})", flood->evidence);
    if (hangs(window))
        return fmt::format(" while the application accepted {}: it hangs or is stopped, and a longer queue would only "
                           "add delay",
                           window.accepted == 0 ? "none" : fmt::format("{:.0f} a second", accepted_a_second(window)));
    const std::string pace =
        window.arrivals ? fmt::format("while the application accepted {:.0f} a second", accepted_a_second(window))
                        : "at two looks in a row, whatever the application accepted";
    return fmt::format(" {}: it is too slow, and a longer queue would only add delay", pace);
}

// Where no cookies are sent: the listener's own limit has room.
void raise_syn_backlog(Gate& gate, const Listener& listener, std::uint64_t expected) {
    const ObjectKey object{TunableId::tcp_max_syn_backlog, listener.netns};
    const Reading* reading = gate.readings().find(object);
    if (reading == nullptr || !reading->value) return;
    Wish wish = wish_for(listener, power_of_two(with_last_quarter(expected)), expected);
    wish.tunable = object.tunable;
    wish.from = *reading->value;
    wish.why += fmt::format("; tcp_max_syn_backlog, {}, binds, because tcp_syncookies is 0", wish.from);
    wish.evidence.push_back({"max_syn_backlog", wish.from});
    wish.reason = {.trial = {.object = object},
                   .cause = Cause::loss,
                   .fitted = wish.from - wish.from / 4,
                   .before = reading->measured};
    wish.demand = object;
    gate.raise(std::move(wish));
}

// A SYN queue may be as long as the accept queue. Where clients are far away it is full though that one is empty: of as
// many as come in a round trip it holds those that it took in. As with overflows, what was accepted vouches for as many
// of the refused ones. (With cookies nothing is refused.)
void raise_syn_queue(Gate& gate, const Snapshot& snapshot, const Listener& listener, Queue& queue,
                     bool syn_backlog_binds) {
    const QueueWindow& window = listener.window;
    const std::uint64_t completed = completed_in(window);
    const bool clients =
        listener.syn_queue && completed > 0 && !listener.flood &&
        can_be_clients(*listener.syn_queue, static_cast<double>(completed) / Seconds(window.length).count());
    // A flood that has just begun shares its first tick with the clients before it.
    if (!std::exchange(queue.refuses_clients, clients) || !clients) return;
    const std::uint64_t refused = std::min(window.syn_dropped, lost_for_an_accepted * completed);
    const std::uint64_t at_once = *listener.syn_queue * (completed + refused) / completed;
    const std::uint64_t expected = headroom * std::min(at_once, largest_backlog);
    if (syn_backlog_binds) return raise_syn_backlog(gate, listener, expected);
    if (power_of_two(expected) > listener.limit) raise_queue(gate, snapshot, listener, expected, false);
}

void find_stuck(Gate& gate, const Listener& listener) {
    const QueueWindow& window = listener.window;
    const Flood* flood = flood_at(gate.state(), object_of(listener), gate.now());
    Wish finding = wish_for(listener, listener.limit, 0);
    finding.why = fmt::format("accept queue of {} stayed between {} and {} of {}{}; nothing raised", name_of(listener),
                              window.floor, window.peak, listener.limit, why_stuck(window, flood));
    if (listener.binds == Binds::unknown) finding.why += "; " + unknown_wish_of(gate, listener);
    finding.evidence.push_back({"queue_floor", window.floor});
    if (window.arrivals) finding.evidence.push_back({"accepted", window.accepted});
    gate.advise(std::move(finding), flood != nullptr ? "flood" : "stuck");
}

// With what will have come when the queue is looked at again, if it comes as it came so far; where that is not known,
// and where demand goes on growing, four times the limit.
std::uint64_t expected_at_next_look(const Gate& gate, const Listener& listener, const Queue& queue) {
    const auto soon = arrivals_until_next_look(listener.window);
    const bool unknown = !soon || gate.is_on_ramp(object_of(listener));
    return std::max(headroom * (queue.demand + soon.value_or(0)), unknown ? ramp_factor * listener.limit : 0);
}

// Whose limit is ours, though never for a burst of its own: the cooldown is that of whose burst it was.
bool was_given_a_share(const Gate& gate, const Listener& listener) {
    const Held* held = gate.held(object_of(listener));
    return held != nullptr && !held->raised;
}

// Once a burst has been seen whole, twice what waits. A burst past half of what an earlier one was sized for does not
// wait for the cooldown, as the next one may be past all of it.
void open_burst(Gate& gate, const Snapshot& snapshot, const Listener& listener, Queue& queue) {
    queue.in_burst = true;
    queue.demand = demand_of(listener);
    const bool is_known = queue.sized && !gate.is_on_ramp(object_of(listener));
    const std::uint64_t expected = is_known ? headroom * queue.demand : expected_at_next_look(gate, listener, queue);
    const bool urgent = queue.sized || listener.window.overflows > 0 || was_given_a_share(gate, listener);
    queue.raised = raise_queue(gate, snapshot, listener, expected, urgent);
}

// While a burst lasts its demand is collected, and one that comes past half of what it was given is given more; when
// the queue has emptied, one correction closes it.
void follow_burst(Gate& gate, const Snapshot& snapshot, const Listener& listener, Queue& queue, Drain drain) {
    queue.demand = std::max(queue.demand, demand_of(listener));
    if (!is_over(listener)) {
        if (queue.raised && drain == Drain::bursts && listener.window.event && pressed(listener))
            raise_queue(gate, snapshot, listener, expected_at_next_look(gate, listener, queue), /*urgent=*/true);
        return;
    }
    queue.in_burst = false;
    queue.sized = true;
    const std::uint64_t expected = headroom * queue.demand;
    if (power_of_two(expected) > listener.limit)
        raise_queue(gate, snapshot, listener, expected, queue.raised || listener.window.overflows > 0);
}

// Whether it was seen empty since it was stuck: in the window of a tick; a burst's begins with that (bpf/lib/queue.h).
bool has_drained(const Snapshot& snapshot, const Listener& listener, MonoTime stuck) {
    const QueueWindow& window = listener.window;
    if (snapshot.cause == Snapshot::Cause::tick) return window.floor == 0;
    return window.event.value_or(snapshot.time.mono) - window.length > stuck;
}

// Whether a queue that was stuck is believed again: it has drained, and its application was not seen to be slow, but
// hung, and goes on. (Where arrivals are not seen, nor is that.) Or a load was worked off in time, or what a slow one
// turned away has stopped to come.
bool has_recovered(const Snapshot& snapshot, const Listener& listener, const Queue& queue, MonoTime now) {
    if (now - *queue.stuck >= comes_again_for) return true;
    if (!queue.slow && has_drained(snapshot, listener, *queue.stuck)) return true;
    const bool whole = snapshot.cause == Snapshot::Cause::tick || is_over(listener);
    return listener.window.arrivals && whole && pressed(listener) && is_worked_off_in_time(listener.window);
}

// More waited than it holds now, and nothing was lost: that was before its application called listen() again with less.
// (A queue holds one more than its limit, and as many as there are CPUs may come in at once: net/ipv4,
// sk_acceptq_added.)
bool is_of_a_larger_limit(const Listener& listener) {
    const std::uint64_t most = std::uint64_t{listener.limit} + listener.limit / 8 + 16;
    return listener.window.peak > most && listener.window.overflows == 0;
}

// `syn_backlog_binds`: of its handshakes.
void judge(Gate& gate, const Snapshot& snapshot, const Listener& listener, bool syn_backlog_binds) {
    if (!listener.somaxconn) return; // what may not be read may not be written

    // An event from before our last write is about a limit that is no more.
    const Held* held = gate.held(object_of(listener));
    if (held != nullptr && listener.window.event && *listener.window.event <= held->since) return;

    // A tick's window that began before it mixes what was lost then with what the new limit does.
    const bool tick = snapshot.cause == Snapshot::Cause::tick;
    if (tick && held != nullptr && held->since > snapshot.time.mono - listener.window.length) return;

    const Drain drain = drain_of(listener, snapshot.cause);
    Queue& queue = gate.state().queues[listener.cookie];
    if (is_of_a_larger_limit(listener)) {
        queue.in_burst = false;
        return;
    }
    if (drain == Drain::stuck) {
        queue.in_burst = false;
        queue.stuck = gate.now();
        queue.slow = listener.window.arrivals && !hangs(listener.window);
        if (listener.window.overflows > 0 || listener.window.peak >= listener.limit) find_stuck(gate, listener);
        return;
    }
    if (queue.stuck && !has_recovered(snapshot, listener, queue, gate.now())) {
        if (tick && queue.slow && pressed(listener)) queue.stuck = gate.now();
        return;
    }
    const bool was_hung = queue.stuck && !queue.slow;
    queue.stuck.reset();
    if (tick && was_hung) return; // what was lost in this window was lost while it hung
    if (queue.in_burst) {
        follow_burst(gate, snapshot, listener, queue, drain);
    } else if (pressed(listener) && drain == Drain::bursts) {
        open_burst(gate, snapshot, listener, queue);
    } else if (tick && listener.window.syn_dropped > 0) {
        raise_syn_queue(gate, snapshot, listener, queue, syn_backlog_binds);
    }
}

// What one window of it says of how long a queue is needed.
Use use_of(const Listener& listener) {
    const std::uint64_t handshakes = handshakes_of(listener);
    return {.used = std::max<std::uint64_t>(listener.window.peak, handshakes),
            .wanted = power_of_two(headroom * std::max(demand_of(listener), handshakes)),
            .pressed = pressed(listener) || listener.window.syn_dropped > 0};
}

void join(std::optional<Use>& all, const Use& one) {
    if (!all) all.emplace();
    all->used = std::max(all->used, one.used);
    all->wanted = std::max(all->wanted, one.wanted);
    all->pressed |= one.pressed;
}

// Whether its application accepts nothing to speak of, or did so until the queue drained in this window.
bool is_hung(const State& state, const Listener& listener) {
    if (!listener.window.arrivals) return false; // nor is it seen whether it accepts
    if (stays_half_full(listener)) return hangs(listener.window);
    const Queue* stuck = stuck_queue(state, listener);
    return stuck != nullptr && !stuck->slow;
}

// Whether a tick leaves open why it is filling: a burst that is worked off in time, or not.
bool is_filling(const Listener& listener) {
    return std::uint64_t{listener.queue} * 2 > listener.limit &&
           drain_of(listener, Snapshot::Cause::tick) == Drain::unsure;
}

// What a queue loses while its application hangs, up to when it has drained, is not lost for want of a limit. Whether
// it hangs when a window ends with a queue that is filling is known a tick later.
Counts counts_of(const State& state, const Listener& listener) {
    if (!listener.flood && is_hung(state, listener)) return Counts::no;
    return is_filling(listener) ? Counts::undecided : Counts::yes;
}

// SYNs of a flood meet a queue full when bursts fill it, which are worked off: they are neither loss nor demand. Where
// connections flood it, it stays full.
Measured measured_after_raise(const Listener& listener) {
    Measured more = measured_queue(listener);
    if (!listener.flood || stays_half_full(listener)) return more;
    more.demand -= more.losses;
    more.lost_in_flood = std::exchange(more.losses, 0);
    return more;
}

// At a tick, and not where arrivals are not seen.
bool is_pace_seen(const Listener& listener, Snapshot::Cause cause) {
    const QueueWindow& window = listener.window;
    return cause == Snapshot::Cause::tick && window.length >= shortest_window && window.arrivals && !listener.flood;
}

std::optional<Behind> behind_of(const Listener& listener, bool is_pace_seen) {
    const QueueWindow& window = listener.window;
    const double served = accepted_a_second(window);
    if (!is_pace_seen || window.floor <= served * longest_wait_seconds) return std::nullopt;
    return Behind{.waited = window.floor, .served_per_second = static_cast<std::uint64_t>(served)};
}

Reading reading_of(const State& state, const Listener& listener, Snapshot::Cause cause) {
    Reading reading{.object = object_of(listener),
                    .listener = &listener,
                    .value = listener.limit,
                    .read = listener.read,
                    .ceiling = listener.somaxconn,
                    .in_use = std::max(listener.queue, handshakes_of(listener)),
                    .measured = measured_after_raise(listener),
                    .counts = counts_of(state, listener),
                    .is_pace_seen = is_pace_seen(listener, cause)};
    reading.behind = behind_of(listener, reading.is_pace_seen);
    if (listener.window.length == Nanoseconds{}) return reading;
    reading.use = use_of(listener);
    reading.charged = listener.window.peak;
    return reading;
}

// What a window of all listeners of a namespace says of what bounds their handshakes where no cookies are sent. What is
// lost where it is the listener's own limit that binds by now is not lost at this one.
struct Handshakes {
    Measured measured;
    std::optional<Use> use;
};

void add(Handshakes& all, const Listener& listener) {
    const QueueWindow& window = listener.window;
    if (!listener.refuses_syns || window.length == Nanoseconds{}) return;
    const std::uint64_t under_way = handshakes_of(listener);
    const std::uint64_t refused = listener.binds == Binds::syn_backlog ? window.syn_dropped : 0;
    (listener.flood ? all.measured.lost_in_flood : all.measured.losses) += refused;
    all.measured.demand += completed_in(window) + (listener.flood ? 0 : refused);
    all.measured.use = std::max(all.measured.use, under_way);
    join(all.use,
         {.used = under_way, .wanted = power_of_two(with_last_quarter(headroom * under_way)), .pressed = refused > 0});
}

Reading reading_of_somaxconn(const Snapshot& snapshot, const NetnsTcp& tcp) {
    return {.object = {TunableId::somaxconn, tcp.netns},
            .netns_pid = tcp.pid,
            .pod = &tcp.pod,
            .value = tcp.somaxconn,
            .read = snapshot.time.mono,
            .in_use = 0};
}

Reading reading_of_syn_backlog(const Snapshot& snapshot, const NetnsTcp& tcp, const Handshakes& handshakes,
                               std::uint64_t listeners) {
    Reading reading{.object = {TunableId::tcp_max_syn_backlog, tcp.netns},
                    .netns_pid = tcp.pid,
                    .pod = &tcp.pod,
                    .value = tcp.max_syn_backlog,
                    .read = snapshot.time.mono,
                    .in_use = 0,
                    .use = handshakes.use,
                    .sharers = std::max<std::uint64_t>(listeners, 1),
                    .measured = handshakes.measured};
    if (handshakes.use) reading.charged = handshakes.use->used;
    return reading;
}

// What the listeners of each network namespace say together.
class Namespaces {
public:
    struct Namespace {
        NetnsId netns;
        const NetnsTcp* tcp = nullptr; // nullptr: an event is about a queue alone
        std::optional<Use> use;
        Handshakes handshakes;
        std::uint64_t listeners = 0;
    };

    explicit Namespaces(const Snapshot& snapshot) {
        rows_.reserve(snapshot.tcp.size());
        for (const NetnsTcp& tcp : snapshot.tcp) rows_.push_back({.netns = tcp.netns, .tcp = &tcp});
        if (!std::ranges::is_sorted(rows_, {}, &Namespace::netns)) std::ranges::sort(rows_, {}, &Namespace::netns);
    }

    Namespace& of(const NetnsId& netns) {
        const auto row = std::ranges::lower_bound(rows_, netns, {}, &Namespace::netns);
        if (row != rows_.end() && row->netns == netns) return *row;
        return *rows_.insert(row, {.netns = netns});
    }

    [[nodiscard]] const std::vector<Namespace>& all() const { return rows_; }

private:
    std::vector<Namespace> rows_;
};

// Nothing waited, and nothing is remembered of it: as most are at most times.
bool is_idle(const State& state, const Listener& listener) {
    const QueueWindow& window = listener.window;
    return window.peak == 0 && window.floor == 0 && window.overflows == 0 && window.syn_dropped == 0 &&
           !state.queues.contains(listener.cookie);
}

void show_limit(Listener& listener, std::uint64_t limit) {
    listener.limit = static_cast<std::uint32_t>(limit);
    if (listener.window.length == Nanoseconds{}) return;
    QueueWindow& window = listener.window;
    const std::uint64_t fits = limit + tunables::row(TunableId::listener_backlog).spare;
    const std::uint64_t wanted = window.peak + window.overflows;
    const std::uint64_t lost = wanted - std::min(wanted, fits);
    // What is not lost any more has arrived and was accepted; what is lost now has not.
    const std::uint64_t gained = window.overflows - std::min(window.overflows, lost);
    const std::uint64_t missed = lost - std::min(lost, window.overflows);
    const auto moved = [&](std::uint64_t count) { return count + gained - std::min(count + gained, missed); };
    if (window.arrivals) window.arrivals = moved(*window.arrivals);
    window.accepted = moved(window.accepted);
    window.peak = static_cast<std::uint32_t>(std::min(wanted, fits));
    window.overflows = lost;
    window.floor = std::min(window.floor, window.peak);
    listener.queue = std::min(listener.queue, window.peak);
}

} // namespace

Drain drain_of(const Listener& listener, Snapshot::Cause cause) {
    const QueueWindow& window = listener.window;
    if (cause == Snapshot::Cause::tick) {
        if (window.length < shortest_window) return Drain::unsure;
        if (stays_half_full(listener)) return Drain::stuck;
        if (window.arrivals == 0U && window.overflows == 0) return Drain::unsure; // what is left of an earlier window
        if (std::uint64_t{listener.queue} * 2 <= listener.limit) return Drain::bursts;
    } else if (window.length < burst_length) {
        return Drain::bursts;
    }
    // It has been filling for a while: as a burst does that is being worked off, or because the application is slow?
    return is_worked_off_in_time(window) ? Drain::bursts : Drain::unsure;
}

namespace queues {

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    Namespaces namespaces(snapshot);
    for (const Listener& listener : snapshot.listeners) {
        const Reading& reading = add(readings, [&] { return reading_of(view.state, listener, snapshot.cause); });
        Namespaces::Namespace& all = namespaces.of(listener.netns);
        ++all.listeners;
        if (reading.use) join(all.use, *reading.use);
        add(all.handshakes, listener);
    }
    for (const auto& [netns, tcp, use, handshakes, listeners] : namespaces.all()) {
        add(readings, [&] {
            return tcp != nullptr ? reading_of_somaxconn(snapshot, *tcp)
                                  : Reading{.object = {TunableId::somaxconn, netns}};
        }).use = use;
        if (tcp == nullptr) continue;
        add(readings, [&] { return reading_of_syn_backlog(snapshot, *tcp, handshakes, listeners); });
    }
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    for (const Listener& listener : snapshot.listeners)
        note_flood(gate.state(),
                   {.demand = object_of(listener), .object = object_of(listener), .limit = listener.limit},
                   listener.flood, gate.now());
    for (const Listener& listener : snapshot.listeners) {
        const bool is_what_happened = snapshot.cause == Snapshot::Cause::tick || listener.window.length > Nanoseconds{};
        if (!is_what_happened || is_idle(gate.state(), listener) || gate.puts_back(object_of(listener))) continue;
        if (is_up_to_date(gate, listener)) // mostly, and a copy is large
            judge(gate, snapshot, listener, false);
        else
            judge(gate, snapshot, up_to_date(gate, listener), listener.binds == Binds::syn_backlog);
    }
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (NetnsTcp& tcp : snapshot.tcp)
        if (const auto value = value_of({TunableId::somaxconn, tcp.netns}))
            tcp.somaxconn = static_cast<std::uint32_t>(*value);
    for (NetnsTcp& tcp : snapshot.tcp)
        if (const auto value = value_of({TunableId::tcp_max_syn_backlog, tcp.netns}))
            tcp.max_syn_backlog = static_cast<std::uint32_t>(*value);
    for (Listener& listener : snapshot.listeners) {
        const auto somaxconn = value_of({TunableId::somaxconn, listener.netns});
        const auto limit = value_of(object_of(listener));
        if (somaxconn) listener.somaxconn = static_cast<std::uint32_t>(*somaxconn);
        if (limit) show_limit(listener, *limit);
        if ((limit || somaxconn) && listener.binds != Binds::syn_backlog) listener.binds = accept_queue_binds(listener);
    }
}

void forget_demand(State& state, const ObjectKey& object, Forget what) {
    if (object.tunable != TunableId::listener_backlog) return;
    const auto queue = state.queues.find(object.listener_cookie);
    if (queue == state.queues.end()) return;
    queue->second.sized = false;
    if (what == Forget::all) queue->second.in_burst = false;
}

void forget_gone(State& state, const Readings& readings) {
    if (state.queues.empty()) return;
    const auto listeners = readings.in_order(TunableId::listener_backlog);
    std::vector<std::uint64_t> there;
    there.reserve(listeners.size());
    for (const Reading& reading : listeners) there.push_back(reading.object.listener_cookie);
    std::ranges::sort(there);
    std::erase_if(state.queues, [&](const auto& entry) { return !std::ranges::binary_search(there, entry.first); });
}

} // namespace queues
} // namespace bpftune::controller
