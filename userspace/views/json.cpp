// SPDX-License-Identifier: Apache-2.0
#include "views/json.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <type_traits>
#include <vector>

#include "core/text.hpp"
#include "signals/catalog.hpp"
#include "tunables/catalog.hpp"
#include "views/text.hpp"
#include "views/trouble.hpp"

namespace bpftune::views {
namespace {

Json to_json(const Pod& pod) {
    return {
        {"namespace", pod.ns}, {"name", pod.name}, {"container", pod.container.empty() ? Json() : Json(pod.container)}};
}

Json to_json(const signals::Value& value) {
    return std::visit(
        [](const auto& v) -> Json {
            using Type = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<Type, std::monostate>)
                return nullptr;
            else if constexpr (std::is_same_v<Type, Pod>)
                return to_json(v);
            else
                return v;
        },
        value);
}

Trouble trouble_in(const signals::Table& table, const Snapshot& snapshot, std::size_t row) {
    const auto number = [&](std::size_t signal) {
        const signals::Value value = table.cell(snapshot, row, signal);
        if (const auto* count = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*count);
        const auto* rate = std::get_if<double>(&value);
        return rate != nullptr ? *rate : 0;
    };
    return trouble_of(table, number, [&](std::size_t signal) {
        return !std::holds_alternative<std::monostate>(table.cell(snapshot, row, signal));
    });
}

// At most so many, in their order: the most troubled.
std::vector<std::size_t> shown_rows(const signals::Table& table, const Snapshot& snapshot) {
    std::vector<std::size_t> rows(table.rows(snapshot));
    std::iota(rows.begin(), rows.end(), std::size_t{0});
    if (rows.size() <= most_rows) return rows;
    std::vector<Trouble> troubles;
    troubles.reserve(rows.size());
    for (const std::size_t row : rows) troubles.push_back(trouble_in(table, snapshot, row));
    std::ranges::stable_sort(rows, std::greater{}, [&](std::size_t row) { return troubles[row].key(); });
    rows.resize(most_rows);
    std::ranges::sort(rows);
    return rows;
}

Json row_of(const signals::Table& table, const Snapshot& snapshot, std::size_t row) {
    Json::object_t object;
    object.reserve(table.signals.size()); // one that grows copies all of its values
    for (std::size_t signal = 0; signal < table.signals.size(); ++signal)
        object.emplace_back(table.signals[signal].json, to_json(table.cell(snapshot, row, signal)));
    return object;
}

Json to_json(const Change& change) {
    Json evidence = Json::object();
    for (const auto& [name, value] : change.evidence) evidence[name] = value;
    return {{"id", change.id},
            {"time", to_string(change.time)},
            {"tunable", tunables::row(change.tunable).name},
            {"scope", scope_document(change.tunable, change.scope)},
            {"from", change.from.empty() ? Json() : Json(change.from)},
            {"to", change.to.empty() ? Json() : Json(change.to)},
            {"state", to_string(change.state)},
            {"why", change.why},
            {"evidence", std::move(evidence)},
            {"reaction_us", change.reaction ? Json(change.reaction->count()) : Json()}};
}

Json sizes_of(const SocketSizes& sizes) {
    const auto value = [](const std::optional<std::uint64_t>& bytes) { return bytes ? Json(*bytes) : Json(); };
    return {{"rmem_max", value(sizes.rmem_max)},
            {"wmem_max", value(sizes.wmem_max)},
            {"rmem_default", value(sizes.rmem_default)},
            {"wmem_default", value(sizes.wmem_default)}};
}

Json restraints_document(std::span<const Restraint> restraints) {
    Json array = Json::array();
    for (const Restraint& each : restraints)
        array.push_back({{"by", each.by}, {"mode", each.mode}, {"count", each.count}, {"names", each.names}});
    return array;
}

// What comes before the tables.
Json head_of(const Snapshot& snapshot, const Top& top) {
    Json sources = Json::object();
    for (const Probe probe : all_probes) sources[std::string(to_string(probe))] = to_string(snapshot.source(probe));
    Json document{{"schema", schema},
                  {"time", to_string(snapshot.time.wall)},
                  {"node", snapshot.node},
                  {"mode", top.mode},
                  {"sources", std::move(sources)},
                  {"lost_events", snapshot.lost_events},
                  {"withheld_events", snapshot.withheld_events},
                  {"socket_sizes", sizes_of(snapshot.socket_sizes)}};
    if (top.pods)
        document["pods"] = {{"rung", top.pods->rung}, {"reason", top.pods->why.empty() ? Json() : Json(top.pods->why)}};
    if (top.policy_error) document["policy_error"] = *top.policy_error;
    if (top.mode_reason) document["mode_reason"] = *top.mode_reason;
    if (top.journal_error) document["journal_error"] = *top.journal_error;
    if (top.http_error) document["http_error"] = *top.http_error;
    if (!snapshot.expected.empty()) document["unexpected"] = unexpected_document(top.unexpected);
    if (!top.restraints.empty()) document["held_by_policy"] = restraints_document(top.restraints);
    if (!top.others.empty()) document["other_services"] = services_document(top.others);
    if (top.no_service) document["no_service"] = *top.no_service;
    return document;
}

// For each table that is shown, with the rows of it; then with those that are left out, counted by table.
template <class Take> Json each_table(const Snapshot& snapshot, Take take) {
    Json left_out = Json::object();
    for (const signals::Table& table : signals::catalog()) {
        if (snapshot.source(table.probe) == Rung::none) continue;
        take(table, shown_rows(table, snapshot));
        if (const std::size_t count = table.rows(snapshot); count > most_rows)
            left_out[std::string(table.json)] = count - most_rows;
    }
    return left_out;
}

template <class Rows, class Make> Json array_of(const Rows& rows, Make make) {
    Json array = Json::array();
    for (const auto& row : rows) array.push_back(make(row));
    return array;
}

// The same, to the text of an object that is still open.
template <class Rows, class Make>
void append_array(std::string& text, std::string_view key, const Rows& rows, Make make) {
    text += fmt::format(",\"{}\":[", key);
    for (const auto& row : rows) text += to_text(make(row)) + ',';
    if (text.back() == ',') text.pop_back();
    text += ']';
}

} // namespace

