// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <sstream>

#include "cli/commands.hpp"
#include "policy/parse.hpp"
#include "service/api.hpp"
#include "service/policy_file.hpp"
#include "service/without_effect.hpp"
#include "views/json.hpp"
#include "views/text.hpp"

namespace bpftune::cli {
namespace {

int check(const std::string& file) {
    const auto policy = load_policy(file);
    if (!policy) return policy.error();
    const auto in_vain = service::named_in_vain(*policy);
    if (in_vain.empty()) return done;
    service::PolicyFile read(file, true);
    (void)read.load(); // for the places
    for (const service::NamedInVain& each : in_vain)
        fmt::print(stderr, "{}: note: {}\n", read.place_of(each.name), service::sentence(each));
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
        fmt::print(stderr, "bpftune-k8s: {}\n", alone);
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

} // namespace

void add_policy(CLI::App& app, int& status) {
    CLI::App& command = *app.add_subcommand("policy", "Policy files");
    command.require_subcommand(1);
    auto file = std::make_shared<std::string>();

    CLI::App& checks = *command.add_subcommand("check", "Validate: nothing, or every problem with its place");
    checks.add_option("FILE", *file, "Policy file")->required();
    checks.callback([file, &status] { status = check(*file); });

    auto socket = std::make_shared<std::string>(default_socket);
    CLI::App& shows = *command.add_subcommand("show", "The effective policy, every default filled in");
    shows.add_option("FILE", *file, "Policy file; none: what is in force in the running service");
    shows.add_option("--socket", *socket, "Of the service")->capture_default_str();
    shows.callback([file, socket, &status] { status = file->empty() ? show_in_force(*socket) : show(*file); });

    CLI::App& schema = *command.add_subcommand("schema", "JSON Schema of the file");
    schema.callback([&status] {
        fmt::print("{}\n", policy::schema());
        status = done;
    });
}

} // namespace bpftune::cli
