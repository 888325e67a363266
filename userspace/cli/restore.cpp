// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "service/api_client.hpp"
#include "service/boot.hpp"
#include "service/journal_at_start.hpp"
#include "service/lock.hpp"
#include "service/restoring.hpp"
#include "views/json.hpp"
#include "views/restored.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    std::string state_dir = default_state_dir;
    std::string socket = default_socket;
    bool dry_run = false;
    bool now = false;
    std::string format = "table";
};

constexpr Nanoseconds longest_wait_for_writer = std::chrono::seconds(30);

using Lines = std::vector<views::RestoreLine>;

// The service restores itself, so that it does not raise again what was just put back.
Result<Lines> by_service(const Options& options) {
    nlohmann::json request{{"command", "restore"}, {"dry_run", options.dry_run}};
    if (options.now) request["now"] = true;
    const auto answer = service::ask(options.socket, request.dump());
    if (!answer) return std::unexpected(answer.error());
    return views::parse_restored(*answer);
}

Result<Lines> alone(const Options& options) {
    // None is made for that: what another directory's journal holds would seem to be nothing.
    if (auto there = check_state_dir(options.state_dir); !there) return std::unexpected(there.error());
    const auto lock = service::lock_state(options.state_dir, std::chrono::seconds(5));
    if (!lock) return std::unexpected(lock.error());
    const std::array inherited{lock->file.value()};
    auto writer = actuators::Writer::start(inherited);
    if (!writer) return with_context(writer.error(), "writer");
    const auto boot = service::boot_id();
    if (!boot) return std::unexpected(boot.error());
    auto journal = actuators::Journal::open(options.state_dir, *boot, service::if_none(*lock, *boot));
    if (!journal) return std::unexpected(journal.error());
    return service::restore_lines(
        *journal, *writer, {.dry_run = options.dry_run, .now = options.now, .patience = longest_wait_for_writer});
}

int restore(const Options& options) {
    auto lines = by_service(options);
    if (!lines && service::no_service(lines.error())) lines = alone(options);
    if (!lines) return fail(with_rights_hint(lines.error()));
    if (options.format == "json") {
        fmt::print("{}\n", views::to_text(views::restored_document(*lines)));
    } else {
        fmt::print("{}", views::restored_table(*lines, output_width()));
    }
    const auto left = options.dry_run ? 0 : std::ranges::count_if(*lines, views::is_left);
    if (left > 0)
        fmt::print(
            stderr,
            "bpftune-k8s: {} of {} values {} not back yet, for what is in use, out of reach or failed: a "
            "running service goes on as that ends, the next restore does, --now does not wait for what is in use\n",
            left, lines->size(), left == 1 ? "is" : "are");
    const bool any_failed = std::ranges::count(*lines, "failed", &views::RestoreLine::result) > 0;
    return any_failed || left > 0 ? failed : done;
}

} // namespace

void add_restore(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command =
        *app.add_subcommand("restore", "Put every original value back, with or without a running service");
    command.add_flag("--dry-run", options->dry_run,
                     "Only say what would be done, what is in use, and what that would lose");
    command.add_flag("--now", options->now, "Whatever is in use: what has no room is lost");
    command.add_option("--state-dir", options->state_dir, "Of the service")->check(check_path)->capture_default_str();
    command.add_option("--socket", options->socket, "Of the service")->capture_default_str();
    command.add_option("-o", options->format, "Format")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
    command.callback([options, &status] { status = restore(*options); });
}

} // namespace bpftune::cli
