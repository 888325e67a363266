// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <memory>

#include <poll.h>
#include <sys/socket.h>

#include "cli/commands.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "probes/probes.hpp"
#include "recording/file.hpp"
#include "recording/recording.hpp"
#include "service/api_client.hpp"
#include "service/boot.hpp"
#include "service/pod_names.hpp"
#include "service/survey.hpp"
#include "signals/collector.hpp"
#include "sys/clock.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    std::string file;
    std::string length; // empty: until it is interrupted
    std::string socket = default_socket;
    std::string cri_socket;
};

// Of our own probes: as the service's by default.
constexpr Nanoseconds interval = std::chrono::seconds(1);
constexpr Nanoseconds burst_interval = std::chrono::milliseconds(20);

volatile std::sig_atomic_t interrupted = 0;

// Waits for input, a signal or `until`; signals come only here, so that none is missed between a look and the wait.
class Waiting {
public:
    Waiting() {
        struct sigaction action{};
        action.sa_handler = [](int) { interrupted = 1; };
        sigset_t ours;
        sigemptyset(&ours);
        for (const int signal : {SIGINT, SIGTERM}) {
            ::sigaction(signal, &action, nullptr);
            sigaddset(&ours, signal);
        }
        ::sigprocmask(SIG_BLOCK, &ours, &before_);
        for (const int signal : {SIGINT, SIGTERM}) sigdelset(&before_, signal);
    }

