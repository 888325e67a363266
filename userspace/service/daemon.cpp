// SPDX-License-Identifier: Apache-2.0
#include "service/daemon.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <linux/capability.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "actuators/journal.hpp"
#include "actuators/restore.hpp"
#include "actuators/writer.hpp"
#include "controller/cost.hpp"
#include "controller/expect.hpp"
#include "controller/grants.hpp"
#include "controller/step.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "policy/parse.hpp"
#include "probes/probes.hpp"
#include "recording/recording.hpp"
#include "service/api.hpp"
#include "service/boot.hpp"
#include "service/burst_pace.hpp"
#include "service/executor.hpp"
#include "service/expected.hpp"
#include "service/health.hpp"
#include "service/http_door.hpp"
#include "service/journal_at_start.hpp"
#include "service/lock.hpp"
#include "service/log_limit.hpp"
#include "service/other_services.hpp"
#include "service/pace.hpp"
#include "service/pod_names.hpp"
#include "service/pod_policy.hpp"
#include "service/policy_file.hpp"
#include "service/request.hpp"
#include "service/restoring.hpp"
#include "service/set_by.hpp"
#include "service/survey.hpp"
#include "service/without_effect.hpp"
#include "signals/collector.hpp"
#include "signals/sight.hpp"
#include "sys/capabilities.hpp"
#include "sys/clock.hpp"
#include "sys/code.hpp"
#include "sys/heap.hpp"
#include "sys/netns.hpp"
#include "sys/own_process.hpp"
#include "sys/process_links.hpp"
#include "sys/syscall_lists.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "views/json.hpp"
#include "views/metrics.hpp"
#include "views/restored.hpp"

namespace bpftune::service {
namespace {

constexpr int failed = 1;
constexpr int ahead_of_others = -10;
constexpr int invalid_policy = 2;

// A full conntrack table does not wait for the next tick, nor does a value of ours that somebody sets (least_pause). A
// CPU's backlog is full when it loses a packet: so long after that, or up to three times as long, it is looked at
// whether the CPU works it off; bursts that come as regularly are met between two, and in them.
constexpr double most_pauses = 3;
// What happens once a second meets each look at another time, and is not missed by all; nor can a process be idle
// whenever it is looked at. 900 ms is the least that windows take for a second (Backlogs::shortest_window).
constexpr double least_of_tick = 0.92;
constexpr double most_of_tick = 1.08;
// While a buffer holds back a flow it is looked at so often: what a raise does shows in a few round trips.
constexpr Nanoseconds flow_interval = std::chrono::milliseconds(250);
// How soon after a pressure event the burst is looked at again, until it is over: bursts that come every few hundred
// milliseconds then find the corrected limit. At least: BurstPace::pause().
constexpr Nanoseconds burst_interval = std::chrono::milliseconds(20);
// How long events are taken at one go. Those that are still to come wait until others have had their turn.
constexpr Nanoseconds events_at_once = std::chrono::milliseconds(4);
// 120 for probes, journal and policy, and what clients of the two doors may have.
constexpr std::uint64_t descriptors_needed = 256;
// `top` shows changes that are not older.
constexpr auto recent = std::chrono::hours(1);
// Of an answer so long, the document that it was made of has left some MiB in the heap.
constexpr std::size_t large_answer = std::size_t{1} << 20;
// How often a journal in which nothing is recorded is asked whether it could be.
constexpr auto journal_look = std::chrono::minutes(1);
// A health check that found no tick for so many intervals fails.
constexpr int missed_ticks = 5;
// An answer of the writer is waited for by everything else; at the end nothing else is left to do.
constexpr Nanoseconds patience_in_loop = std::chrono::seconds(1);
constexpr Nanoseconds patience_at_end = std::chrono::seconds(10);
// No object is begun later than that, and the last one may take patience_at_end: both are within the 30 s that systemd
// and Kubernetes give (TimeoutStopSec, terminationGracePeriodSeconds). What is left then is the next start's.
constexpr Nanoseconds restoring_at_end = std::chrono::seconds(15);
// Of the loop's time, for who asks for a restore; and for each look at what is left to be put back: on each tick, but
// for at most 1/50 of the time, as long as one puts something back for 1/5.
constexpr Nanoseconds restoring_on_request = std::chrono::seconds(3);
constexpr Nanoseconds restoring_at_once = std::chrono::milliseconds(200);
constexpr int restoring_share = 50;
constexpr int restoring_share_of_many = 5;
// Where that fails as a whole, it is tried again after.
constexpr Nanoseconds restoring_retry = std::chrono::minutes(1);
// How many lines of what was put back at the end are logged.
constexpr std::size_t most_restored_logged = 100;
// How long values that an earlier run left are looked at: before the service is ready, and later. The others are taken
// for what the journal says until the next tick reads them.
constexpr Nanoseconds adopting_at_start = std::chrono::seconds(10);
constexpr Nanoseconds adopting_in_loop = std::chrono::seconds(1);
// What was forgotten in a tick is looked for so long in each: who has ended is hard to find.
constexpr Nanoseconds looking_for_gone = std::chrono::milliseconds(50);
// A journal that could not be opened is tried again; a disk that fails may take long to say so.
constexpr Nanoseconds least_until_opening = std::chrono::seconds(10);

std::uint64_t microseconds(Nanoseconds time) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

std::vector<std::string> sysctls_of_tunables() {
    std::vector<std::string> paths;
    for (const tunables::Tunable& tunable : tunables::catalog())
        for (const std::string_view path : {tunable.path, tunable.alias})
            if (!path.empty()) paths.emplace_back(path);
    return paths;
}

// Which of both processes may make any system call all the same, and why; empty: neither.
std::string give_up_syscalls(const actuators::Writer& writer) {
    std::string unrestricted;
    if (const auto restricted = sys::restrict_syscalls(sys::service_syscalls()); !restricted)
        unrestricted = "this process may make any system call: " + restricted.error().message;
    if (!writer.unrestricted().empty())
        unrestricted += fmt::format("{}the writer may make any system call: {}", unrestricted.empty() ? "" : "; ",
                                    writer.unrestricted());
    if (!unrestricted.empty()) spdlog::warn("{}", unrestricted);
    return unrestricted;
}

struct LoopDeleter {
    void operator()(sd_event* loop) const { sd_event_unref(loop); }
};
using Loop = std::unique_ptr<sd_event, LoopDeleter>;

class Daemon {
public:
    Daemon(const Config& config, PolicyFile policy_file, policy::Policy policy, StateLock lock,
           actuators::Journal journal, actuators::Writer writer, std::string boot)
        : config_(config), policy_file_(std::move(policy_file)), policy_(std::move(policy)), lock_(std::move(lock)),
          journal_(std::move(journal)), writer_(std::move(writer)), boot_(std::move(boot)), metrics_(BPFTUNE_VERSION),
          probes_(probes::Probes::open(
              {.rungs = config.rungs,
               .sysctls = sysctls_of_tunables(),
               .own_pid = writer_.pid(),
               .visit = [this](const NetnsId& netns, const sys::NetnsHint& hint,
                               const sys::Wanted& wanted) { return writer_.visit(netns, hint, wanted); },
               .looks = looks_of_writer(),
               .conntrack_types = [this] { return writer_.conntrack_types(); }})),
          pod_names_(looks_of_writer()), collector_(probes_, signals::this_node(), sys::now(), pod_names_.naming()),
          executor_(
              journal_, writer_, state_, [this] { return note_boot(lock_, boot_); },
              [this](const Decision& decision, ChangeState state) { metrics_.changed(decision, state); },
              [this](Nudge what, const Scope& scope) -> Result<> {
                  const auto link = probes_.nudge(what);
                  if (!link) return std::unexpected(link.error());
                  return writer_.nudge(scope, *link);
              }) {
        writer_.on_written(
            [this](const ObjectKey& object, std::uint64_t value) { collector_.wrote(object, value, sys::now().mono); });
    }

