// SPDX-License-Identifier: Apache-2.0
#include "views/reference.hpp"

#include <string_view>

#include <fmt/format.h>

#include "core/parse.hpp"
#include "signals/catalog.hpp"
#include "signals/sight.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::views {
namespace {

std::string_view kind_of(signals::Kind kind) {
    switch (kind) {
    case signals::Kind::label: return "label";
    case signals::Kind::gauge: return "gauge";
    case signals::Kind::counter: return "counter";
    }
    return "";
}

std::string_view labels_of(signals::Labels labels) {
    switch (labels) {
    case signals::Labels::none: return "none";
    case signals::Labels::pod: return "`namespace`, `pod`, `container` (empty for what belongs to no pod)";
    case signals::Labels::cpu: return "`cpu`";
    case signals::Labels::family: return "`family`";
    case signals::Labels::protocol: return "`protocol`";
    }
    return "";
}

std::string_view folded_as(const signals::Signal& signal) {
    if (signal.kind == signals::Kind::counter) return "";
    switch (signal.aggregate) {
    case signals::Aggregate::sum: return "";
    case signals::Aggregate::max: return ", the largest";
    case signals::Aggregate::min: return ", the least";
    }
    return "";
}

std::string metric_of(const signals::Signal& signal) {
    if (signal.metric.empty()) return "";
    return fmt::format("`{}`{}{}", signal.metric, folded_as(signal), signal.by_pod ? ", by pod" : "");
}

std::string section_of(const signals::Table& table) {
    std::string text =
        fmt::format("\n## {}\n\n`{}` in `top -o json`, measured by the probe `{}`. Labels of its metrics: {}.\n\n"
                    "| field | kind | meaning | metric | in the kernel |\n|---|---|---|---|---|\n",
                    table.title, table.json, to_string(table.probe), labels_of(table.labels));
    for (const signals::Signal& signal : table.signals)
        text += fmt::format("| `{}` | {} | {} | {} | `{}` |\n", signal.json, kind_of(signal.kind), signal.help,
                            metric_of(signal), signal.source);
    return text;
}

// Only what is not exact: the rest of the table would say one word.
std::string rungs_section() {
    std::string text = "\n## What a method of measuring does not see\n\n"
                       "Each probe takes the best of its methods (`--rung`) that this kernel and these rights allow; "
                       "`sources` says which, `doctor` why. Whatever is not in this table is exact by every method; "
                       "what a test compares on each kernel is in [parity.md](parity.md).\n\n"
                       "| signal | method | sees it | what is lost |\n|---|---|---|---|\n";
    for (const signals::Limitation& each : signals::limitations())
        text += fmt::format("| `{}` | {} | {}{} | {} |\n", each.signal, to_string(each.rung), to_string(each.sight),
                            each.where.empty() ? "" : fmt::format(", {}", each.where), each.what);
    return text;
}

std::string_view scope_of(tunables::Kind kind) {
    switch (kind) {
    case tunables::Kind::netns_sysctl: return "sysctl, one value for each network namespace";
    case tunables::Kind::host_sysctl: return "sysctl, one value for the node";
    case tunables::Kind::listener: return "one value for each listening socket";
    case tunables::Kind::udp_buffer: return "one value for each UDP socket";
    case tunables::Kind::rx_queue: return "one value for each receive queue of a network device";
    case tunables::Kind::interrupt: return "one value for each interrupt of a network device of the node";
    }
    return "";
}

std::string memory_of(const tunables::Tunable& tunable) {
    if (tunable.unit_bytes == 0) return std::string(tunable.memory);
    const std::string worst =
        tunable.worst_unit_bytes == tunable.unit_bytes ? "" : fmt::format(", {} at worst", tunable.worst_unit_bytes);
    return fmt::format("{}. Where the kernel does not tell: {} bytes{}", tunable.memory, tunable.unit_bytes, worst);
}

std::string given_back(const tunables::Tunable& tunable) {
    if (!tunable.use_is_seen) return "never: how much of it is needed is not seen";
    const std::optional<Nanoseconds>& calm = tunable.default_shrink_after;
    return calm ? fmt::format("after a quiet period of {} (`shrinkAfter`), by half at most", duration_text(*calm))
                : "never, unless the policy's `shrinkAfter` says when";
}

std::string raised_when(const tunables::Tunable& tunable) {
    if (tunable.judged_by == tunables::JudgedBy::throughput)
        return fmt::format("`{}` has nothing left on one CPU", tunable.serves);
    if (tunable.serves.empty()) return "a policy's `min` is more; nothing that is seen raises it";
    if (tunable.judged_by == tunables::JudgedBy::nothing)
        return fmt::format("`{}` grows for sockets that this is too small for", tunable.serves);
    return fmt::format("`{}` grows", tunable.serves);
}

// The least number first: of what is only lowered, more is less.
std::string range_of(const tunables::Tunable& tunable) {
    const std::string from = tunables::text_of(tunable, tunable.kernel_min);
    const std::string to = tunables::text_of(tunable, tunable.kernel_max);
    return tunable.counts_down_from > 0 ? fmt::format("{} to {}, and it is only lowered", to, from)
                                        : fmt::format("{} to {}", from, to);
}

std::string opt_in_of(const tunables::Tunable& tunable) {
    if (!tunable.opt_in && tunable.follows)
        return fmt::format("no: it goes with `{}`", tunables::row(*tunable.follows).name);
    if (!tunable.opt_in) return "no: follows `spec.mode`";
    if (tunable.opt_in_where.empty()) return "yes: only a policy that names it allows it";
    return fmt::format("{}: only a policy that names it allows that; else it follows `spec.mode`",
                       tunable.opt_in_where);
}

std::string section_of(const tunables::Tunable& tunable) {
    const bool is_lowered = tunable.counts_down_from > 0;
    const std::string_view moved = is_lowered ? "lowered" : "raised";
    return fmt::format("\n## {}\n\n{}\n\n"
                       "| | |\n|---|---|\n"
                       "| scope | {} |\n"
                       "| {} when | {} |\n"
                       "| {} without a policy's `max` | to at {} {} |\n"
                       "| {} | {} |\n"
                       "| opt-in | {} |\n"
                       "| memory | {} |\n"
                       "| risk | {} |\n"
                       "| in the kernel | `{}` |\n"
                       "| {} to | {} |\n"
                       "| because | {} |\n"
                       "| assuming | {} |\n"
                       "| given back | {} |\n",
                       tunable.name, tunable.help, scope_of(tunable.kind), moved, raised_when(tunable), moved,
                       is_lowered ? "least" : "most", tunables::text_of(tunable, tunable.default_max),
                       is_lowered ? "may be" : "the kernel takes", range_of(tunable), opt_in_of(tunable),
                       memory_of(tunable), tunable.risk, tunable.source, moved, tunable.formula, tunable.derived,
                       tunable.assumes, given_back(tunable));
}

} // namespace

