// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/parse.hpp"
#include "policy/checker.hpp"
#include "policy/keys.hpp"
#include "tunables/codec.hpp"
#include "tunables/device_settings.hpp"
#include "tunables/not_tuned.hpp"

namespace bpftune::policy {
namespace {

using nlohmann::ordered_json;

ordered_json object_of(std::span<const Key> keys, const tunables::Tunable* tunable);

// As YAML takes it.
ordered_json json_of(const tunables::Tunable& tunable, std::uint64_t value) {
    const std::string text = text_of(tunable, value);
    const auto number = parse_number(text);
    return number ? ordered_json(*number) : ordered_json(text);
}

// Numbers with quotes as well.
ordered_json words_of(const tunables::Tunable& tunable) {
    ordered_json words = ordered_json::array();
    for (std::uint64_t value = tunable.kernel_min; value <= tunable.kernel_max; ++value) {
        const ordered_json word = json_of(tunable, value);
        words.push_back(word);
        if (word.is_number()) words.push_back(text_of(tunable, value));
    }
    return {{"enum", std::move(words)}};
}

// With quotes or without; of those with quotes the range is not compared.
constexpr std::string_view digits = "0|[1-9][0-9]*";

ordered_json number_of(ordered_json least, ordered_json most) {
    return {{"type", {"integer", "string"}},
            {"minimum", std::move(least)},
            {"maximum", std::move(most)},
            {"pattern", fmt::format("^({})$", digits)}};
}

// Hexadecimal, with quotes or, of decimal digits alone, without; one of them at least.
ordered_json cpus() {
    return {{"type", {"string", "integer"}},
            {"pattern", "^(?![0,]*$)[0-9a-fA-F]{1,8}(,[0-9a-fA-F]{8})?$"},
            {"minimum", 1},
            {"maximum", 99999999}};
}

ordered_json count_of(const tunables::Tunable* tunable) {
    if (tunable == nullptr) return {{"type", {"integer", "string"}}, {"pattern", fmt::format("^({})$", digits)}};
    if (!tunable->words.empty()) return words_of(*tunable);
    if (tunable->is_cpus) return cpus();
    ordered_json least = json_of(*tunable, tunable->kernel_min);
    ordered_json most = json_of(*tunable, tunable->kernel_max);
    if (tunable->counts_down_from > 0) std::swap(least, most);
    ordered_json number = number_of(std::move(least), std::move(most));
    if (tunable->unit == tunables::Unit::count) return number;
    if (tunable->granule > 1) number["multipleOf"] = tunable->granule;
    number["pattern"] = fmt::format("^({}|[0-9]+(KiB|MiB|GiB))$", digits);
    return number;
}

ordered_json one_of(std::span<const std::string_view> choices) {
    if (choices.size() == 1) return {{"const", choices.front()}};
    return {{"type", "string"}, {"enum", choices}};
}

// A tunable may be named without a value.
ordered_json tunable_of(const Key& key, const tunables::Tunable& tunable) {
    ordered_json out = object_of(key.keys, &tunable);
    out["type"] = {"object", "null"};
    out["description"] = fmt::format("{} Risk: {}", tunable.help, tunable.risk);
    if (key.keys.data() != tunable_keys.data()) return out; // what only lowers has no defaults
    out["properties"]["max"]["default"] = json_of(tunable, tunable.default_max);
    const auto& shrink_after = tunable.default_shrink_after;
    out["properties"]["shrinkAfter"]["default"] = shrink_after ? duration_text(*shrink_after) : std::string(never);
    return out;
}

ordered_json tunables_of(const Key& key) {
    ordered_json properties = ordered_json::object();
    for (const tunables::Tunable& tunable : tunables::catalog())
        properties[std::string(tunable.name)] = tunable_of(key, tunable);
    return {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
}

// Sysctls below net, and what devices have that is none.
std::string expected_names() {
    std::string names = "^(net[./].*";
    for (const tunables::DeviceSetting& setting : tunables::device_settings())
        names += fmt::format("|{}", setting.name);
    return names + ")$";
}

std::string about_expected_names() {
    std::string text = "A sysctl, or a file that each queue or interrupt of the node's network devices has.";
    for (const tunables::DeviceSetting& setting : tunables::device_settings())
        if (!setting.why_not.empty()) text += fmt::format(" {} is not tuned: {}.", setting.name, setting.why_not);
    for (const tunables::NotTuned& each : tunables::not_tuned())
        text += fmt::format(" {} is not tuned: {}.", each.name, each.why_not);
    return text;
}

ordered_json sysctls() {
    return {{"type", "object"},
            {"maxProperties", most_expected},
            {"propertyNames",
             {{"pattern", expected_names()}, {"maxLength", longest_sysctl}, {"description", about_expected_names()}}},
            {"additionalProperties", {{"type", {"integer", "string"}}, {"maxLength", longest_sysctl}}}};
}

// In a class of a regular expression each letter for itself.
std::string class_of(std::string_view letters) {
    std::string out;
    for (const char c : letters) {
        if (std::string_view("\\]^-[").contains(c)) out += '\\';
        out += c;
    }
    return out;
}

constexpr std::string_view controls = "\\x00-\\x1f\\x7f"; // those of ASCII, in a class

// Letters, and classes of them.
ordered_json pattern_of(const Key& key) {
    const std::string pattern = key.letters.empty()
                                    ? fmt::format("^[^/{}]*$", controls)
                                    : fmt::format("^([{0}*?]|\\[[!\\^]?[{0}]+\\])*$", class_of(key.letters));
    return {{"type", "string"}, {"minLength", 1}, {"maxLength", longest_pattern}, {"pattern", pattern}};
}

// YAML has a label of digits alone, or "true", as a number or a boolean unless it is quoted.
ordered_json labels_of(const Key& key) {
    const std::string plain = fmt::format("[A-Za-z0-9]([-A-Za-z0-9_.]{{0,{}}}[A-Za-z0-9])?", longest_label - 2);
    const std::string part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    ordered_json value{{"type", {"string", "number", "boolean"}}};
    if (key.kind == Kind::annotations) value["maxLength"] = longest_annotation;
    value["pattern"] =
        key.kind == Kind::annotations ? fmt::format("^[^{}]*$", controls) : fmt::format("^({})?$", plain);
    return {{"type", "object"},
            {"minProperties", 1},
            {"maxProperties", most_labels},
            {"propertyNames", {{"pattern", fmt::format("^({0}(\\.{0})*/)?{1}$", part, plain)}}},
            {"additionalProperties", std::move(value)}};
}

ordered_json list_of(const Key& key, const tunables::Tunable* tunable) {
    return {{"type", "array"}, {"maxItems", most_entries}, {"items", object_of(key.keys, tunable)}};
}

// Up to 100%, and sizes to the digits of the largest.
constexpr auto percentage_pattern = "^0*(100(\\.0{1,3})?|[0-9]{1,2}(\\.[0-9]{1,3})?)%$";
constexpr auto budget_pattern = "^0*((100(\\.0{1,3})?|[0-9]{1,2}(\\.[0-9]{1,3})?)%|[0-9]{1,13}KiB|[0-9]{1,10}MiB|"
                                "[0-9]{1,7}GiB)$";

ordered_json type_of(const Key& key, const tunables::Tunable* tunable) {
    switch (key.kind) {
    case Kind::choice: return one_of(key.choices);
    case Kind::name: return {{"type", "string"}, {"pattern", "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}};
    case Kind::budget: return {{"type", "string"}, {"pattern", budget_pattern}};
    case Kind::percentage: return {{"type", "string"}, {"pattern", percentage_pattern}};
    case Kind::count: return count_of(tunable);
    case Kind::number: return number_of(key.least, key.most);
    case Kind::duration:
        if (tunable != nullptr && !tunable->use_is_seen) return {{"const", never}};
        return {{"type", "string"}, {"pattern", "^(never|0*[1-9][0-9]*(ms|s|m|h|d))$"}};
    case Kind::map: return object_of(key.keys, tunable);
    case Kind::tunables: return tunables_of(key);
    case Kind::list: return list_of(key, tunable);
    case Kind::pattern: return pattern_of(key);
    case Kind::sysctls: return sysctls();
    case Kind::labels:
    case Kind::annotations: return labels_of(key);
    }
    std::unreachable();
}

// `tunable`: whose bounds these keys are, if any's.
ordered_json object_of(std::span<const Key> keys, const tunables::Tunable* tunable) {
    ordered_json properties = ordered_json::object();
    ordered_json required = ordered_json::array();
    for (const Key& key : keys) {
        if (!applies_to(key, tunable)) continue;
        ordered_json property = type_of(key, tunable);
        property["description"] = key.help;
        if (const auto number = parse_number(key.fallback))
            property["default"] = *number;
        else if (!key.fallback.empty())
            property["default"] = key.fallback;
        properties[std::string(key.name)] = std::move(property);
        if (key.required) required.push_back(key.name);
    }
    ordered_json out{{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
    if (!required.empty()) out["required"] = std::move(required);
    return out;
}

} // namespace

std::string schema() {
    ordered_json out{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", kinds[0]}};
    out.update(object_of(file_keys, nullptr));
    return out.dump(2) + "\n";
}

} // namespace bpftune::policy