    Result<> start();
    Result<> loop();
    void finish();

private:
    sys::ProcessLooks looks_of_writer();
    Result<> open_loop();
    Result<> open_doors();
    Result<> ask_runtime();
    enum class Adopt { as_left, anew };
    void adopt(Adopt how, Nanoseconds longest);
    void adopt(const std::vector<actuators::Holding>& holdings, Adopt how, Nanoseconds longest);
    void adopt(const actuators::Holding& holding, Adopt how, bool looks);
    bool was_given_back(const actuators::Holding& holding, std::uint64_t value);
    void log_probes() const;

    void tick();
    void on_events();
    void on_idle();
    void take_events();
    bool act_on_burst(const probes::PressureEvent& event);
    void look_soon();
    void look_after_drop();
    void follow_bursts();
    void tell_expected();
    void update_metrics();
    void follow_flows();
    void act_on(const Snapshot& snapshot);
    void reload(std::string_view why);
    void say_what_does_nothing() const;
    void remember_changes();
    bool journal_is_due();
    void look_at_journal();
    void keep_lock();
    void open_journal_again();
    void publish();
    ApiServer::Answer answer(const std::string& line);
    ApiServer::Answer begin_recording();
    std::string top_text();
    std::string restore_text(const actuators::RestoreOptions& options);
    void put_back_at_end();
    void go_on_restoring();
    static bool is_progress(const views::RestoreLine& line);
    [[nodiscard]] std::optional<std::string> mode_reason() const;
    [[nodiscard]] std::string policy_text() const;
    [[nodiscard]] std::string policy_text_for(std::string_view pod) const;

    template <auto Method> static int on_defer(sd_event_source*, void* self) {
        (static_cast<Daemon*>(self)->*Method)();
        return 0;
    }
    static bool is_armed(sd_event_source* timer) { return sd_event_source_get_enabled(timer, nullptr) > 0; }

    [[nodiscard]] policy::Mode mode() const { return policy_.mode; }
    [[nodiscard]] std::optional<std::string> why_not_to_write() const;
    void apply_mode();
    void arm(sd_event_source* timer, std::chrono::duration<double, std::nano> delay) const {
        const auto rest = std::max(std::chrono::duration_cast<Nanoseconds>(delay), Nanoseconds::zero());
        sd_event_source_set_time_relative(timer, microseconds(rest));
        sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
    }

    [[nodiscard]] double between(double least, double most) {
        return std::uniform_real_distribution<>(least, most)(random_);
    }

    template <auto Method> static int on_time(sd_event_source*, std::uint64_t, void* self) {
        (static_cast<Daemon*>(self)->*Method)();
        return 0;
    }