std::string signals_reference() {
    std::string text =
        "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        "<!-- Made from userspace/signals/catalog.cpp: do not edit. -->\n"
        "# Signals\n\n"
        "What is measured. Counters are since the start of the source (the service, or `top` without "
        "one); rates are per second over the last interval; null means unknown, never zero. A table "
        "whose probe is unavailable on a node is not there. As metrics, rows that have the same labels "
        "are one series: counters are summed, gauges too unless the table says otherwise; rates of counters have "
        "no metric, use `rate()` of the counter. A metric *by pod* has series for each pod; in others all pods "
        "together are one, `namespace=\"\"`, `pod=\"other\"`, `container=\"\"`, and so are in all of them the pods "
        "beyond "
        "the budget of series (`metrics.maxSeries`). Beyond 32 CPUs there is one series for all, `cpu=\"all\"`. "
        "[operations.md](operations.md#metrics) has what the service tells of itself.\n";
    for (const signals::Table& table : signals::catalog()) text += section_of(table);
    text += rungs_section();
    return text;
}

std::string tunables_reference() {
    std::string text = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
                       "<!-- Made from userspace/tunables: do not edit. -->\n"
                       "# Tunables\n\n"
                       "What may be raised, each only as far as the policy allows. The original value is in the "
                       "journal before the first write; `bpftune-k8s restore` puts it back.\n";
    for (const tunables::Tunable& tunable : tunables::catalog()) text += section_of(tunable);
    return text;
}

} // namespace bpftune::views
