// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "policy/parse.hpp"

namespace bpftune::cli {
namespace {

int check(const std::string& file) {
    const auto policy = load_policy(file);
    return policy ? done : policy.error();
}

int show(const std::string& file) {
    if (file.empty()) {
        fmt::print("{}", policy::show({}));
        return done;
    }
    const auto policy = load_policy(file);
    if (!policy) return policy.error();
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

    CLI::App& shows = *command.add_subcommand("show", "The effective policy, every default filled in");
    shows.add_option("FILE", *file, "Policy file; none: the defaults");
    shows.callback([file, &status] { status = show(*file); });

    CLI::App& schema = *command.add_subcommand("schema", "JSON Schema of the file");
    schema.callback([&status] {
        fmt::print("{}\n", policy::schema());
        status = done;
    });
}

} // namespace bpftune::cli