    const Config& config_;
    PolicyFile policy_file_;
    policy::Policy policy_;
    WallTime policy_loaded_ = sys::now().wall;
    std::optional<std::string> policy_error_; // of the last reload
    std::string missing_to_write_;            // as missing_to_write() has it
    policy::Mode asked_mode_{};               // what mode() would be, if nothing kept it from it
    std::optional<std::string> mode_reason_;
    StateLock lock_;
    actuators::Journal journal_;
    actuators::Writer writer_;
    std::string boot_;
    views::Metrics metrics_;
    controller::State state_;
    controller::Watch watch_;
    bool restored_ = false;     // on request: what is left of it is the journal's until the policy is reloaded
    std::size_t undoing_ = 0;   // values that are to go back as their use falls
    bool restores_now_ = false; // these, whatever is in use: as was asked for, until a policy is loaded
    MonoTime next_restoring_;
    std::int64_t restored_next_ = 0; // the row that the next look begins with
    probes::Probes probes_;
    PodNames pod_names_;
    signals::Collector collector_;
    Executor executor_;
    Snapshot last_;
    std::optional<decltype(Snapshot::sources)> sources_; // as last logged
    std::vector<Change> changes_;                        // recent ones
    bool changes_stale_ = true;
    bool journal_stale_ = true; // something was recorded since its last checkpoint
    MonoTime next_journal_look_;
    MonoTime next_opening_ = sys::now().mono + least_until_opening; // of one that is closed
    bool ready_ = false;                                            // every probe has settled
    Health health_;
    recording::Encoder recording_;
    bool looks_after_drop_ = false;  // the next tick is for it
    bool looks_soon_ = false;        // the next tick is for something that does not wait
    Nanoseconds tick_cost_{};        // of the last one, in CPU time
    bool trims_ = false;             // the next tick gives back what a large answer took
    std::optional<std::string> top_; // until the next tick, change or policy, if it was asked for
    std::string problems_;           // of the last tick, so that each is logged once
    Nanoseconds census_interval_{};
    std::minstd_rand random_{std::random_device{}()};
    ValueOf in_new_netns_; // as it was at start
    OtherServices others_;