Json top_document(const Snapshot& snapshot, const Top& top) {
    Json document = head_of(snapshot, top);
    Json left_out = each_table(snapshot, [&](const signals::Table& table, const std::vector<std::size_t>& rows) {
        document[std::string(table.json)] =
            array_of(rows, [&](std::size_t row) { return row_of(table, snapshot, row); });
    });
    if (!left_out.empty()) document["left_out"] = std::move(left_out);
    document["changes"] = changes_document(top.changes);
    return document;
}

Json changes_document(std::span<const Change> changes) {
    return array_of(changes, [](const Change& change) { return to_json(change); });
}

Json services_document(std::span<const OtherService> services) {
    Json array = Json::array();
    for (const OtherService& each : services) array.push_back({{"pid", each.pid}, {"state_dir", each.state_dir}});
    return array;
}

Json unexpected_document(std::span<const Unexpected> unexpected) {
    Json array = Json::array();
    for (const Unexpected& each : unexpected)
        array.push_back({{"sysctl", each.name},
                         {"expected", each.expected},
                         {"found", each.found ? Json(*each.found) : Json()},
                         {"why", each.why}});
    return array;
}

Json scope_document(TunableId tunable, const Scope& scope) {
    Json json{{"netns", scope.netns.inode}, {"listener", nullptr}, {"pod", nullptr}};
    if (const auto& listener = scope.listener)
        json["listener"] = {
            {"inode", listener->inode}, {"address", listener->local.address}, {"port", listener->local.port}};
    if (const auto& queue = scope.queue; queue && is_of_interrupt(tunable))
        json["interrupt"] = {{"device", queue->device}, {"ifindex", queue->ifindex}, {"irq", queue->queue}};
    else if (queue)
        json["queue"] = {{"device", queue->device}, {"ifindex", queue->ifindex}, {"queue", queue->queue}};
    if (scope.pod) json["pod"] = {{"namespace", scope.pod->ns}, {"name", scope.pod->name}};
    return json;
}

std::string to_text(const Json& document) { return document.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Row by row: with thousands of them the document would be many times as large as its text.
std::string top_json(const Snapshot& snapshot, const Top& top) {
    std::string text = to_text(head_of(snapshot, top));
    text.pop_back();
    const Json left_out = each_table(snapshot, [&](const signals::Table& table, const std::vector<std::size_t>& rows) {
        append_array(text, table.json, rows, [&](std::size_t row) { return row_of(table, snapshot, row); });
    });
    if (!left_out.empty()) text += ",\"left_out\":" + to_text(left_out);
    append_array(text, "changes", top.changes, [](const Change& change) { return to_json(change); });
    return text + '}';
}

std::string changes_json(std::span<const Change> changes) { return to_text(changes_document(changes)); }

Result<Json> parse_answer(std::string_view text) {
    Json document = Json::parse(text, nullptr, false);
    if (document.is_discarded() || !document.is_object())
        return failure("the answer is not a JSON object: {}", truncated(terminal_safe(text.substr(0, 200)), 60));
    if (const auto error = known_text(document, "error")) return failure("the service says: {}", *error);
    const Json* version = find(document, "schema");
    if (version == nullptr || !version->is_number_integer())
        return failure("the answer has no \"schema\": it is not from bpftune-k8s");
    if (*version != schema)
        return failure("the service speaks schema {} and this program schema {}: use the program of the service's "
                       "version",
                       to_text(*version), schema);
    return document;
}

const Json* find(const Json& object, std::string_view key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> known_text(const Json& object, std::string_view key) {
    const Json* value = find(object, key);
    if (value == nullptr || value->is_array()) return std::nullopt;
    std::string text = value->is_object()   ? pod_text(*value)
                       : value->is_string() ? terminal_safe(value->get_ref<const std::string&>())
                                            : to_text(*value);
    return text.empty() ? std::nullopt : std::optional(std::move(text));
}

std::string text_of(const Json& object, std::string_view key) { return known_text(object, key).value_or("-"); }

double number_of(const Json& object, std::string_view key) {
    const Json* value = find(object, key);
    return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

std::string pod_text(const Json& pod) {
    std::string text;
    for (const std::string_view part : {"namespace", "name", "container"}) {
        const Json* value = find(pod, part);
        if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().empty()) continue;
        if (!text.empty()) text += '/';
        text += terminal_safe(value->get_ref<const std::string&>());
    }
    return text;
}

} // namespace bpftune::views
