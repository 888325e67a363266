// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "actuators/journal.hpp"
#include "cli/commands.hpp"
#include "core/parse.hpp"
#include "service/boot.hpp"
#include "sys/clock.hpp"
#include "views/history.hpp"
#include "views/json.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    std::string state_dir = default_state_dir;
    std::string since;
    std::string format = "table";
};

Result<std::vector<Change>> recorded(const Options& options) {
    if (auto there = check_state_dir(options.state_dir); !there) return std::unexpected(there.error());
    const auto boot = service::boot_id();
    if (!boot) return std::unexpected(boot.error());
    const auto journal = actuators::Journal::open_read_only(options.state_dir, *boot);
    if (!journal) return std::unexpected(journal.error());
    std::optional<WallTime> since;
    if (!options.since.empty())
        since = std::chrono::time_point_cast<WallTime::duration>(sys::now().wall - *parse_duration(options.since));
    return journal->history(since);
}

int history(const Options& options) {
    const auto changes = recorded(options);
    if (!changes) return fail(with_rights_hint(changes.error()));
    if (options.format == "json") {
        fmt::print("{}\n", views::changes_json(*changes));
    } else {
        fmt::print("{}", views::history_table(views::changes_document(*changes), output_width()));
    }
    return done;
}

} // namespace

void add_history(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command =
        *app.add_subcommand("history", "What was changed, when, for whom, why, with what evidence and outcome");
    command.add_option("--state-dir", options->state_dir, "Of the service")->check(check_path)->capture_default_str();
    command.add_option("--since", options->since, "Not older than this")->type_name("DURATION")->check(check_duration);
    command.add_option("-o", options->format, "Format")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
    command.callback([options, &status] { status = history(*options); });
}

} // namespace bpftune::cli