    Loop loop_;
    sd_event_source* events_ = nullptr; // nullptr: none on these rungs
    sd_event_source* idle_ = nullptr;
    sd_event_source* tick_timer_ = nullptr;
    sd_event_source* burst_timer_ = nullptr;
    BurstPace burst_pace_;
    sd_event_source* flow_timer_ = nullptr;
    sd_event_source* policy_timer_ = nullptr;
    std::unique_ptr<ApiServer> api_;
    HttpDoor http_;
};

sys::ProcessLooks Daemon::looks_of_writer() {
    return {.namespaces = [this](std::span<const pid_t> pids) { return writer_.namespaces(pids); },
            .descriptors = [this](pid_t pid, std::span<const int> fds) { return writer_.descriptors(pid, fds); },
            .sockets = [this](pid_t pid, int from) { return writer_.sockets(pid, from); }};
}

// Where the writer cannot write, `auto` could only fail again and again.
std::optional<std::string> Daemon::why_not_to_write() const {
    if (!missing_to_write_.empty())
        return fmt::format("mode auto was asked for, but nothing can be written without {}: observing",
                           missing_to_write_);
    if (const auto& why = journal_.why_closed())
        return fmt::format("no change can be recorded: {}. Observing until the journal can be opened, which is tried "
                           "again and again",
                           printable(why->message));
    return originals_lost(config_.state_dir, boot_);
}

void Daemon::apply_mode() {
    if (config_.mode) policy_.mode = *config_.mode;
    asked_mode_ = policy_.mode;
    mode_reason_.reset();
    if (policy_.mode != policy::Mode::automatic) return;
    mode_reason_ = why_not_to_write();
    if (!mode_reason_) return;
    policy_.mode = policy::Mode::observe;
    spdlog::warn("{}", *mode_reason_);
}

Result<> Daemon::start() {
    if (auto asked = probes_.as_asked(); !asked) return with_context(asked.error(), "--rung");
    missing_to_write_ = missing_to_write(); // by the writer, which was forked with the same rights
    apply_mode();
    // What enters, writes and looks into processes is the writer's; this process only goes on reading what is attached,
    // and what /proc shows to everybody. With CAP_SYS_PTRACE it could write the writer's memory. Before any thread.
    constexpr std::array needed{CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};
    others_.begin(config_.state_dir);
    in_new_netns_ = values_in_new_netns(); // with the rights that are dropped now
    if (auto dropped = sys::keep_capabilities(needed); !dropped) return dropped;
    health_.unrestricted = give_up_syscalls(writer_);
    if (auto opened = open_loop(); !opened) return opened;
    if (auto opened = open_doors(); !opened) return opened;
    if (auto asked = ask_runtime(); !asked) return asked;
    sys::fetch_code();
    probes_.watch_sysctls(sysctls_of(policy_));
    adopt(Adopt::as_left, adopting_at_start);
    tick();
    (void)writer_.read(tunables::catalog().front().id,
                       {.netns = last_.host}); // its first time, before a burst waits for it
    if (writer_.pid() < 0) return failure("the writer has ended");
    writer_.set_patience(patience_in_loop);
    ready_ = true;
    publish();
    sd_notify(0, "READY=1\nSTATUS=watching");
    spdlog::info("ready: mode {}, policy '{}'", policy::to_string(mode()), policy_.name);
    say_what_does_nothing();
    return {};
}

// Its threads begin after the fork and without the rights. What somebody waits to be known by does not wait for a tick.
Result<> Daemon::ask_runtime() {
    if (auto asked = pod_names_.ask_runtime_at(config_.cri_socket); !asked) return asked;
    if (!pod_names_.asks_runtime()) return {};
    const auto told = [](sd_event_source*, int, std::uint32_t, void* self) {
        auto& daemon = *static_cast<Daemon*>(self);
        daemon.pod_names_.take();
        if (waits_for_names(daemon.last_)) daemon.look_soon();
        return 0;
    };
    const int error = sd_event_add_io(loop_.get(), nullptr, pod_names_.fd(), EPOLLIN, told, this);
    return error < 0 ? system_failure(-error, "watch the container runtime") : Result<>();
}

Result<> Daemon::open_loop() {
    sd_event* loop = nullptr;
    if (const int error = sd_event_new(&loop); error < 0) return system_failure(-error, "event loop");
    loop_.reset(loop);
    const auto ends = [](sd_event_source* source, const signalfd_siginfo*, void*) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
    };
    const auto reloads = [](sd_event_source*, const signalfd_siginfo*, void* self) {
        static_cast<Daemon*>(self)->reload("SIGHUP");
        return 0;
    };
    const auto events = [](sd_event_source*, int, std::uint32_t, void* self) {
        static_cast<Daemon*>(self)->on_events();
        return 0;
    };
    const auto policy_events = [](sd_event_source*, int, std::uint32_t, void* self) {
        auto& daemon = *static_cast<Daemon*>(self);
        // An editor writes in several steps: look when it is quiet.
        if (daemon.policy_file_.changed()) daemon.arm(daemon.policy_timer_, std::chrono::milliseconds(100));
        return 0;
    };
    const auto reload_now = [](sd_event_source*, std::uint64_t, void* self) {
        auto& daemon = *static_cast<Daemon*>(self);
        if (daemon.policy_file_.changed()) daemon.reload("the file changed");
        return 0;
    };
    sd_event_add_signal(loop, nullptr, SIGTERM, ends, this);
    sd_event_add_signal(loop, nullptr, SIGINT, ends, this);
    sd_event_add_signal(loop, nullptr, SIGHUP, reloads, this);
    // sd-event moves a timer by its accuracy, 250 ms unless told, to where others fire too, always the same place
    // within a second.
    const auto add_timer = [&](sd_event_source** timer, Nanoseconds accuracy, sd_event_time_handler_t handler) {
        sd_event_add_time_relative(loop, timer, CLOCK_MONOTONIC, 0, microseconds(accuracy), handler, this);
        sd_event_source_set_enabled(*timer, SD_EVENT_OFF);
    };
    add_timer(&tick_timer_, std::chrono::milliseconds(1), on_time<&Daemon::tick>);
    add_timer(&burst_timer_, std::chrono::microseconds(100), on_time<&Daemon::follow_bursts>);
    add_timer(&flow_timer_, std::chrono::milliseconds(1), on_time<&Daemon::follow_flows>);
    add_timer(&policy_timer_, std::chrono::milliseconds(250), reload_now);
    if (probes_.event_fd() >= 0) {
        if (const int error = sd_event_add_io(loop, &events_, probes_.event_fd(), EPOLLIN, events, this); error < 0)
            return system_failure(-error, "watch the ring buffer");
        sd_event_add_defer(loop, &idle_, on_defer<&Daemon::on_idle>, this);
        sd_event_source_set_priority(idle_, SD_EVENT_PRIORITY_IDLE);
    }
    if (const int watch = policy_file_.watch(); watch >= 0) {
        sd_event_add_io(loop, nullptr, watch, EPOLLIN, policy_events, this);
    } else {
        spdlog::warn("the folder of {} cannot be watched: a changed policy takes SIGHUP", policy_file_.path().string());
    }
    // Without its writer the service can do nothing but watch, and has no rights to start another: systemd starts both.
    const auto writer_ended = [](sd_event_source* source, int, std::uint32_t, void*) {
        return sd_event_exit(sd_event_source_get_event(source), failed);
    };
    sd_event_add_io(loop, nullptr, writer_.socket(), EPOLLRDHUP, writer_ended, this); // EPOLLHUP comes unasked
    sd_event_set_watchdog(loop, 1); // does nothing where systemd asks for none
    return {};
}

Result<> Daemon::open_doors() {
    auto api = ApiServer::start(loop_.get(), config_.socket, [this](const std::string& line) { return answer(line); });
    if (!api) return std::unexpected(api.error());
    api_ = std::move(*api);
    return config_.listen == "none" ? Result<>() : http_.open(config_.listen, sys::now().mono);
}

void Daemon::log_probes() const {
    for (const probes::Step& step : probes_.ladder())
        spdlog::info("probe {}: {} {} {}", to_string(step.probe), to_string(step.rung),
                     step.taken ? "taken" : "not taken:", signals::described(step));
}

// Values that an earlier run left: held on, if they are still what it wrote. The controller's first tick finds out.
// What is on its way back to its original goes on back, or anew is as good as any other.
void Daemon::adopt(Adopt how, Nanoseconds longest) {
    const auto holdings = journal_.holdings();
    if (!holdings) {
        spdlog::error("journal: nothing adopted: {}", holdings.error().message);
        return;
    }
    bool adopted = false;
    const auto adopt_all = [&]() -> Result<> {
        adopted = true;
        adopt(*holdings, how, longest);
        return {};
    };
    (void)journal_.at_one_go(adopt_all);
    if (!adopted) (void)adopt_all(); // though nothing can be recorded
    if (undoing_ > 0) spdlog::info("{} values go on back to their originals as their use falls", undoing_);
}

void Daemon::adopt(const std::vector<actuators::Holding>& holdings, Adopt how, Nanoseconds longest) {
    const MonoTime begun = sys::now().mono;
    undoing_ = 0;
    for (const actuators::Holding& holding : holdings) {
        const ObjectKey object = key_of(holding.tunable, holding.scope);
        if (state_.held.contains(object) || state_.yielded.contains(object)) continue;
        if (holding.undoing && policy_.mode_within_asked(holding.tunable) != policy::Mode::automatic) {
            ++undoing_; // nobody would raise it again: on its way back
            continue;
        }
        if (holding.undoing && how == Adopt::anew) (void)journal_.undoing(object, false);
        adopt(holding, how, sys::now().mono - begun < longest);
    }
}

void Daemon::adopt(const actuators::Holding& holding, Adopt how, bool looks) {
    const auto original = tunables::value_of(holding.tunable, holding.original);
    const auto current = tunables::value_of(holding.tunable, holding.current);
    if (!original || !current) return;
    const bool may_be_other = !holding.confirmed || holding.rolling_back || holding.giving_back || holding.undoing;
    const auto value = looks || may_be_other ? writer_.read(holding.tunable, holding.scope) : current;
    const ObjectKey object = key_of(holding.tunable, holding.scope);
    if (!value && value.error().code == ESTALE) { // gone
        (void)journal_.release(object);
        return;
    }
    if (!collector_.sees(object)) return; // nothing can be decided on it here: `restore` puts it back
    if (holding.undoing && value && *value == *original) {
        // It died between the write that put it back and the journal.
        (void)journal_.settle(object, ChangeState::restored);
        return;
    }
    if (holding.giving_back && value && was_given_back(holding, *value)) return;
    bool on_trial = holding.before_trial.has_value();
    if (value && *value != *current && !holding.confirmed &&
        tunables::text_of(holding.tunable, *value) == holding.previous) {
        // It died between journal and write, or between the write of a roll-back and the journal.
        on_trial = on_trial && !holding.rolling_back;
        if (holding.rolling_back)
            (void)journal_.rolled_back(object, "found so at the next start", {});
        else if (holding.previous == holding.original)
            (void)journal_.settle(object, ChangeState::failed);
        if (holding.previous == holding.original) return;
    } else if (value && *value != *current && is_of_socket(holding.tunable)) {
        (void)journal_.let_go(object, set_anew(holding.tunable, fmt::to_string(*value)));
        return;
    } else if (value && *value != *current) {
        spdlog::warn("{} is {} and not {} as we left it: someone else's, left alone",
                     tunables::row(holding.tunable).name, tunables::text_of(holding.tunable, *value), holding.current);
        (void)journal_.yielded(object,
                               fmt::format("someone else set it to {}", tunables::text_of(holding.tunable, *value)));
        state_.yielded.insert(object);
        return;
    } else if (holding.rolling_back) {
        (void)journal_.not_rolled_back(object);
    }
    controller::Adopted adopted{.tunable = holding.tunable,
                                .scope = holding.scope,
                                .original = *original,
                                .current = value.value_or(*current),
                                .evidence = holding.evidence};
    adopted.undoing = holding.undoing && how == Adopt::as_left;
    collector_.holds(object);
    if (on_trial) adopted.before_trial = tunables::value_of(holding.tunable, *holding.before_trial).value_or(*original);
    controller::adopt(state_, adopted, sys::now().mono);
    metrics_.adopted(holding.tunable);
    spdlog::info("adopted: {} = {} (was {})", tunables::row(holding.tunable).name,
                 tunables::text_of(holding.tunable, adopted.current), holding.original);
}

// It died before the end of giving a part back: the row is told how far that came. Whether nothing is held any more.
bool Daemon::was_given_back(const actuators::Holding& holding, std::uint64_t value) {
    const std::string found = tunables::text_of(holding.tunable, value);
    if (found == holding.previous) (void)journal_.failed(holding.rows.back(), "found unwritten at the next start");
    if (found != holding.current) return false;
    const bool restored = holding.current == holding.original;
    (void)journal_.settle(key_of(holding.tunable, holding.scope), restored ? ChangeState::restored : ChangeState::kept);
    return restored;
}

Result<> Daemon::loop() {
    const int status = sd_event_loop(loop_.get());
    if (status < 0) return system_failure(-status, "event loop");
    if (status > 0) return failure("the writer has ended");
    return {};
}

void Daemon::finish() {
    sd_notify(0, "STOPPING=1"); // which ends systemd's watchdog too, and begins TimeoutStopSec
    if (policy_.on_exit == policy::OnExit::restore) put_back_at_end();
    keep_lock();
    if (const auto done = journal_.checkpoint(); !done) spdlog::warn("journal: {}", done.error().message);
    spdlog::info("stopped");
}

void Daemon::put_back_at_end() {
    writer_.set_patience(patience_at_end);
    const auto lines = restore_lines(journal_, writer_, {.patience = patience_at_end, .longest = restoring_at_end});
    if (!lines) {
        spdlog::error("restore: {}", lines.error().message);
        return;
    }
    spdlog::info("restored:\n{}", views::restored_log(*lines, most_restored_logged));
    if (const auto left = std::ranges::count_if(*lines, views::is_left); left > 0)
        spdlog::warn("{} values are not back yet: the next start or `restore` goes on", left);
}

void Daemon::tick() {
    const Nanoseconds begun = sys::thread_cpu_time();
    arm(tick_timer_, config_.interval * between(least_of_tick, most_of_tick));
    looks_after_drop_ = looks_soon_ = false;
    top_.reset();
    if (std::exchange(trims_, false)) sys::trim_heap();
    burst_pace_.forget(sys::now().mono);
    (void)writer_.catches_up({}); // what it wrote late is ours
    on_events(); // sockets that began to listen wake nobody, and are to be known before they are counted
    last_ = collector_.tick(sys::now(), std::move(last_));
    last_.expected = read_expected(policy_, last_.host);
    take_events(); // who changed a value while it was read is among them
    last_.sysctl_writes = collector_.sysctl_writes();
    if (sources_ != last_.sources) log_probes();
    sources_ = last_.sources;
    if (collector_.problems() != problems_) {
        problems_ = collector_.problems();
        if (!problems_.empty()) spdlog::warn("could not read: {}", problems_);
    }
    if (const auto news = pod_names_.news()) spdlog::info("pods: {}", *news);
    const Nanoseconds census = collector_.census_interval();
    if (census > config_.interval && (census > 2 * census_interval_ || census_interval_ <= config_.interval))
        spdlog::info("many open files: listeners are counted every {:.1f} s", Seconds(census).count());
    census_interval_ = census;
    tell_expected();
    (void)others_.look(); // the log has them at once
    act_on(last_);
    if (collector_.follows_flows()) arm(flow_timer_, flow_interval);
    executor_.settle_unknown(sys::now().mono);
    if (executor_.settle_forgotten(looking_for_gone)) changes_stale_ = journal_stale_ = true;
    go_on_restoring();
    if (changes_stale_) remember_changes();
    if (journal_is_due()) look_at_journal();
    update_metrics();
    publish();
    spdlog::default_logger()->flush(); // says what was left out
    tick_cost_ = sys::thread_cpu_time() - begun;
}

void Daemon::update_metrics() {
    if (http_.is_scraped()) metrics_.scraped();
    metrics_.limit_series(policy_.max_series);
    views::Metrics::Health health{.policy_name = policy_.name,
                                  .policy_hash = policy::hash_of(policy_),
                                  .policy_loaded = !policy_error_,
                                  .policy_loaded_at = policy_loaded_,
                                  .journal_writable = !executor_.journal_error(),
                                  .memory_charged_bytes = controller::charged_bytes(state_, last_.unit_bytes),
                                  .memory_budget_bytes = policy_.budget_bytes(last_.memory_bytes),
                                  .process = sys::own_process()};
    for (const auto& [object, held] : state_.held) ++health.held[object.tunable];
    metrics_.update(std::move(health));
    metrics_.update(last_, policy::to_string(mode()));
}

// What is wrong from the start is what was set at boot, mostly.
void Daemon::tell_expected() {
    for (const controller::News& news : controller::watch_expected(watch_, last_)) {
        auto& wrong = watch_.at(news.sysctl).wrong;
        if (news.from_start) wrong->why += "; " + set_at_boot(SetBy("/"), news.sysctl);
        if (wrong)
            spdlog::warn("{}", controller::sentence(*wrong));
        else
            spdlog::info("{} is as the policy expects again", news.name);
    }
}

// After a change its log is moved on. A disk that is full, or cannot be written any more, is to be known before a raise
// waits for it, and that it can be again soon after; that its file is gone is known within a tick.
bool Daemon::journal_is_due() {
    const MonoTime now = sys::now().mono;
    const bool has_reason =
        std::exchange(journal_stale_, false) || executor_.journal_error() || !journal_.is_in_its_place();
    if (!has_reason && now < next_journal_look_) return false;
    next_journal_look_ = now + journal_look;
    return true;
}

void Daemon::look_at_journal() {
    if (journal_.why_closed() && next_opening_ <= sys::now().mono) open_journal_again();
    keep_lock();
    executor_.checkpoint();
}

// Without it a power failure may leave the node observed for a boot: nothing to stop for.
void Daemon::keep_lock() {
    if (const auto kept = keep_boot(lock_); !kept) spdlog::warn("lock: {}", kept.error().message);
}

// What an earlier run left is known only from here on, so nothing was written before. At most 1/50 of the time goes
// into it: a large journal takes a while.
void Daemon::open_journal_again() {
    const MonoTime begun = sys::now().mono;
    auto journal = open_journal(lock_, boot_);
    const MonoTime now = sys::now().mono;
    next_opening_ = now + std::max(least_until_opening, restoring_share * (now - begun));
    journal_ = journal ? std::move(*journal) : actuators::Journal::closed(journal.error());
    if (!journal) return;
    changes_stale_ = true;
    policy_.mode = asked_mode_;
    apply_mode();
    adopt(Adopt::as_left, adopting_in_loop);
    if (api_->has_followers()) (void)begin_recording();
    spdlog::info("journal: opened, mode {}", policy::to_string(mode()));
}

void Daemon::publish() {
    const MonoTime now = sys::now().mono;
    health_.deadline = now + missed_ticks * config_.interval;
    if (ready_) {
        const auto& error = executor_.journal_error();
        health_.unready = error ? "no change can be recorded, so none is made: " + printable(*error) : "";
    }
    http_.keep_trying(now);
    if (http_.is_open()) http_.publish(metrics_.text(), health_);
}

void Daemon::act_on(const Snapshot& snapshot) {
    const MonoTime now = sys::now().mono;
    const auto decisions = controller::step(policy_, state_, snapshot, now);
    if (executor_.carry_out(decisions)) changes_stale_ = journal_stale_ = true;
    collector_.let_go_unless([this](const ObjectKey& object) { return state_.held.contains(object); },
                             [this](const ObjectKey& object) { return state_.yielded.contains(object); });
    if (api_->has_followers()) api_->publish(recording_.step(snapshot, {now, decisions, executor_.settled()}));
}

// A burst does not wait for a tick: an event goes first, once. Events without end would keep ticks, signals and
// requests from their turn: from the first one on they are in turn with all others, until nothing else waits.
void Daemon::on_events() {
    sd_event_source_set_priority(events_, SD_EVENT_PRIORITY_NORMAL);
    sd_event_source_set_enabled(idle_, SD_EVENT_ONESHOT);
    take_events();
}

void Daemon::on_idle() { sd_event_source_set_priority(events_, SD_EVENT_PRIORITY_IMPORTANT); }

void Daemon::take_events() {
    bool pressure = false;
    bool soon = false;
    bool later = false;
    const auto take = [&](const probes::Event& event) {
        if (const auto* burst = std::get_if<probes::PressureEvent>(&event)) {
            pressure |= act_on_burst(*burst);
            return;
        }
        soon |= std::holds_alternative<probes::ConntrackFullEvent>(event);
        later |= std::holds_alternative<probes::BacklogDropEvent>(event);
        if (const auto* write = std::get_if<probes::SysctlWriteEvent>(&event))
            soon |= controller::holds(state_, write->netns, write->sysctl) ||
                    controller::is_expected(last_, write->netns, write->sysctl);
        (void)collector_.on_event(event, sys::now());
    };
    probes_.drain(take, events_at_once);
    if (pressure && !is_armed(burst_timer_)) arm(burst_timer_, burst_interval); // others' bursts do not put it off
    if (soon) look_soon();
    if (later) look_after_drop();
}

// Whether it is one to follow.
bool Daemon::act_on_burst(const probes::PressureEvent& event) {
    if (!burst_pace_.has_turn(event.netns, sys::now().mono)) {
        collector_.follow(event);
        return true;
    }
    const Nanoseconds begun = sys::thread_cpu_time();
    const auto snapshot = collector_.on_event(event, sys::now());
    if (snapshot) act_on(*snapshot);
    burst_pace_.took(event.netns, sys::thread_cpu_time() - begun, sys::now().mono);
    return snapshot.has_value();
}

// Nothing that asks for a look puts off one that is due earlier.
void Daemon::look_soon() {
    looks_soon_ = true;
    arm(tick_timer_, last_.time.mono + least_pause(tick_cost_, config_.interval) - sys::now().mono);
}

// Further drops do not put it off, and they nothing that is more urgent.
void Daemon::look_after_drop() {
    if (looks_soon_ || std::exchange(looks_after_drop_, true)) return;
    const auto pause = least_pause(tick_cost_, config_.interval) * between(1, most_pauses);
    arm(tick_timer_, std::min<std::chrono::duration<double, std::nano>>(pause, last_.time.mono + config_.interval -
                                                                                   sys::now().mono));
}

void Daemon::follow_bursts() {
    const Nanoseconds begun = sys::thread_cpu_time();
    const auto snapshot = collector_.follow_bursts(sys::now());
    if (!snapshot) return;
    act_on(*snapshot);
    arm(burst_timer_, BurstPace::pause(sys::thread_cpu_time() - begun, burst_interval));
}

void Daemon::follow_flows() {
    if (const auto snapshot = collector_.follow_flows(sys::now())) act_on(*snapshot);
    if (collector_.follows_flows()) arm(flow_timer_, flow_interval);
}

void Daemon::reload(std::string_view why) {
    top_.reset();
    auto loaded = policy_file_.load();
    if (!loaded) {
        policy_error_ = loaded.error().message;
        spdlog::error("policy: {}; the old one stays:\n{}", why, *policy_error_);
        return;
    }
    tick(); // what was set before it is known by then, and not taken for news after it
    policy_error_.reset();
    policy_ = std::move(*loaded);
    policy_loaded_ = sys::now().wall;
    apply_mode();
    controller::reloaded(state_);
    restores_now_ = false;
    probes_.watch_sysctls(sysctls_of(policy_));
    // What is left is known with its originals; who loads a policy after a restore wants to have it tuned again.
    if (std::exchange(restored_, false) || undoing_ > 0) adopt(Adopt::anew, adopting_in_loop);
    api_->publish(recording::Encoder::reloaded(policy_));
    spdlog::info("policy: {}: '{}' loaded, mode {}", why, policy_.name, policy::to_string(mode()));
    say_what_does_nothing();
}

void Daemon::say_what_does_nothing() const {
    for (const NamedInVain& each : named_in_vain(policy_, in_new_netns_))
        spdlog::warn("{}: {}", policy_file_.place_of(each.name), printable(sentence(each)));
}

void Daemon::remember_changes() {
    if (journal_.why_closed()) return; // which the executor says
    if (auto changes = journal_.history(sys::now().wall - recent)) {
        changes_ = std::move(*changes);
        changes_stale_ = false;
    } else {
        spdlog::error("journal: {}", changes.error().message);
    }
}

// Who asks between two ticks is answered what the one before was.
std::string Daemon::top_text() {
    if (top_ && !changes_stale_) return *top_;
    if (changes_stale_) remember_changes();
    std::vector<Unexpected> unexpected;
    for (const ExpectedSysctl& each : last_.expected)
        if (const auto watched = watch_.find(each.sysctl); watched != watch_.end() && watched->second.wrong)
            unexpected.push_back(*watched->second.wrong);
    const std::vector<Restraint> restraints = controller::Grants(policy_, last_).restraints();
    std::string text = views::top_json(last_, {.mode = policy::to_string(mode()),
                                               .changes = changes_,
                                               .policy_error = policy_error_,
                                               .mode_reason = mode_reason(),
                                               .journal_error = executor_.journal_error(),
                                               .http_error = http_.error(),
                                               .unexpected = unexpected,
                                               .restraints = restraints,
                                               .others = others_.look(),
                                               .pods = pod_names_.named_by()});
    trims_ |= text.size() >= large_answer;
    return top_.emplace(std::move(text));
}

// From here on nothing is written until the policy is reloaded, but what is left to be put back: what was just put back
// would only be raised again.
std::string Daemon::restore_text(const actuators::RestoreOptions& options) {
    const auto lines = restore_lines(journal_, writer_, options);
    if (!lines) return views::to_text({{"error", lines.error().message}});
    trims_ |= lines->size() * sizeof(views::RestoreLine) >= large_answer;
    if (!options.dry_run) {
        state_ = {};
        policy_.mode = policy::Mode::observe;
        restored_ = true;
        undoing_ = static_cast<std::size_t>(std::ranges::count_if(*lines, views::is_left));
        restores_now_ = options.now && undoing_ > 0;
        api_->publish(recording::Encoder::restored());
        changes_stale_ = true;
        spdlog::warn("restored on request; observing until the policy is reloaded (SIGHUP)");
    }
    return views::to_text(views::restored_document(*lines));
}

// What is in force, which after --mode or a restore is not what the file says.
std::string Daemon::policy_text() const {
    views::Json document{{"schema", views::schema},          {"file", printable(policy_file_.path().string())},
                         {"found", policy_file_.found()},    {"loaded", to_string(policy_loaded_)},
                         {"hash", policy::hash_of(policy_)}, {"policy", policy::show(policy_)}};
    if (policy_error_) document["policy_error"] = *policy_error_;
    if (const auto reason = mode_reason()) document["mode_reason"] = *reason;
    return views::to_text(document);
}

std::string Daemon::policy_text_for(std::string_view pod) const {
    const auto shown = shown_for(policy_, last_, pod, pod_names_.runtime().listing.get());
    if (!shown) return views::to_text({{"error", shown.error().message}});
    return views::to_text({{"schema", views::schema},
                           {"file", printable(policy_file_.path().string())},
                           {"about", shown->lines},
                           {"policy", shown->policy}});
}

bool Daemon::is_progress(const views::RestoreLine& line) {
    return line.result != "in_use" && line.result != "failed" && line.result != "not_reached";
}

void Daemon::go_on_restoring() {
    const MonoTime begun = sys::now().mono;
    if (undoing_ == 0 || begun < next_restoring_) return;
    const auto is_held = [this](const ObjectKey& object) { return state_.held.contains(object); }; // by the controller
    const auto restored = actuators::restore(journal_, writer_,
                                             {.now = restores_now_,
                                              .only_begun = true,
                                              .longest = restoring_at_once,
                                              .first = restored_next_,
                                              .left_out = is_held});
    const MonoTime now = sys::now().mono;
    if (!restored) {
        spdlog::error("restore: {}", restored.error().message);
        next_restoring_ = now + restoring_share * (now - begun) + restoring_retry;
        return;
    }
    const auto next = std::ranges::find(*restored, actuators::Restored::Kind::not_reached, &actuators::Restored::kind);
    restored_next_ = next == restored->end() ? 0 : next->holding.rows.front();
    const auto lines = lines_of(*restored);
    undoing_ = static_cast<std::size_t>(std::ranges::count_if(lines, views::is_left));
    restores_now_ &= undoing_ > 0;
    const bool is_many = next != restored->end() && std::ranges::any_of(lines, is_progress);
    next_restoring_ = now + (is_many ? restoring_share_of_many : restoring_share) * (now - begun);
    if (next == restored->end() && std::ranges::count(lines, "failed", &views::RestoreLine::result) > 0)
        next_restoring_ += restoring_retry;
    for (const views::RestoreLine& line : lines) {
        if (line.result == "in_use" || line.result == "not_reached") continue;
        changes_stale_ = true;
        spdlog::info("{}: {} of {}: {} -> {}{}{}", line.result, line.tunable, line.object, line.found,
                     line.to.empty() ? line.found : line.to, line.detail.empty() ? "" : ": ", line.detail);
    }
}

std::optional<std::string> Daemon::mode_reason() const {
    std::string left = undoing_ == 0 ? std::string() : fmt::format("{} values go back as their use falls", undoing_);
    if (restored_)
        return fmt::format("restored on request: observing until the policy is reloaded{}{}", left.empty() ? "" : "; ",
                           left);
    if (mode_reason_ || left.empty()) return mode_reason_;
    return left;
}

// To those who record already the beginning is told as well: from there on each line builds on the one before for all.
ApiServer::Answer Daemon::begin_recording() {
    std::string header = recording_.begin({.schema = recording::current_schema,
                                           .version = BPFTUNE_VERSION,
                                           .node = last_.node,
                                           .boot = boot_,
                                           .time = sys::now(),
                                           .policy = recording::lines_of(policy_),
                                           .origin = recording::origin_of(policy_),
                                           .state = state_});
    api_->publish(header);
    return {std::move(header), true};
}

ApiServer::Answer Daemon::answer(const std::string& line) {
    const auto request = parse_request(line);
    if (!request) return {views::to_text({{"error", request.error().message}})};
    switch (request->command) {
    case Request::Command::top: return {top_text()};
    case Request::Command::restore:
        return {restore_text({.dry_run = request->dry_run, .now = request->now, .longest = restoring_on_request})};
    case Request::Command::record: return begin_recording();
    case Request::Command::policy: return {request->pod.empty() ? policy_text() : policy_text_for(request->pod)};
    case Request::Command::health: return {views::to_text(health_document(health_, sys::now().mono, http_.error()))};
    }
    return {};
}

// Signals are taken by the loop, in the one thread that runs it: blocked before any other thread starts.
void block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, nullptr);
}