    // Whether there is input. fd -1: none is waited for.
    [[nodiscard]] bool input(int fd, MonoTime until) const {
        const Nanoseconds left = std::max(until - sys::now().mono, Nanoseconds::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec timeout{seconds.count(), (left - seconds).count()};
        pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
        return ::ppoll(&waited, 1, &timeout, &before_) > 0;
    }

private:
    sigset_t before_{};
};

std::string counted(std::uint64_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

class Recording {
public:
    Recording(const Options& options, recording::LineWriter file)
        : file_(std::move(file)), socket_(options.socket), cri_socket_(options.cri_socket), end_(MonoTime::max()) {
        if (!options.length.empty()) end_ = sys::now().mono + *parse_duration(options.length);
    }

    [[nodiscard]] bool is_empty() const { return snapshots_ == 0; } // there is nothing to replay in the file
    [[nodiscard]] std::string summary() const {
        return fmt::format("{}, {}", counted(snapshots_, "snapshot"), counted(decisions_, "decision"));
    }

    Result<> run() {
        const auto service = service::begin_to_ask(socket_, R"({"command": "record"})");
        if (!service && !service::no_service(service.error())) return std::unexpected(service.error());
        const Result<> recorded = service ? from_service(*service) : from_probes();
        const Result<> finished = file_.finish(); // in any case: what there is can be read
        return recorded ? finished : recorded;
    }

private:
    [[nodiscard]] bool over() const { return interrupted != 0 || sys::now().mono >= end_; }

    // Lines go to the file as they come; the last one may say why no more come.
    Result<> from_service(const sys::Fd& service) {
        std::array<char, 65536> chunk{};
        std::string line; // the beginning of one
        bool answered = false;
        while (!over()) {
            if (!waiting_.input(service.value(), end_)) continue;
            const ssize_t count = ::recv(service.value(), chunk.data(), chunk.size(), 0);
            if (count < 0) return system_failure(errno, "read from {}", socket_);
            if (count == 0) return failure("the service at {} has ended; what came before is recorded", socket_);
            answered = true;
            line.append(chunk.data(), static_cast<std::size_t>(count));
            const std::size_t whole = line.rfind('\n') + 1; // 0: none
            if (auto taken = take(std::string_view(line).substr(0, whole)); !taken) return taken;
            line.erase(0, whole);
        }
        if (!answered)
            return failure("the service at {} gave no answer, it is stopped or very busy: nothing is recorded",
                           socket_);
        return {};
    }

    Result<> take(std::string_view lines) {
        constexpr std::string_view refused = R"({"error":)";
        const std::size_t last = lines.size() > 1 ? lines.rfind('\n', lines.size() - 2) + 1 : 0;
        const std::string_view last_line = lines.substr(std::min(last, lines.size()));
        const bool ends = last_line.starts_with(refused);
        if (ends) lines.remove_suffix(last_line.size());
        if (auto written = put(lines); !written) return written;
        if (ends)
            return failure("the service at {}: {}", socket_, printable(last_line.substr(0, last_line.size() - 1)));
        return {};
    }

    // Whole lines. Each time as much as there is, and no less: then it is in the file.
    Result<> put(std::string_view lines) {
        if (lines.empty()) return {};
        if (auto written = file_.write(lines); !written) return written;
        if (auto flushed = file_.flush(); !flushed) return flushed;
        while (!lines.empty()) {
            const std::size_t end = std::min(lines.find('\n'), lines.size() - 1);
            note(lines.substr(0, end));
            lines.remove_prefix(end + 1);
        }
        return {};
    }

    void note(std::string_view line) {
        const auto decisions = recording::decisions_in(line);
        snapshots_ += decisions ? 1 : 0;
        decisions_ += decisions.value_or(0);
    }

    Result<> from_probes() {
        if (const std::string grant = service::what_to_grant(); !grant.empty())
            return failure("no service answers at {}, and without any rights the node cannot be seen: {}", socket_,
                           grant);
        const auto boot = service::boot_id();
        if (!boot) return std::unexpected(boot.error());
        auto probes = probes::Probes::open({});
        service::PodNames pod_names;
        if (auto asked = pod_names.ask_runtime_at(cri_socket_); !asked) return asked;
        tell(fmt::format("no service answers at {}: looking with probes of its own, nothing is tuned", socket_));
        signals::Collector collector(probes, signals::this_node(), sys::now(), pod_names.naming());
        if (auto begun = put(encoder_.begin({.schema = recording::current_schema,
                                             .version = BPFTUNE_VERSION,
                                             .node = signals::this_node().name,
                                             .boot = *boot,
                                             .time = sys::now(),
                                             .policy = recording::lines_of({})}) +
                             '\n');
            !begun)
            return begun;
        return look(probes, collector);
    }

    // At the pace of the service, ticks and bursts; nobody decides.
    Result<> look(probes::Probes& probes, signals::Collector& collector) {
        MonoTime next_tick = sys::now().mono + interval;
        MonoTime next_burst = MonoTime::max();
        while (!over()) {
            std::string lines;
            const auto seen = [&](const Snapshot& snapshot) {
                lines += encoder_.step(snapshot, {.now = sys::now().mono}) + '\n';
            };
            bool pressure = false;
            if (waiting_.input(probes.event_fd(), std::min({end_, next_tick, next_burst})))
                probes.drain([&](const probes::Event& event) {
                    const auto snapshot = collector.on_event(event, sys::now());
                    if (snapshot) seen(*snapshot);
                    pressure |= snapshot.has_value();
                });
            if (sys::now().mono >= next_burst) {
                const auto snapshot = collector.follow_bursts(sys::now());
                if (snapshot) seen(*snapshot);
                pressure |= snapshot.has_value();
                next_burst = MonoTime::max();
            }
            if (pressure) next_burst = sys::now().mono + burst_interval;
            if (sys::now().mono >= next_tick) {
                next_tick = sys::now().mono + interval;
                seen(collector.tick(sys::now()));
            }
            if (auto written = put(lines); !written) return written;
        }
        return {};
    }

    recording::LineWriter file_;
    recording::Encoder encoder_;
    std::string socket_;
    std::string cri_socket_;
    MonoTime end_;
    Waiting waiting_;
    std::uint64_t snapshots_ = 0;
    std::uint64_t decisions_ = 0;
};

int record(const Options& options) {
    auto file = recording::LineWriter::create(options.file);
    if (!file) return fail(file.error());
    Recording recording(options, std::move(*file));
    const auto recorded = recording.run();
    std::error_code ignored;
    if (recording.is_empty())
        std::filesystem::remove(options.file, ignored); // ours: it was not there before
    else
        fmt::print("{}: {}\n", printable(options.file), recording.summary());
    if (!recorded) return fail(recorded.error());
    if (recording.is_empty()) return fail({"nothing was recorded: it ended before the first look at the node"});
    return done;
}

} // namespace

void add_record(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command =
        *app.add_subcommand("record", "What is seen, and what the service decides on it, to a file for replay");
    command.add_option("FILE", options->file, "Made, for its owner alone; one that is there is left as it is")
        ->required()
        ->check(check_path);
    command.add_option("--for", options->length, "Then end; else until it is interrupted")
        ->type_name("DURATION")
        ->check(check_duration);
    command.add_option("--socket", options->socket, "Of the service; without one, probes and --cri-socket of its own")
        ->capture_default_str();
    add_cri_socket(command, options->cri_socket);
    command.callback([options, &status] { status = record(*options); });
}

} // namespace bpftune::cli
