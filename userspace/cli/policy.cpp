// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.hpp"
#include "core/text.hpp"
#include "policy/names.hpp"
#include "policy/parse.hpp"
#include "service/api_client.hpp"
#include "service/without_effect.hpp"
#include "views/json.hpp"
#include "views/text.hpp"

namespace bpftune::cli {
namespace {

int check(const std::string& file) {
    const auto read = read_policy(file);
    if (!read) return read.error();
    const std::string name = printable(read->name);
    fmt::print("{}: ok: {}\n", name, policy::summary(read->policy));
    for (const service::NamedInVain& each : service::named_in_vain(read->policy)) {
        const std::string place = policy::place_of(read->text, each.name);
        fmt::print(stderr, "{}{}{}: note: {}\n", name, place.empty() ? "" : ":", place, service::sentence(each));
    }
    return done;
}

// As comments, so that what is printed is a policy file all the same.
void print_comment(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) fmt::print("# {}\n", views::terminal_safe(line));
}

int show_in_force(const std::string& socket) {
    const auto answer = service::ask(socket, R"({"command": "policy"})");
    if (!answer && service::no_service(answer.error())) {
        const std::string alone =
            fmt::format("no service answers at {}: this is what holds without a policy file", socket);
        tell(alone);
        print_comment(alone);
        fmt::print("{}", policy::show({}));
        return done;
    }
    if (!answer) return fail(answer.error());
    const auto document = views::parse_answer(*answer);
    if (!document) return fail(document.error());
    const views::Json* text = views::find(*document, "policy");
    if (text == nullptr || !text->is_string()) return fail({"the service's answer has no policy in it"});
    const views::Json* found = views::find(*document, "found");
    const bool refused = views::find(*document, "policy_error") != nullptr;
    print_comment(fmt::format("in force: {}{}", views::text_of(*document, "file"),
                              found == nullptr || *found != false ? ""
                              : refused                           ? ", which is not there any more"
                                                                  : ", which is not there: the defaults"));
    if (const auto loaded = views::known_text(*document, "loaded"))
        print_comment("loaded: " + views::local_text(*loaded));
    print_comment("hash: " + views::text_of(*document, "hash"));
    if (const auto reason = views::known_text(*document, "mode_reason")) print_comment(*reason);
    if (const views::Json* error = views::find(*document, "policy_error"); error != nullptr && error->is_string()) {
        print_comment("its last reload failed, the policy before it stays:");
        print_comment(error->get<std::string>());
    }
    fmt::print("{}", text->get<std::string>());
    return done;
}

int show(const std::string& file) {
    const auto policy = load_policy(file);
    if (!policy) return policy.error();
    print_comment("hash: " + policy::hash_of(*policy));
    fmt::print("{}", policy::show(*policy));
    return done;
}

// What is asked of `show`.
struct Asked {
    std::string file;
    std::string socket = default_socket;
    std::optional<std::string> pod;
    std::vector<std::string> labels; // each time that the option is given, as the next
    std::vector<std::string> annotations;
    std::string qos;
};

int print_for_pod(const std::vector<std::string>& about, const std::string& policy) {
    for (const std::string& line : about) print_comment(line);
    fmt::print("{}", policy);
    return done;
}

int show_pod_in_force(const Asked& asked) {
    const auto answer = service::ask(asked.socket, views::to_text({{"command", "policy"}, {"pod", *asked.pod}}));
    if (!answer && service::no_service(answer.error()))
        return fail({fmt::format("no service answers at {}: give the policy's FILE as well, and say of the pod what it "
                                 "has: --labels, --annotations, --qos",
                                 asked.socket)});
    if (!answer) return fail(answer.error());
    const auto document = views::parse_answer(*answer);
    if (!document) return fail(document.error());
    const views::Json* about = views::find(*document, "about");
    const views::Json* text = views::find(*document, "policy");
    if (about == nullptr || !about->is_array() || text == nullptr || !text->is_string())
        return fail({"the service's answer says nothing of this pod"});
    std::vector<std::string> lines{"in force: " + views::text_of(*document, "file")};
    for (const views::Json& line : *about)
        if (line.is_string()) lines.push_back(line.get<std::string>());
    return print_for_pod(lines, text->get<std::string>());
}

// "a=b,c=d": each pair. A comma that is a part of a value has a backslash before it.
std::vector<std::string> pairs_in(std::string_view text) {
    std::vector<std::string> pairs{""};
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool is_escaped = text.substr(at).starts_with("\\,");
        if (is_escaped) ++at;
        if (text[at] == ',' && !is_escaped)
            pairs.emplace_back();
        else
            pairs.back() += text[at];
    }
    return pairs;
}

using IsValue = bool (*)(std::string_view);