int stop_with(int status, std::string_view what, const Error& error) {
    spdlog::error("{}{}{}", what, what.empty() ? "" : ": ", error.message);
    return status;
}

} // namespace

int run(const Config& config) {
    sys::map_large_blocks();
    limit_log();
    // A burst that fills a queue takes milliseconds, on a node that is busy with it: to act in time, the service must
    // not wait for its turn. Both processes are idle but for that. Without CAP_SYS_NICE it goes on as it is.
    (void)::setpriority(PRIO_PROCESS, 0, ahead_of_others);
    PolicyFile policy_file(config.policy, config.policy_required);
    auto policy = policy_file.load();
    if (!policy) {
        fmt::print(stderr, "{}\n", policy.error().message);
        return invalid_policy;
    }
    if (const std::string grant = what_to_grant(); !grant.empty()) {
        spdlog::error("without any rights the node cannot be seen: {}", grant);
        return failed;
    }
    if (const auto taken = sys::take_descriptors(descriptors_needed); !taken)
        return stop_with(failed, "", taken.error());
    auto lock = lock_state(config.state_dir, std::chrono::seconds(2));
    if (!lock) return stop_with(failed, "", lock.error());
    if (lock->has_closed)
        spdlog::info("{}: closed to others than its owner and group, as the state directory of a service is",
                     printable(config.state_dir.string()));
    const std::array inherited{lock->file.value()};
    auto writer = actuators::Writer::start(inherited);
    if (!writer) return stop_with(failed, "writer", writer.error());
    const auto boot = boot_id();
    if (!boot) return stop_with(failed, "boot id", boot.error());
    auto journal = open_journal_if_it_can_be(*lock, *boot);
    if (!journal) return stop_with(failed, "journal", journal.error());

    block_signals();
    Daemon daemon(config, std::move(policy_file), std::move(*policy), std::move(*lock), std::move(*journal),
                  std::move(*writer), *boot);
    if (const auto started = daemon.start(); !started) return stop_with(failed, "", started.error());
    const auto ended = daemon.loop();
    daemon.finish();
    return ended ? 0 : stop_with(failed, "", ended.error());
}

} // namespace bpftune::service
