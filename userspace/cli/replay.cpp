// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "core/text.hpp"
#include "recording/file.hpp"
#include "recording/replay.hpp"
#include "tunables/codec.hpp"
#include "views/history.hpp"
#include "views/json.hpp"
#include "views/text.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    std::string file;
    std::string policy; // empty: that of the recording
    std::string mode;   // empty: the policy's
    std::string format = "table";
};

struct Played {
    recording::Replay replay;
    bool cut_short;
};

// "FILE: line 12: column 80: 'x' is not known here"
Result<Played> play(const std::string& file, std::optional<policy::Policy> policy) {
    const std::string name = printable(file);
    auto lines = recording::LineReader::open(file);
    if (!lines) return std::unexpected(lines.error());
    recording::Replay replay(std::move(policy));
    while (true) {
        const auto line = lines->next();
        if (!line) return with_context(line.error(), "{}", name);
        if (!*line) break;
        if (const auto taken = replay.take(**line); !taken)
            return with_context(taken.error(), "{}: line {}", name, lines->number());
    }
    if (lines->number() == 0) return failure("{}: nothing was recorded", name);
    return Played{std::move(replay), lines->cut_short()};
}

views::Json losses(const recording::Losses& losses) {
    return {{"recorded", losses.recorded}, {"replayed", losses.replayed}};
}

views::Json limits_of(const recording::Report& report) {
    views::Json limits = views::Json::array();
    for (const auto& [object, limit] : report.limits)
        limits.push_back({{"tunable", tunables::row(object.tunable).name},
                          {"scope", views::scope_document(object.tunable, limit.scope)},
                          {"original", tunables::text_of(object.tunable, limit.original)},
                          {"replayed", tunables::text_of(object.tunable, limit.replayed)},
                          {"recorded", tunables::text_of(object.tunable, limit.recorded)}});
    return limits;
}

views::Json decisions_of(const recording::Report& report) {
    std::vector<Change> changes;
    changes.reserve(report.decisions.size());
    for (const recording::Replayed& decision : report.decisions) {
        changes.push_back(decision.change);
        changes.back().id = static_cast<std::int64_t>(changes.size());
    }
    views::Json decisions = views::changes_document(changes);
    for (std::size_t i = 0; i < changes.size(); ++i) decisions[i]["live"] = report.decisions[i].live;
    return decisions;
}

views::Json document_of(const Played& played) {
    const recording::Report& report = played.replay.report();
    const recording::Header& header = played.replay.header();
    const policy::Policy& policy = played.replay.policy();
    return {{"schema", views::schema},
            {"recording",
             {{"version", header.version},
              {"node", header.node},
              {"from", to_string(report.first.value_or(header.time).wall)},
              {"to", to_string(report.first ? report.last.wall : header.time.wall)},
              {"snapshots", report.snapshots},
              {"cut_short", played.cut_short}}},
            {"policy", policy.name},
            {"mode", policy::to_string(policy.mode)},
            {"raises", report.raises},
            {"roll_backs", report.roll_backs},
            {"differing", report.differing},
            {"overflows", losses(report.overflows)},
            {"conntrack_drops", losses(report.conntrack_drops)},
            {"limits", limits_of(report)},
            {"decisions", decisions_of(report)}};
}

void print(const views::Json& document) {
    const auto text = [&](const char* key) { return views::text_of(document, key); };
    const views::Json& of = document["recording"];
    fmt::print("{}, {} to {}, {} snapshots{}\n", views::text_of(of, "node"),
               views::local_text(views::text_of(of, "from")), views::local_text(views::text_of(of, "to")),
               views::text_of(of, "snapshots"), of["cut_short"] == true ? "; the recording is cut short" : "");
    fmt::print("policy '{}', mode {}: raises {}, roll-backs {}; other decisions than then on {} snapshots\n",
               text("policy"), text("mode"), text("raises"), text("roll_backs"), text("differing"));
    const auto lost = [&](const char* what, const char* key) {
        fmt::print("{} {} as recorded, {} in the replay\n", what, views::text_of(document[key], "recorded"),
                   views::text_of(document[key], "replayed"));
    };
    lost("lost at full accept queues:    ", "overflows");
    lost("lost at full conntrack tables: ", "conntrack_drops");
    if (!document["limits"].empty())
        fmt::print("\n{:<34} {:<28} {:>9} {:>9} {:>9}\n", "LIMIT", "OF", "ORIGINAL", "REPLAYED", "RECORDED");
    for (const views::Json& limit : document["limits"])
        fmt::print("{:<34} {:<28} {:>9} {:>9} {:>9}\n", views::text_of(limit, "tunable"), views::whom_of(limit),
                   views::text_of(limit, "original"), views::text_of(limit, "replayed"),
                   views::text_of(limit, "recorded"));
    fmt::print("\n{}", views::history_table(document["decisions"], output_width()));
}

int replay(const Options& options) {
    std::optional<policy::Policy> policy;
    if (!options.policy.empty()) {
        auto loaded = load_policy(options.policy);
        if (!loaded) return loaded.error();
        policy = std::move(*loaded);
        if (!options.mode.empty()) policy->mode = *policy::mode(options.mode);
    }
    const auto played = play(options.file, std::move(policy));
    if (!played) return fail(played.error());
    if (played->cut_short) fmt::print(stderr, "bpftune-k8s: the recording is cut short: replayed up to there\n");
    const views::Json document = document_of(*played);
    if (options.format == "json")
        fmt::print("{}\n", views::to_text(document));
    else
        print(document);
    return done;
}

} // namespace

void add_replay(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command = *app.add_subcommand("replay", "What a policy would have decided on a recording");
    command.add_option("FILE", options->file, "Of record")->required()->check(check_path);
    CLI::Option* policy = command
                              .add_option("--policy", options->policy,
                                          "Policy file; -: standard input; none: that of then, with its reloads")
                              ->check(check_path_or_input);
    command.add_option("--mode", options->mode, "In place of the policy's")
        ->check(CLI::IsMember({"observe", "recommend", "auto"}))
        ->needs(policy);
    command.add_option("-o", options->format, "Format")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
    command.callback([options, &status] { status = replay(*options); });
}

} // namespace bpftune::cli
