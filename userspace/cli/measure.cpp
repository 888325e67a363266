// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "core/text.hpp"
#include "measure/connects.hpp"
#include "measure/iperf3.hpp"
#include "measure/report.hpp"
#include "measure/target.hpp"
#include "policy/parse.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    std::string target;
    std::uint64_t seconds = 5;
    std::uint64_t connections = 10;
    std::uint64_t rate = 1000;
    std::uint16_t iperf3_port = 5201;
    std::string compare; // empty: nothing to compare with
    std::string format = "table";
};

std::string check_target(const std::string& text) {
    const auto target = measure::parse_target(text);
    return target ? std::string() : target.error().message;
}

// The report in `file`, or the exit status and the reason on stderr.
std::expected<measure::Report, int> load_report(const std::string& file) {
    const auto text = sys::read_file(file);
    if (!text) return std::unexpected(fail(text.error()));
    auto parsed = measure::parse_report(*text);
    if (parsed) return std::move(*parsed);
    fmt::print(stderr, "{}", policy::render(file, *text, parsed.error()));
    return std::unexpected(usage);
}

// The first address to which one connection could be made: whom nobody answers is not asked a thousand times.
Result<measure::Address> first_that_answers(const std::vector<measure::Address>& addresses) {
    Result<measure::Address> none = failure("no address");
    for (const measure::Address& address : addresses) {
        const auto outcome = measure::connects(address, {.at_once = 1, .most = 1});
        if (!outcome) return std::unexpected(outcome.error());
        const auto failed_by = outcome->most_frequent();
        if (!failed_by) return address;
        none = failure("{}: {}", measure::to_string(address), measure::to_string(*failed_by));
    }
    return none;
}

Result<measure::Report> measured(const Options& options) {
    const measure::Target target = *measure::parse_target(options.target);
    const auto addresses = measure::resolve(target);
    if (!addresses) return std::unexpected(addresses.error());
    const auto address = first_that_answers(*addresses);
    if (!address) return std::unexpected(address.error());
    const measure::Plan plan{
        .at_once = options.connections, .per_second = options.rate, .length = std::chrono::seconds(options.seconds)};
    const WallTime begun = sys::now().wall;
    const auto outcome = measure::connects(*address, plan);
    if (!outcome) return std::unexpected(outcome.error());
    if (outcome->connect_ms.empty())
        return failure("{}: all {} connections failed, most of them: {}", measure::to_string(*address),
                       outcome->failed_count(),
                       measure::to_string(outcome->most_frequent().value_or(measure::Failure::other)));
    measure::Report report = measure::report_of(
        plan, *outcome, measure::iperf3(measure::host_text(*address), options.iperf3_port, options.seconds));
    report.target = printable(options.target);
    report.address = measure::to_string(*address);
    report.time = to_string(begun);
    return report;
}

int run_measure(const Options& options) {
    std::optional<measure::Report> before;
    if (!options.compare.empty()) {
        auto loaded = load_report(options.compare);
        if (!loaded) return loaded.error();
        before = std::move(*loaded);
    }
    const auto now = measured(options);
    if (!now) return fail(now.error());
    if (options.format == "json")
        fmt::print("{}\n", (before ? measure::document_of(*now, *before) : measure::document_of(*now)).dump());
    else
        fmt::print("{}", before ? measure::table_of(*now, *before) : measure::table_of(*now));
    return done;
}

} // namespace

void add_measure(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command =
        *app.add_subcommand("measure", "How well a server is reached: connects, round trips, throughput");
    command.add_option("TARGET", options->target, "HOST:PORT or [IPv6]:PORT; without a port: 80")
        ->required()
        ->check(check_target);
    command.add_option("--seconds", options->seconds, "How long to connect, and then iperf3 to send")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{60}))
        ->capture_default_str();
    command.add_option("--connections", options->connections, "At once, at most")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1000}))
        ->capture_default_str();
    command.add_option("--rate", options->rate, "Connects a second, at most")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{20'000}))
        ->capture_default_str();
    command.add_option("--iperf3", options->iperf3_port, "Port of the iperf3 server there")
        ->check(CLI::Range(std::uint16_t{1}, std::uint16_t{65535}))
        ->capture_default_str();
    command.add_option("--compare", options->compare, "An earlier -o json, to be shown beside this one")
        ->check(check_path);
    command.add_option("-o", options->format, "Format")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
    command.callback([options, &status] { status = run_measure(*options); });
}

} // namespace bpftune::cli
