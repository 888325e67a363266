// SPDX-License-Identifier: Apache-2.0
// The documents that every other view renders: `top -o json` and `history -o json`. The service sends them, and `top`
// without a service makes its own, so that there is one path to the screen.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/change.hpp"
#include "core/result.hpp"
#include "core/snapshot.hpp"

namespace bpftune::views {

using Json = nlohmann::ordered_json; // fields stay in the order in which the documentation has them

inline constexpr int schema = 1;

// How pods are called: by "cri", "logs", "cgroup", or "none".
struct NamedBy {
    std::string rung;
    std::string why; // not by the container runtime; empty: it is
};

struct Top {
    std::string_view mode;                         // observe, recommend or auto
    std::span<const Change> changes;               // oldest first
    std::optional<std::string> policy_error;       // why the last reload of the policy failed
    std::optional<std::string> mode_reason;        // why it is a lower one than was asked for
    std::optional<std::string> journal_error = {}; // why nothing can be recorded, and so nothing is written
    std::optional<std::string> http_error = {};    // why no metrics are served, though they are wanted
    std::span<const Unexpected> unexpected = {};   // of the sysctls that the policy expects
    std::span<const Restraint> restraints = {};    // by the policy's entries and pods' annotations
    std::span<const OtherService> others = {};     // each takes what this one sets for somebody else's
    std::optional<NamedBy> pods = {};
    std::optional<std::string> no_service = {}; // what was looked with instead, and what that means
};

// Of a table. What is left out is counted in the document's "left_out", by the table's key; it is the least troubled.
inline constexpr std::size_t most_rows = 1000;

// A table whose probe has no rung on this node has no key.
Json top_document(const Snapshot& snapshot, const Top& top);
Json changes_document(std::span<const Change> changes);
Json scope_document(TunableId tunable, const Scope& scope); // `scope` of a change

Json unexpected_document(std::span<const Unexpected> unexpected);

Json services_document(std::span<const OtherService> services);

// On one line, without a newline. Never throws on any bytes: what is no UTF-8 becomes U+FFFD.
std::string to_text(const Json& document);
std::string top_json(const Snapshot& snapshot, const Top& top);
std::string changes_json(std::span<const Change> changes);

// What a service of this or another version sent, as far as it can be shown: an object of a schema that is known.
Result<Json> parse_answer(std::string_view text);

// For documents that others may have made. The field, or nullptr where it is missing or null.
const Json* find(const Json& object, std::string_view key);
// Made safe for a terminal; nullopt for what is missing, empty or has no place in a table (an array).
std::optional<std::string> known_text(const Json& object, std::string_view key);
std::string text_of(const Json& object, std::string_view key); // "-" for nullopt
double number_of(const Json& object, std::string_view key);    // 0 for what is no number
// "shop/web-0/nginx"; empty for what is no pod
std::string pod_text(const Json& pod);

} // namespace bpftune::views
