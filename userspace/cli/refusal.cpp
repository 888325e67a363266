// SPDX-License-Identifier: Apache-2.0
#include "cli/refusal.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/text.hpp"

namespace bpftune::cli {
namespace {

using Names = std::vector<std::string>;

struct Unknown {
    const CLI::App& command; // that was given it
    std::string word;
};

std::optional<Unknown> first_unknown(const CLI::App& command) {
    for (const std::string& word : command.remaining())
        if (word != "--") return Unknown{.command = command, .word = word};
    for (const CLI::App* below : command.get_subcommands()) // those on the command line
        if (auto unknown = first_unknown(*below)) return unknown;
    return std::nullopt;
}

Names options_of(const CLI::App& command) {
    Names names;
    for (const CLI::Option* option : command.get_options())
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    return names;
}

Names commands_of(const CLI::App& command) {
    Names names;
    for (const CLI::App* below : command.get_subcommands(nullptr)) names.push_back(below->get_name()); // all there are
    return names;
}

// "policy check"; of the program itself nothing.
std::string path_of(const CLI::App& command) {
    const CLI::App* const above = command.get_parent();
    if (above == nullptr) return {};
    const std::string path = path_of(*above);
    return path.empty() ? command.get_name() : path + " " + command.get_name();
}

// "help" is no misspelling of "--help", but no riddle either.
std::string hint(const std::string& word, const Names& known) {
    const auto same = std::ranges::find(known, "--" + word);
    const std::string_view meant = same != known.end() ? std::string_view(*same) : nearest(word, known);
    return meant.empty() ? std::string() : fmt::format("; did you mean '{}'?", meant);
}

std::string said_of(const Unknown& unknown) {
    constexpr std::size_t shown_columns = 80;
    const std::string shown = truncated(printable(unknown.word), shown_columns);
    const std::string path = path_of(unknown.command);
    const std::string of = path.empty() ? path : " of " + path;
    const Names options = options_of(unknown.command);
    if (unknown.word.starts_with('-'))
        return fmt::format("unknown option '{}'{}{}", shown, of,
                           hint(unknown.word.substr(0, unknown.word.find('=')), options));
    Names known = commands_of(unknown.command);
    if (known.empty()) return fmt::format("{} takes no '{}'", path, shown);
    known.insert(known.end(), options.begin(), options.end());
    return fmt::format("unknown command '{}'{}{}", shown, of, hint(unknown.word, known));
}

} // namespace

std::string refusal(const CLI::App* app, const CLI::Error& error) {
    const auto code = static_cast<CLI::ExitCodes>(error.get_exit_code()); // its name may be the command's
    const bool is_about_words = code == CLI::ExitCodes::RequiredError || code == CLI::ExitCodes::ExtrasError;
    const auto unknown = is_about_words ? first_unknown(*app) : std::optional<Unknown>();
    if (!unknown) return CLI::FailureMessage::simple(app, error);
    return CLI::FailureMessage::simple(app, CLI::ParseError(said_of(*unknown), CLI::ExitCodes::ExtrasError));
}

} // namespace bpftune::cli
