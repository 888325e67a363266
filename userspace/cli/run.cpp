// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "cli/commands.hpp"
#include "core/parse.hpp"
#include "service/daemon.hpp"
#include "service/listen_address.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    service::Config config;
    std::string policy;
    std::string mode;
    std::string interval = "1s";
    std::vector<std::string> rungs;
};

std::string check_listen(const std::string& text) {
    const auto address = service::check_address(text);
    return text == "none" || address ? std::string() : address.error().message;
}

int run(Options& options) {
    spdlog::set_default_logger(spdlog::stderr_logger_st("bpftune-k8s"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    service::Config& config = options.config;
    config.policy_required = !options.policy.empty();
    if (config.policy_required) config.policy = options.policy;
    config.mode = policy::mode(options.mode);
    config.interval = *parse_duration(options.interval);
    config.rungs = rungs_of(options.rungs);
    return service::run(config);
}

} // namespace

void add_run(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command = *app.add_subcommand("run", "The node service: observe, and tune what the policy allows");
    command
        .add_option("--policy", options->policy,
                    "Policy file (default " + options->config.policy.string() + "; none there: observe)")
        ->check(check_path);
    command.add_option("--mode", options->mode, "In place of the policy's spec.mode")
        ->check(CLI::IsMember({"observe", "recommend", "auto"}));
    command.add_option("--state-dir", options->config.state_dir, "Journal and lock; created")
        ->check(check_path)
        ->capture_default_str();
    command.add_option("--socket", options->config.socket, "Local API")->capture_default_str();
    command.add_option("--listen", options->config.listen, "ADDRESS:PORT of /metrics, /healthz, /readyz; or none")
        ->check(check_listen)
        ->capture_default_str();
    add_cri_socket(command, options->config.cri_socket);
    command.add_option("--interval", options->interval, "Between two looks at the kernel's counters")
        ->check(check_duration)
        ->capture_default_str();
    add_rungs(command, options->rungs);
    command.callback([options, &status] { status = run(*options); });
}

} // namespace bpftune::cli
