// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string_view>

#include "cli/commands.hpp"
#include "core/text.hpp"
#include "service/api_client.hpp"

namespace bpftune::cli {
namespace {

struct Options {
    bool ready = false;
    std::string socket = default_socket;
};

// The loop that looks at the kernel is the one that answers: one that hangs gives no answer.
constexpr Nanoseconds patience = std::chrono::seconds(2);

int health(const Options& options) {
    const auto document = ask_health(options.socket);
    if (!document) return fail(with_rights_hint(document.error()));
    const std::string_view state = options.ready ? "ready" : "alive";
    const views::Json* holds = views::find(*document, state);
    if (holds == nullptr || *holds != true)
        return fail({fmt::format("the service at {} is not {}: {}", printable(options.socket), state,
                                 views::text_of(*document, "why"))});
    fmt::print("{}\n", state);
    if (const auto error = views::known_text(*document, "http_error")) tell("no metrics are served: " + *error);
    return done;
}

} // namespace

Result<views::Json> ask_health(const std::string& socket) {
    const auto answer = service::ask(socket, R"({"command": "health"})", patience);
    if (!answer) return std::unexpected(answer.error());
    return views::parse_answer(*answer);
}

void add_health(CLI::App& app, int& status) {
    auto options = std::make_shared<Options>();
    CLI::App& command = *app.add_subcommand("health", "Whether the service is alive; for probes. Exit status: 0 it is, "
                                                      "1 it is not, or gave no answer within 2 s");
    command.add_flag("--ready", options->ready, "Whether it is ready: alive, its probes settled, changes recorded");
    command.add_option("--socket", options->socket, "Of the service")->check(check_path)->capture_default_str();
    command.callback([options, &status] { status = health(*options); });
}

} // namespace bpftune::cli
