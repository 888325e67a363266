// SPDX-License-Identifier: Apache-2.0
#include "service/request.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "core/text.hpp"

namespace bpftune::service {
namespace {

using Json = nlohmann::json;

// As Request::Command.
constexpr std::array<std::string_view, 5> commands{"top", "restore", "record", "policy", "health"};
constexpr std::string_view known_commands = R"("top", "restore", "record", "policy" or "health")";

struct Flag {
    std::string_view key;
    Request::Command of = Request::Command::top;
    bool Request::* value = nullptr;
};
constexpr std::array flags{Flag{"dry_run", Request::Command::restore, &Request::dry_run},
                           Flag{"now", Request::Command::restore, &Request::now}};

struct Word {
    std::string_view key;
    Request::Command of = Request::Command::top;
    std::string Request::* value = nullptr;
};
constexpr std::array words{Word{"pod", Request::Command::policy, &Request::pod}};

std::string did_you_mean(std::string_view word, const auto& candidates) {
    const std::string_view meant = nearest(word, candidates);
    return meant.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", meant);
}

// The library keeps the last of two values for one key and says nothing.
Result<Json> parse_object(std::string_view line) {
    if (const std::size_t place = line.find('\0'); place != std::string_view::npos) // ends it for the library
        return failure("column {}: no JSON object in one line: a NUL byte", place + 1);
    std::set<std::string> keys;
    std::optional<std::string> twice;
    const auto note = [&](int depth, Json::parse_event_t event, const Json& value) {
        if (event != Json::parse_event_t::key || depth != 1) return true;
        if (const auto& key = value.get_ref<const std::string&>(); !keys.insert(key).second) twice = key;
        return true;
    };
    try {
        Json object = Json::parse(line, note);
        if (!object.is_object())
            return failure(R"(the request is no object but of type {}: {{"command": "top"}} would be one)",
                           object.type_name());
        if (twice) return failure("\"{}\": given twice", printable(*twice));
        return object;
    } catch (const Json::parse_error& error) {
        const std::string_view what = error.what();
        const std::size_t place = what.find(": "); // "[...] parse error at line 1, column 2: syntax error ..."
        return failure("column {}: no JSON object in one line: {}", error.byte,
                       printable(place == std::string_view::npos ? what : what.substr(place + 2)));
    } catch (const Json::exception& error) { // a number that no double holds
        return failure("no JSON object in one line: {}", printable(error.what()));
    }
}

Result<Request::Command> command_of(const Json& object) {
    const auto command = object.find("command");
    if (command == object.end()) return failure("\"command\": missing; {}", known_commands);
    if (!command->is_string())
        return failure("\"command\": a string is wanted, not a {}; {}", command->type_name(), known_commands);
    const auto& name = command->get_ref<const std::string&>();
    const auto found = std::ranges::find(commands, name);
    if (found == commands.end())
        return failure("\"command\": there is no \"{}\", but {}{}", printable(name), known_commands,
                       did_you_mean(name, commands));
    return static_cast<Request::Command>(found - commands.begin());
}

Result<> check_version(const Json& version) {
    if (!version.is_number_integer())
        return failure("\"version\": a whole number is wanted, not a {}", version.type_name());
    if (version != api_version) return failure("\"version\": {} is spoken here, not {}", api_version, version.dump());
    return {};
}

Error unknown_key(const Request& request, const std::string& key) {
    std::vector<std::string_view> known{"command", "version"};
    const auto add = [&](const auto& others) {
        for (const auto& other : others)
            if (other.of == request.command) known.push_back(other.key);
    };
    add(flags);
    add(words);
    return {fmt::format("\"{}\": not known for \"{}\"{}", printable(key),
                        commands.at(static_cast<std::size_t>(request.command)), did_you_mean(key, known))};
}

Result<> take_key(Request& request, const std::string& key, const Json& value) {
    const auto is_meant = [&](const auto& known) { return known.key == key && known.of == request.command; };
    if (const auto* flag = std::ranges::find_if(flags, is_meant); flag != flags.end()) {
        if (!value.is_boolean()) return failure("\"{}\": true or false is wanted, not a {}", key, value.type_name());
        request.*flag->value = value.get<bool>();
        return {};
    }
    const auto* word = std::ranges::find_if(words, is_meant);
    if (word == words.end()) return std::unexpected(unknown_key(request, key));
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
        return failure("\"{}\": a name is wanted, not {}", key, truncated(printable(value.dump()), 30));
    request.*word->value = value.get<std::string>();
    return {};
}

} // namespace

Result<Request> parse_request(std::string_view line) {
    const auto object = parse_object(line);
    if (!object) return std::unexpected(object.error());
    // Before all else: another version may have other keys and commands.
    if (const auto version = object->find("version"); version != object->end())
        if (auto checked = check_version(*version); !checked) return std::unexpected(checked.error());
    const auto command = command_of(*object);
    if (!command) return std::unexpected(command.error());
    Request request{.command = *command};
    for (const auto& [key, value] : object->items()) {
        if (key == "command" || key == "version") continue;
        if (auto taken = take_key(request, key, value); !taken) return std::unexpected(taken.error());
    }
    return request;
}

} // namespace bpftune::service