// Of all times that the option was given.
Result<policy::Labels> labels_of(const std::vector<std::string>& given, IsValue is_value) {
    policy::Labels labels;
    for (const std::string& text : given) {
        if (text.empty()) continue; // there are none
        for (const std::string& pair : pairs_in(text)) {
            const std::size_t equals = std::min(pair.find('='), pair.size());
            const std::string name = pair.substr(0, equals);
            if (equals == pair.size())
                return failure("'{}' is no label: NAME=VALUE,NAME=VALUE is wanted", printable(pair));
            const std::string_view value = std::string_view(pair).substr(equals + 1);
            if (!policy::is_qualified_name(name)) return failure("'{}' can't be the name of a label", printable(name));
            if (!is_value(value)) return failure("'{}' can't be the value of a label", printable(value));
            if (!labels.emplace(name, printable(value)).second) return failure("'{}' is given twice", name);
        }
    }
    return labels;
}

Result<Pod> pod_of(const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) return failure("'{}' is no NAMESPACE/NAME", printable(text));
    Pod pod{.ns = text.substr(0, slash), .name = text.substr(slash + 1)};
    if (!policy::is_dns_label(pod.ns)) return failure("'{}' can't be the name of a namespace", printable(pod.ns));
    if (!policy::is_dns_subdomain(pod.name)) return failure("'{}' can't be the name of a pod", printable(pod.name));
    return pod;
}

// Of a pod that may not be there yet: by what is said of it, and what is not said is not known.
Result<PodFacts> facts_of(const Asked& asked) {
    const auto pod = pod_of(*asked.pod);
    if (!pod) return std::unexpected(pod.error());
    auto labels = labels_of(asked.labels, policy::is_label_value);
    if (!labels) return std::unexpected(labels.error());
    auto annotations = labels_of(asked.annotations, [](std::string_view) { return true; });
    if (!annotations) return std::unexpected(annotations.error());
    const bool is_known = !asked.labels.empty() || !asked.annotations.empty();
    PodFacts facts{.pod = *pod,
                   .source = is_known ? PodSource::runtime : PodSource::logs,
                   .labels = std::move(*labels),
                   .annotations = std::move(*annotations)};
    for (const QosClass qos : {QosClass::best_effort, QosClass::burstable, QosClass::guaranteed})
        if (asked.qos == to_string(qos)) facts.qos = qos;
    return facts;
}

int fail_as_usage(const Error& error) {
    (void)fail(error);
    return usage;
}

int show_pod(const Asked& asked) {
    if (asked.pod->empty()) return fail_as_usage({"--pod '' names none: NAMESPACE/NAME is wanted"});
    if (asked.file.empty()) return show_pod_in_force(asked);
    const auto policy = load_policy(asked.file);
    if (!policy) return policy.error();
    const auto facts = facts_of(asked);
    if (!facts) return fail_as_usage(facts.error());
    const policy::ShownFor shown = policy::show_for(*policy, {.pod = &facts->pod, .facts = &*facts}, "as given here");
    return print_for_pod(shown.lines, shown.policy);
}

int show(const Asked& asked) {
    if (asked.pod) return show_pod(asked);
    return asked.file.empty() ? show_in_force(asked.socket) : show(asked.file);
}

void add_show(CLI::App& command, int& status) {
    auto asked = std::make_shared<Asked>();
    CLI::App& shows = *command.add_subcommand("show", "The effective policy, every default filled in");
    CLI::Option* file =
        shows.add_option("FILE", asked->file, "Policy file; none: what is in force in the running service")
            ->check(check_path_or_input);
    shows.add_option("--socket", asked->socket, "Of the service")->capture_default_str();
    CLI::Option* pod = shows.add_option("--pod", asked->pod, "What applies to this pod, and from which line")
                           ->type_name("NAMESPACE/NAME");
    shows.add_option("--labels", asked->labels, "With FILE: those of the pod")
        ->type_name("NAME=VALUE,...")
        ->allow_extra_args(false)
        ->needs(pod, file);
    shows.add_option("--annotations", asked->annotations, "With FILE: those of the pod (\\, in a value: a comma)")
        ->type_name("NAME=VALUE,...")
        ->allow_extra_args(false)
        ->needs(pod, file);
    shows.add_option("--qos", asked->qos, "With FILE: the pod's class of service")
        ->check(CLI::IsMember({"Guaranteed", "Burstable", "BestEffort"}))
        ->needs(pod, file);
    shows.callback([asked, &status] { status = show(*asked); });
}

} // namespace

void add_policy(CLI::App& app, int& status) {
    CLI::App& command = *app.add_subcommand("policy", "Policy files");
    command.require_subcommand(1);
    auto file = std::make_shared<std::string>();

    CLI::App& checks = *command.add_subcommand("check", "Validate: what it allows, or every problem with its place");
    checks.add_option("FILE", *file, "Policy file; -: standard input")->required()->check(check_path_or_input);
    checks.callback([file, &status] { status = check(*file); });

    add_show(command, status);

    CLI::App& schema = *command.add_subcommand("schema", "JSON Schema of the file");
    schema.callback([&status] {
        fmt::print("{}\n", policy::schema());
        status = done;
    });
}

} // namespace bpftune::cli
