// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <memory>

#include <sys/utsname.h>

#include "cli/commands.hpp"
#include "controller/expect.hpp"
#include "probes/probes.hpp"
#include "service/counted.hpp"
#include "service/daemon.hpp"
#include "service/expected.hpp"
#include "service/pod_names.hpp"
#include "service/policy_file.hpp"
#include "service/survey.hpp"
#include "service/without_effect.hpp"
#include "signals/sight.hpp"
#include "sys/netns.hpp"
#include "sys/presence.hpp"
#include "views/json.hpp"

namespace bpftune::cli {
namespace {

struct Report {
    std::string kernel;
    probes::Probes probes;
    std::vector<service::TunableReport> tunables;
    std::vector<service::RightReport> rights;
    std::vector<service::PodsStep> pods;
    std::string to_grant; // empty: some are held
    service::Counted counted;
    std::vector<ExpectedSysctl> expected;
    std::vector<Unexpected> unexpected;        // of these
    std::vector<service::NamedInVain> in_vain; // by the policy
    std::vector<OtherService> services;        // that run here, as far as that may be seen
    std::optional<views::Json> service;        // what the one that was asked says of itself
    std::string policy_error;                  // why the policy is refused; empty: it is not
    bool lacks_runtime = false;                // one that was named, and does not answer
};

// Compared now, without a service: who has set it is for its log to tell, what was set at boot is in files.
void compare(Report& report, const policy::Policy& policy) {
    report.in_vain = service::named_in_vain(policy);
    if (policy.expect.empty()) return;
    const service::SetBy set_by("/");
    report.expected = service::read_expected(policy, sys::init_netns().value_or(NetnsId{}));
    for (const ExpectedSysctl& each : report.expected)
        if (!each.is_met())
            report.unexpected.push_back({each.name, each.expected, each.found,
                                         each.found ? service::set_at_boot(set_by, each.sysctl) : each.why_not});
}

constexpr std::size_t namespaces_shown = 10;

constexpr int everything = 0;
constexpr int less = 1;
constexpr int nothing = 2;

Report examine(const std::vector<probes::RungChoice>& rungs, const std::string& cri_socket) {
    utsname name{};
    ::uname(&name);
    const auto runtime = service::check_runtime_at(cri_socket);
    Report report = {.kernel = name.release,
                     .probes = probes::Probes::open({.rungs = rungs}),
                     .tunables = service::survey_tunables(),
                     .rights = service::survey_rights(),
                     .pods = service::survey_pods(runtime),
                     .to_grant = service::what_to_grant(),
                     .counted = {},
                     .expected = {},
                     .unexpected = {},
                     .in_vain = {},
                     .services = {},
                     .service = {},
                     .policy_error = {},
                     .lacks_runtime = !runtime && !cri_socket.empty() && cri_socket != "none"};
    report.counted = service::count(report.probes);
    if (const auto present = sys::services_present())
        for (const sys::Service& each : *present) report.services.push_back({each.pid, each.state_dir});
    return report;
}

// nullopt: there is none, or it may not be asked.
std::optional<views::Json> health_of_service(const std::string& socket) {
    auto said = ask_health(socket);
    if (said) return std::move(*said);
    if (said.error().code != 0) return std::nullopt;
    return views::Json{{"alive", false}, {"ready", false}, {"why", said.error().message}};
}

bool is_well(const views::Json& service) {
    const views::Json* ready = views::find(service, "ready");
    const auto has = [&](std::string_view key) { return views::find(service, key) != nullptr; };
    return ready != nullptr && *ready == true && !has("http_error") && !has("unrestricted");
}

int status_of(const Report& report) {
    const auto blind = [&](Probe probe) { return report.probes.rung(probe) == Rung::none; };
    // Without any right, what is seen is not the node.
    if (std::ranges::all_of(all_probes, blind) || !report.to_grant.empty()) return nothing;
    const bool full = std::ranges::none_of(all_probes, blind) &&
                      std::ranges::all_of(report.tunables, &service::TunableReport::writable) &&
                      std::ranges::all_of(report.rights, &service::RightReport::held) && report.unexpected.empty() &&
                      report.policy_error.empty() && !report.lacks_runtime &&
                      (!report.service || is_well(*report.service));
    return full ? everything : less;
}

std::string_view verdict(int status) {
    switch (status) {
    case everything: return "everything works";
    case less: return "works with less";
    default: return "cannot work";
    }
}

views::Json known(const std::string& text) { return text.empty() ? views::Json() : views::Json(text); }

views::Json pods_document(const std::vector<service::PodsStep>& steps) {
    views::Json document{{"rung", "none"}, {"ladder", views::Json::array()}};
    for (const service::PodsStep& step : steps) {
        if (step.taken) document["rung"] = to_string(step.source);
        document["ladder"].push_back(
            {{"rung", to_string(step.source)}, {"taken", step.taken}, {"reason", known(step.reason)}});
    }
    return document;
}

views::Json document_of(const Report& report) {
    views::Json probes = views::Json::array();
    for (const Probe probe : all_probes) {
        views::Json ladder = views::Json::array();
        for (const probes::Step& step : report.probes.ladder())
            if (step.probe == probe)
                ladder.push_back({{"rung", to_string(step.rung)},
                                  {"taken", step.taken},
                                  {"reason", known(signals::described(step))}});
        probes.push_back({{"probe", to_string(probe)},
                          {"rung", to_string(report.probes.rung(probe))},
                          {"ladder", std::move(ladder)}});
    }
    views::Json tunables = views::Json::array();
    for (const service::TunableReport& tunable : report.tunables)
        tunables.push_back({{"tunable", tunable.name},
                            {"present", tunable.present},
                            {"writable", tunable.writable},
                            {"reason", known(tunable.reason)},
                            {"set_by", tunable.set_by}});
    views::Json rights = views::Json::array();
    for (const service::RightReport& right : report.rights)
        rights.push_back({{"capability", right.name}, {"held", right.held}, {"needed_for", right.needed_for}});
    views::Json document{{"schema", views::schema},
                         {"kernel", report.kernel},
                         {"verdict", verdict(status_of(report))},
                         {"probes", std::move(probes)},
                         {"pods", pods_document(report.pods)},
                         {"tunables", std::move(tunables)},
                         {"rights", std::move(rights)},
                         {"grant", known(report.to_grant)},
                         {"counted", service::document_of(report.counted)}};
    if (!report.services.empty()) document["services"] = views::services_document(report.services);
    if (report.service) document["service"] = *report.service;
    if (!report.policy_error.empty()) document["policy_error"] = report.policy_error;
    if (!report.expected.empty()) document["unexpected"] = views::unexpected_document(report.unexpected);
    for (const service::NamedInVain& each : report.in_vain)
        document["without_effect"].push_back({{"sysctl", each.name}, {"why", each.why}});
    return document;
}

void print_policy(const Report& report) {
    if (report.expected.empty() && report.in_vain.empty() && report.policy_error.empty()) return;
    fmt::print("\nEXPECTED OR NAMED BY THE POLICY\n");
    if (!report.policy_error.empty()) fmt::print("  WRONG: it is refused, and nothing of it is looked at\n");
    for (const ExpectedSysctl& each : report.expected)
        if (each.is_met()) fmt::print("  {} is {}\n", each.name, each.expected);
    for (const Unexpected& wrong : report.unexpected) fmt::print("  WRONG: {}\n", controller::sentence(wrong));
    for (const service::NamedInVain& each : report.in_vain) fmt::print("  {}\n", service::sentence(each));
}

void print_services(const Report& report) {
    if (report.services.empty()) return;
    fmt::print("\nSERVICES OF THIS KERNEL\n");
    for (const OtherService& each : report.services)
        fmt::print("  pid {:<10} state directory {}\n", each.pid, each.state_dir);
    if (report.services.size() > 1)
        fmt::print("  WRONG: each takes what the others set for somebody else's: one is enough\n");
}

void print_service(const Report& report) {
    if (!report.service) return;
    fmt::print("\nTHE SERVICE THAT ANSWERS HERE\n");
    if (is_well(*report.service)) fmt::print("  alive and ready\n");
    if (const auto why = views::known_text(*report.service, "why")) fmt::print("  WRONG: {}\n", *why);
    if (const auto error = views::known_text(*report.service, "http_error"))
        fmt::print("  WRONG: no metrics are served: {}\n", *error);
    if (const auto why = views::known_text(*report.service, "unrestricted")) fmt::print("  WRONG: {}\n", *why);
}

void print(const Report& report) {
    fmt::print("kernel {}: {}\n\nPROBES\n", report.kernel, verdict(status_of(report)));
    for (const probes::Step& step : report.probes.ladder())
        fmt::print("  {:<10} {:<11} {:<10} {}\n", to_string(step.probe), to_string(step.rung),
                   step.taken ? "taken" : "-", signals::described(step));
    fmt::print("\nPODS\n");
    for (const service::PodsStep& step : report.pods)
        fmt::print("  {:<10} {:<11} {:<10} {}\n", "names", to_string(step.source), step.taken ? "taken" : "-",
                   step.reason);
    fmt::print("\nTUNABLES\n");
    for (const service::TunableReport& tunable : report.tunables) {
        fmt::print("  {:<34} {}\n", tunable.name, tunable.writable ? "writable" : tunable.reason);
        for (const std::string& who : tunable.set_by) fmt::print("  {:<34}   also set by {}\n", "", who);
    }
    fmt::print("\nCOUNTED SINCE BOOT, AND WHAT THERE IS NOW\n");
    for (const std::string& line : service::lines_of(report.counted, namespaces_shown)) fmt::print("  {}\n", line);
    print_policy(report);
    print_services(report);
    print_service(report);
    if (!report.to_grant.empty()) fmt::print("\nNo right is held: {}\n", report.to_grant);
    fmt::print("\nRIGHTS\n");
    for (const service::RightReport& right : report.rights)
        fmt::print("  {:<34} {:<8} {}\n", right.name, right.held ? "held" : "MISSING", right.needed_for);
}

struct Options {
    std::string format = "table";
    std::string cri_socket;
    std::string socket = default_socket;
    std::vector<std::string> rungs;
    std::string policy = service::Config().policy;
};

int doctor(const Options& options, bool required) {
    const auto policy = service::PolicyFile(options.policy, required).load();
    Report report = examine(rungs_of(options.rungs), options.cri_socket);
    report.service = health_of_service(options.socket);
    if (policy) {
        compare(report, *policy);
    } else {
        fmt::print(stderr, "bpftune-k8s: {}\n", policy.error().message); // several lines, safe to print (PolicyFile)
        report.policy_error = policy.error().message;
    }
    if (const auto asked = report.probes.as_asked(); !asked) return fail(with_context(asked.error(), "--rung").error());
    if (options.format == "json") {
        fmt::print("{}\n", views::to_text(document_of(report)));
    } else {
        print(report);
    }
    return status_of(report);
}

} // namespace

void add_doctor(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command =
        *app.add_subcommand("doctor", "What this kernel and these rights allow. Exit status: 0 everything, "
                                      "1 works with less, 2 cannot work");
    command.add_option("-o", options->format, "Format")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
    const auto* policy = command.add_option("--policy", options->policy, "Policy whose `expect` is compared")
                             ->check(check_path)
                             ->capture_default_str();
    command.add_option("--socket", options->socket, "Of the service, where one runs")
        ->check(check_path)
        ->capture_default_str();
    add_cri_socket(command, options->cri_socket);
    add_rungs(command, options->rungs);
    command.callback([=, &status] { status = doctor(*options, policy->count() > 0); });
}

} // namespace bpftune::cli
