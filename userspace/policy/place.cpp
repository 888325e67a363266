// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <optional>

#include <fmt/format.h>

#include "policy/document.hpp"

namespace bpftune::policy {
namespace {

const Element* value_of(const Element& map, std::string_view key) {
    for (std::size_t i = 0; i < map.keys.size(); ++i)
        if (map.keys[i].text == key) return &map.values[i];
    return nullptr;
}

// `holder`: spec, or an entry of pods.
std::optional<Place> place_in(const Element& holder, std::string_view name) {
    for (const std::string_view section : {"tunables", "expect"})
        if (const Element* const map = value_of(holder, section))
            for (const Element& key : map->keys)
                if (key.text == name) return key.place;
    return std::nullopt;
}

std::optional<Place> place_in_file(const Element& root, std::string_view name) {
    const Element* const spec = value_of(root, "spec");
    if (spec == nullptr) return std::nullopt;
    if (const auto place = place_in(*spec, name)) return place;
    if (const Element* const pods = value_of(*spec, "pods"))
        for (const Element& entry : pods->values)
            if (const auto place = place_in(entry, name)) return place;
    return std::nullopt;
}

} // namespace

std::string place_of(std::string_view text, std::string_view name) {
    const auto document = read(text);
    const auto place = document ? place_in_file(document->root, name) : std::nullopt;
    if (!place) return {};
    std::vector<Diagnostic> one{{.line = place->line, .column = place->column, .message = {}, .hint = {}}};
    count_code_points(text, one);
    return fmt::format("{}:{}", one.front().line, one.front().column);
}

} // namespace bpftune::policy
