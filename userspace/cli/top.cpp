// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <thread>

#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "probes/probes.hpp"
#include "service/api_client.hpp"
#include "service/pod_names.hpp"
#include "service/survey.hpp"
#include "signals/collector.hpp"
#include "sys/clock.hpp"
#include "views/csv.hpp"
#include "views/json.hpp"
#include "views/table.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    bool once = false;
    std::uint64_t count = 0; // 0: until interrupted
    std::string delay = "1s";
    std::string format = "table";
    std::string socket = default_socket;
    std::string cri_socket;
    std::vector<std::string> rungs;
};

// Where the documents come from: the service, else probes of our own.
class Source {
public:
    explicit Source(const Options& options)
        : socket_(options.socket), cri_socket_(options.cri_socket), delay_(*parse_duration(options.delay)),
          rungs_(rungs_of(options.rungs)) {}

    // Waits for the next interval's end where there is one to wait for.
    Result<views::Json> next() {
        if (!collector_) {
            if (rungs_.empty()) { // the service has chosen its own
                auto document = ask_service();
                if (document || !service::no_service(document.error())) return document;
                if (asked_) return document; // it was there, and has gone
            }
            if (auto opened = open_probes(); !opened) return std::unexpected(opened.error());
        }
        std::this_thread::sleep_for(delay_);
        return look();
    }

    // The service has a pace of its own; between two questions we keep ours.
    void pause() const {
        if (!collector_) std::this_thread::sleep_for(delay_);
    }

private:
    Result<views::Json> ask_service() {
        const auto answer = service::ask(socket_, R"({"command": "top"})");
        if (!answer) return std::unexpected(answer.error());
        asked_ = true;
        return views::parse_answer(*answer);
    }

    Result<> open_probes() {
        if (const std::string grant = service::what_to_grant(); !grant.empty())
            return failure("no service answers at {}, and without any rights the node cannot be seen: {}", socket_,
                           grant);
        probes_ = std::make_unique<probes::Probes>(probes::Probes::open({.rungs = rungs_}));
        if (auto asked = probes_->as_asked(); !asked) return with_context(asked.error(), "--rung");
        if (auto asked = pod_names_.ask_runtime_at(cri_socket_); !asked) return asked;
        collector_ =
            std::make_unique<signals::Collector>(*probes_, signals::this_node(), sys::now(), pod_names_.naming());
        if (rungs_.empty())
            alone_ = fmt::format("no service answers at {}: looking with probes of its own, nothing is tuned", socket_);
        else
            alone_ = "--rung: looking with probes of its own, not with those of a service";
        tell(alone_);
        return {};
    }

    Result<views::Json> look() {
        probes_->drain([&](const probes::Event& event) { (void)collector_->on_event(event, sys::now()); });
        const Snapshot snapshot = collector_->tick(sys::now());
        const bool blind = std::ranges::all_of(snapshot.sources, [](Rung rung) { return rung == Rung::none; });
        if (blind)
            return failure("no service answers at {}, and no probe can be used with these rights; run as root, and see "
                           "bpftune-k8s doctor",
                           socket_);
        return views::top_document(snapshot, {.mode = "observe", .pods = pod_names_.named_by(), .no_service = alone_});
    }

    std::string socket_;
    std::string cri_socket_;
    Nanoseconds delay_;
    std::vector<probes::RungChoice> rungs_;
    bool asked_ = false;
    std::string alone_; // why, where it is without a service
    service::PodNames pod_names_;
    std::unique_ptr<probes::Probes> probes_;
    std::unique_ptr<signals::Collector> collector_;
};

Result<std::string> rendered(const views::Json& document, const Options& options) {
    if (options.format == "json") return views::to_text(document) + "\n";
    if (options.format == "csv") return views::top_csv(document);
    winsize size{};
    const bool terminal = ::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    return views::top_table(document, {.width = output_width(),
                                       .height = terminal && !options.once ? size.ws_row : std::size_t{0},
                                       .color = terminal});
}

Result<> show(const std::string& text, const Options& options) {
    const bool refresh = options.format == "table" && !options.once && ::isatty(STDOUT_FILENO) != 0;
    fmt::print("{}{}", refresh ? "\x1b[H\x1b[2J" : "", text);
    return flush_output();
}

std::string check_count(const std::string& text) {
    constexpr std::size_t shown_columns = 20;
    const auto count = parse_number(text);
    if (count && *count > 0) return {};
    return fmt::format("'{}' is not a whole number from 1", truncated(printable(text), shown_columns));
}

int top(const Options& options) {
    Source source(options);
    const std::uint64_t count = options.once ? 1 : options.count;
    if (options.format == "csv") fmt::print("{}", views::csv_heading());
    for (std::uint64_t shown = 0; count == 0 || shown < count; ++shown) {
        if (shown > 0) source.pause();
        const auto document = source.next();
        if (!document) return fail(document.error());
        const auto text = rendered(*document, options);
        if (!text) return fail(text.error());
        if (const auto written = show(*text, options); !written) return fail(written.error());
    }
    return done;
}

} // namespace

void add_top(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command = *app.add_subcommand("top", "The live view: what is lost, where, and which limit binds");
    CLI::Option* once = command.add_flag("--once", options->once, "One look, then end");
    command.add_option("-n", options->count, "Looks, then end")->type_name("COUNT")->check(check_count)->excludes(once);
    command.add_option("-d", options->delay, "Between two looks")
        ->type_name("DURATION")
        ->check(check_duration)
        ->capture_default_str();
    command.add_option("-o", options->format, "Format")
        ->check(CLI::IsMember({"table", "json", "csv"}))
        ->capture_default_str();
    command.add_option("--socket", options->socket, "Of the service; without one, probes and --cri-socket of its own")
        ->capture_default_str();
    add_cri_socket(command, options->cri_socket);
    add_rungs(command, options->rungs);
    command.callback([options, &status] { status = top(*options); });
}

} // namespace bpftune::cli
