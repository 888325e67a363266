// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <algorithm>
#include <regex>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

#include "core/parse.hpp"
#include "policy/keys.hpp"
#include "tunables/codec.hpp"
#include "tunables/device_settings.hpp"
#include "tunables/not_tuned.hpp"
#include "unit/policy/files.hpp"

using namespace bpftune;
using namespace bpftune::policy;
using namespace bpftune::policy::test;
using nlohmann::json;

namespace {

const json& properties(const json& schema, const std::string& key) { return schema.at("properties").at(key); }

// As a policy has it.
std::string text_in(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// As far as the schema uses JSON Schema: objects closed to other keys, required keys, enum, const, pattern, ranges.
void check(const YAML::Node& node, const json& schema, const std::string& path) {
    CAPTURE(path);
    if (schema.contains("properties")) {
        if (node.IsNull()) {
            CHECK(schema.at("type").dump().find("null") != std::string::npos);
            return;
        }
        for (const auto& name : schema.value("required", json::array())) CHECK(node[name.get<std::string>()]);
        for (const auto& entry : node) {
            const auto key = entry.first.as<std::string>();
            INFO(key);
            REQUIRE(schema.at("properties").contains(key));
            check(entry.second, properties(schema, key), path + "." + key);
        }
        return;
    }
    if (node.IsSequence()) {
        for (const auto& item : node) check(item, schema.at("items"), path + "[]");
        return;
    }
    if (node.IsMap()) { // of any names
        for (const auto& entry : node) {
            const auto& names = schema.at("propertyNames").at("pattern").get_ref<const std::string&>();
            CHECK(std::regex_search(entry.first.as<std::string>(), std::regex(names)));
            CHECK(entry.second.IsScalar());
        }
        return;
    }
    const auto text = node.as<std::string>();
    if (schema.contains("const")) CHECK(schema["const"] == text);
    if (schema.contains("enum")) CHECK(std::ranges::find(schema["enum"], text, text_in) != schema["enum"].end());
    const bool is_number = schema.contains("minimum") && text.find_first_not_of("0123456789") == std::string::npos;
    if (schema.contains("pattern") && !is_number) // which goes for texts alone
        CHECK(std::regex_match(text, std::regex(schema["pattern"].get<std::string>())));
    if (!is_number) return;
    CHECK(node.as<std::uint64_t>() >= schema["minimum"].get<std::uint64_t>());
    CHECK(node.as<std::uint64_t>() <= schema["maximum"].get<std::uint64_t>());
}

// What the schema has at the end that grants most.
json most_of(const json& bound, const tunables::Tunable& row) {
    if (!row.words.empty()) return bound.at("enum").back();
    return bound.at(row.counts_down_from > 0 ? "minimum" : "maximum");
}

// Both ways: what the table takes is in the schema, what is in the schema is in the table.
void same_keys(const json& schema, std::span<const Key> keys) {
    CHECK(schema.at("additionalProperties") == false);
    std::size_t taken = 0;
    for (const Key& key : keys) {
        CAPTURE(key.name);
        CHECK(schema.at("properties").contains(std::string(key.name)));
        ++taken;
        if (key.kind == Kind::map) same_keys(properties(schema, std::string(key.name)), key.keys);
        if (key.kind == Kind::list) same_keys(properties(schema, std::string(key.name)).at("items"), key.keys);
    }
    CHECK(schema.at("properties").size() == taken);
}

} // namespace

TEST_CASE("the schema has the keys that the parser takes, and no others") {
    const json parsed = json::parse(schema());
    CHECK(parsed.at("$schema") == "https://json-schema.org/draft/2020-12/schema");
    same_keys(parsed, file_keys);
    const std::regex share(properties(properties(parsed, "spec"), "tenantShare").at("pattern").get<std::string>());
    for (const std::string text : {"10%", "0.5%", "100%", "100.001%", "101%", "10", "1MiB", "%", "1.1234%"}) {
        CAPTURE(text);
        CHECK(std::regex_match(text, share) == parse(with_spec("  tenantShare: " + text + "\n")).has_value());
    }
    const json& tunables = properties(properties(parsed, "spec"), "tunables");
    CHECK(tunables.at("additionalProperties") == false);
    CHECK(tunables.at("properties").size() == tunables::catalog().size());
    for (const tunables::Tunable& row : tunables::catalog()) {
        const json& tunable = properties(tunables, std::string(row.name));
        same_keys(tunable, row.is_cpus ? std::span(tunable_keys).subspan(1) : std::span(tunable_keys));
        CHECK(text_in(properties(tunable, "max").at("default")) == tunables::text_of(row, row.default_max));
        if (!row.is_cpus)
            CHECK(text_in(most_of(properties(tunable, "min"), row)) == tunables::text_of(row, row.kernel_max));
        CHECK(properties(tunable, "shrinkAfter").at("default") ==
              (row.default_shrink_after ? duration_text(*row.default_shrink_after) : "never"));
        CHECK_THAT(tunable.at("description").get<std::string>(), Catch::StartsWith(std::string(row.help)));
        const json& entry = properties(properties(parsed, "spec"), "pods").at("items");
        const json& lowered = properties(properties(entry, "tunables"), std::string(row.name));
        same_keys(lowered, pod_tunable_keys);
        CHECK_FALSE(properties(lowered, "max").contains("default"));
    }
}

TEST_CASE("everything in the schema says what it is for") {
    const json parsed = json::parse(schema());
    for (const auto& property : parsed.at("properties")) CHECK(property.contains("description"));
    for (const auto& property : properties(parsed, "spec").at("properties")) CHECK(property.contains("description"));
}

TEST_CASE("the shipped policies and the shown default satisfy the schema") {
    const json parsed = json::parse(schema());
    for (const auto& path : files("policies", ".yaml")) check(YAML::LoadFile(path), parsed, path.filename());
    check(YAML::Load(show(Policy())), parsed, "default");
}

TEST_CASE("the schema's patterns take what the parser takes") {
    const json parsed = json::parse(schema());
    const json& match = properties(properties(properties(parsed, "spec"), "pods").at("items"), "match");
    const std::regex netns(properties(match, "netns").at("pattern").get<std::string>());
    const std::regex annotation(
        properties(match, "annotations").at("additionalProperties").at("pattern").get<std::string>());
    for (const std::string text : {"lab-*", "a b", "\u00e9", "a\\nb", "\\e[31m", "a\\x7f"}) {
        CAPTURE(text);
        const auto is_taken = [&](const std::string& key) {
            return parse(with_spec("  pods: [{match: {" + key + "}}]\n")).has_value();
        };
        const std::string read = YAML::Load('"' + text + '"').as<std::string>();
        CHECK(std::regex_match(read, netns) == is_taken("netns: \"" + text + '"'));
        CHECK(std::regex_match(read, annotation) == is_taken("annotations: {a: \"" + text + "\"}"));
    }
    const std::regex budget(properties(properties(parsed, "spec"), "memoryBudget").at("pattern").get<std::string>());
    for (const std::string text : {"2%",
                                   "0.5%",
                                   "100%",
                                   "1.125%",
                                   "1.1234%",
                                   ".5%",
                                   "5.%",
                                   "2",
                                   "2 %",
                                   "-1%",
                                   "1KiB",
                                   "512MiB",
                                   "2GiB",
                                   "512MB",
                                   "1.5GiB",
                                   "MiB",
                                   "%",
                                   "1TiB",
                                   "1e1%",
                                   "0100%",
                                   "101%",
                                   "100.001%",
                                   "0200%",
                                   "1000%",
                                   "8589934591GiB",
                                   "4194304GiB",
                                   "17592186044416KiB"}) {
        CAPTURE(text);
        CHECK(std::regex_match(text, budget) == parse(with_spec("  memoryBudget: " + text + "\n")).has_value());
    }
    const json& tunables = properties(properties(parsed, "spec"), "tunables");
    const json& somaxconn = properties(tunables, "net.core.somaxconn");
    const std::regex shrink_after(properties(somaxconn, "shrinkAfter").at("pattern").get<std::string>());
    for (const std::string text : {"24h", "30m", "1s", "500ms", "never", "0h", "24", "h", "1d", "1.5h", "1h30m", "-1h",
                                   "24 h", "Never", "always", "000s", "01s"}) {
        CAPTURE(text);
        const std::string spec = "  tunables:\n    net.core.somaxconn: {shrinkAfter: " + text + "}\n";
        CHECK(std::regex_match(text, shrink_after) == parse(with_spec(spec)).has_value());
    }
}

TEST_CASE("the schema takes of pods' names, labels and units what the parser takes") {
    const json parsed = json::parse(schema());
    const json& entry = properties(properties(parsed, "spec"), "pods").at("items");
    const json& match = properties(entry, "match");
    const auto takes = [](const std::string& key) {
        return parse(with_spec("  pods: [{match: {" + key + "}}]\n")).has_value();
    };
    const auto regex_of = [](const json& schema) { return std::regex(schema.at("pattern").get<std::string>()); };
    for (const std::string text :
         {"shop", "team-*", "a?[bc]", "Shop", "a/b", "a_b", "a b", "a[!b-d]", "!shop", "^a", "a[", "a]", "a[]"})
        CHECK(std::regex_match(text, regex_of(properties(match, "namespace"))) == takes("namespace: \"" + text + "\""));
    for (const std::string text : {"a.service", "*", "a@[12].socket", "a\\x2db.service", "a b.service", "a/b.service",
                                   "!a.service", "a@[.service"})
        CHECK(std::regex_match(text, regex_of(properties(match, "unit"))) == takes("unit: '" + text + "'"));
    for (const std::string text : {"lab-1", "a b", "a/b"})
        CHECK(std::regex_match(text, regex_of(properties(match, "netns"))) == takes("netns: \"" + text + "\""));
    const json& labels = properties(match, "labels");
    const std::string long_name(63, 'a');
    for (const std::string& name : {std::string("app"), std::string("a.b/C_d"), std::string("A.b/c"), std::string("/a"),
                                    std::string("a/"), std::string("a/b/c"), std::string("-a"), std::string("a-"),
                                    long_name, long_name + "a", std::string("a..b/c")}) {
        CAPTURE(name);
        CHECK(std::regex_match(name, regex_of(labels.at("propertyNames"))) == takes("labels: {\"" + name + "\": x}"));
    }
    for (const std::string& value : {std::string(), std::string("a"), std::string("1.10"), std::string("a b"),
                                     std::string("-"), long_name, long_name + "a"}) {
        CAPTURE(value);
        CHECK(std::regex_match(value, regex_of(labels.at("additionalProperties"))) ==
              takes("labels: {a: \"" + value + "\"}"));
    }
}

TEST_CASE("the schema takes numbers with quotes, where the parser does") {
    const json spec = properties(json::parse(schema()), "spec");
    const auto is_in = [](const json& schema, const std::string& text) {
        if (schema.contains("enum")) return std::ranges::find(schema["enum"], json(text)) != schema["enum"].end();
        return schema.at("type").dump().contains("string") &&
               std::regex_match(text, std::regex(schema.at("pattern").get<std::string>()));
    };
    for (const tunables::Tunable& row : tunables::catalog()) {
        if (row.is_cpus) continue; // the next case
        for (const std::string& text : {tunables::text_of(row, row.default_max), std::string("010"),
                                        std::string("0x10"), std::string("1e3"), std::string("65_535")}) {
            CAPTURE(row.name, text);
            const std::string bounds = fmt::format("{{{}: {{max: '{}'}}}}", row.name, text);
            const bool is_taken = parse(with_spec("  tunables: " + bounds + "\n")).has_value();
            CHECK(is_in(properties(properties(properties(spec, "tunables"), std::string(row.name)), "max"), text) ==
                  is_taken);
            const std::string entry = "  pods: [{match: {}, tunables: " + bounds + "}]\n";
            const json& lowered = properties(properties(spec, "pods").at("items"), "tunables");
            CHECK(is_in(properties(properties(lowered, std::string(row.name)), "max"), text) ==
                  parse(with_spec(entry)).has_value());
        }
    }
    const json& series = properties(properties(spec, "metrics"), "maxSeries");
    for (const std::string text : {"5000", "05000", "many"})
        CHECK(is_in(series, text) == parse(with_spec("  metrics: {maxSeries: '" + text + "'}\n")).has_value());
}

TEST_CASE("the schema takes of a set of CPUs what the parser takes") {
    const json parsed = json::parse(schema());
    const json& rps_cpus = properties(properties(properties(parsed, "spec"), "tunables"), "rps_cpus");
    const auto takes = [](const std::string& bound) {
        return parse(with_spec("  tunables: {rps_cpus: {" + bound + "}}\n")).has_value();
    };
    CHECK(rps_cpus.at("properties").contains("min") == takes("min: 1"));
    CHECK(properties(rps_cpus, "shrinkAfter") ==
          json{{"const", "never"},
               {"description", properties(rps_cpus, "shrinkAfter").at("description")},
               {"default", "never"}});
    const json& max = properties(rps_cpus, "max");
    const std::regex cpus(max.at("pattern").get<std::string>());
    for (const std::string text : {"f", "FF", "10", "0", "00", "0,00000000", "1,00000000", "0,00000001", "1,0", "0x3",
                                   "g", "123456789", "1,00000000,00000000", ""}) {
        CAPTURE(text);
        CHECK(std::regex_match(text, cpus) == takes("max: \"" + text + "\""));
    }
    for (const std::uint64_t number : {0ULL, 1ULL, 99999999ULL, 100000000ULL}) {
        CAPTURE(number);
        const bool fits =
            number >= max.at("minimum").get<std::uint64_t>() && number <= max.at("maximum").get<std::uint64_t>();
        CHECK(fits == takes("max: " + std::to_string(number)));
    }
}

TEST_CASE("the schema says of what may be expected and is not tuned why it is not") {
    const json spec = properties(json::parse(schema()), "spec");
    const auto about = properties(spec, "expect").at("propertyNames").at("description").get<std::string>();
    const auto says = [&](std::string_view name, std::string_view why_not) {
        INFO(name);
        CHECK(about.contains(fmt::format("{} is not tuned: {}.", name, why_not)));
    };
    for (const tunables::DeviceSetting& each : tunables::device_settings())
        if (!each.why_not.empty()) says(each.name, each.why_not);
    for (const tunables::NotTuned& each : tunables::not_tuned()) says(each.name, each.why_not);
    CHECK_FALSE(about.contains("smp_affinity is not tuned")); // it is
}
