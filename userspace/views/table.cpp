// SPDX-License-Identifier: Apache-2.0
#include "views/table.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/text.hpp"
#include "core/words.hpp"
#include "signals/catalog.hpp"
#include "views/grid.hpp"
#include "views/history.hpp"
#include "views/text.hpp"
#include "views/trouble.hpp"

namespace bpftune::views {
namespace {

using signals::Join;
using signals::Signal;

constexpr std::size_t changes_shown = 10;

Trouble trouble_in(const signals::Table& table, const Json& row) {
    return trouble_of(
        table, [&](std::size_t i) { return number_of(row, table.signals[i].json); },
        [&](std::size_t i) { return known_text(row, table.signals[i].json).has_value(); });
}

// What a listener that loses connections is limited by, for people who have never heard of it.
std::string what_binds(const Json& row) {
    const std::string limit = text_of(row, "limit");
    const std::string somaxconn = text_of(row, "somaxconn");
    const std::string asked = known_text(row, "asked").value_or("a number that was not seen");
    const std::string binds = text_of(row, "binds");
    if (binds == "application")
        return fmt::format("the application asked for a queue of only {}: raising net.core.somaxconn ({}) cannot help, "
                           "its own backlog setting can, or listener.backlog in the policy",
                           known_text(row, "asked").value_or(limit), somaxconn);
    if (binds == "syn_backlog") // what was lost found the accept queue full
        return fmt::format(
            "{} connections may wait to be accepted (net.core.somaxconn is {}, the application asked for "
            "{}); for handshakes under way net.ipv4.tcp_max_syn_backlog is the smaller limit, syncookies "
            "being off",
            limit, somaxconn, asked);
    if (binds == "unknown") return unknown_wish(limit, somaxconn);
    if (binds != "somaxconn") return {};
    if (limit != somaxconn)
        return fmt::format("net.core.somaxconn is {} now, but the queue keeps the {} of when listen() was called; the "
                           "application asked for {}",
                           somaxconn, limit, asked);
    const bool is_for_more = !known_text(row, "asked") || number_of(row, "asked") > number_of(row, "limit");
    return fmt::format("net.core.somaxconn of its network namespace limits the queue to {}; the application {}", limit,
                       is_for_more ? "asked for " + asked : asked_for_all(asked));
}

struct Row {
    const Json* json = nullptr;
    Trouble trouble;
    std::vector<std::string> notes; // lines below it

    [[nodiscard]] std::size_t lines() const { return 1 + notes.size(); }
};

struct Section {
    const signals::Table* table = nullptr;
    std::vector<Row> rows;    // the most troubled first
    std::size_t lossy = 0;    // that many of them have lost something
    std::size_t troubled = 0; // or say what is wrong
    std::size_t shown = 0;
    std::size_t left_out = 0; // that are not even here, the least troubled
    bool folded = false;      // shares a line with others that are not shown
};

// What was last said of a listener, where that was that no value would help: `history` has the same words.
std::optional<std::string> advice_on(const Json& top, const Json& row) {
    const Json* changes = find(top, "changes");
    if (changes == nullptr || !changes->is_array()) return std::nullopt;
    for (auto change = changes->rbegin(); change != changes->rend(); ++change) {
        const Json* scope = find(*change, "scope");
        const Json* listener = scope != nullptr ? find(*scope, "listener") : nullptr;
        if (listener == nullptr || text_of(*listener, "inode") != text_of(row, "inode") ||
            text_of(*scope, "netns") != text_of(row, "netns"))
            continue;
        if (text_of(*change, "state") == "advice") return known_text(*change, "why");
        return std::nullopt;
    }
    return std::nullopt;
}

std::vector<std::string> notes_of(const Json& top, const signals::Table& table, const Row& row, std::size_t width) {
    std::vector<std::string> lines;
    const auto add = [&](const std::string& text) {
        for (const std::string& line : wrapped(text, width > 24 ? width - 4 : 20)) lines.push_back("    " + line);
    };
    if (row.trouble.lossy() && row.json->contains("binds"))
        add(advice_on(top, *row.json).value_or(what_binds(*row.json)));
    for (const Signal& signal : table.signals)
        if (const auto text = known_text(*row.json, signal.json); text && !signal.note.empty())
            add(fmt::format("{}: {}", signal.note, *text));
    return lines;
}

Section section_of(const Json& top, const signals::Table& table, const Json& rows, std::size_t width) {
    Section section{.table = &table, .rows = {}};
    for (const Json& json : rows) {
        if (!json.is_object()) continue;
        Row row{.json = &json, .trouble = trouble_in(table, json), .notes = {}};
        row.notes = notes_of(top, table, row, width);
        section.lossy += row.trouble.lossy() ? 1 : 0;
        section.troubled += row.trouble.any() ? 1 : 0;
        section.rows.push_back(std::move(row));
    }
    if (const Json* left_out = find(top, "left_out"))
        section.left_out = static_cast<std::size_t>(std::max(0.0, number_of(*left_out, table.json)));
    std::ranges::stable_sort(section.rows, std::greater{}, [](const Row& row) { return row.trouble.key(); });
    return section;
}

std::vector<Section> sections_of(const Json& top, std::size_t width) {
    std::vector<Section> sections;
    for (const signals::Table& table : signals::catalog())
        if (const Json* rows = find(top, table.json); rows != nullptr && rows->is_array())
            sections.push_back(section_of(top, table, *rows, width));
    return sections;
}

// Title, heading and an empty line.
std::size_t frame_of(const Section& section) { return section.rows.empty() ? 2 : 3; }

std::size_t lines_of(const Section& section) {
    std::size_t lines = frame_of(section);
    for (const Row& row : section.rows) lines += row.lines();
    return lines;
}

// Gives every section one row more in turn, up to `most(section)` of them, while lines are left.
template <class Most> void deal(std::vector<Section>& sections, std::size_t& lines, Most most) {
    for (bool dealt = true; dealt;) {
        dealt = false;
        for (Section& section : sections) {
            if (section.folded || section.shown >= most(section)) continue;
            const std::size_t cost = section.rows[section.shown].lines();
            if (cost > lines) continue;
            lines -= cost;
            ++section.shown;
            dealt = true;
        }
    }
}

// Chooses what is shown in `height` lines: first what has lost something or is flooded, then the rest; tables without
// any of it share one line.
void fit(std::vector<Section>& sections, std::size_t height) {
    std::size_t wanted = 0;
    for (const Section& section : sections) wanted += lines_of(section);
    if (wanted <= height) {
        for (Section& section : sections) section.shown = section.rows.size();
        return;
    }
    std::size_t frames = 2; // of the folded
    for (Section& section : sections) {
        section.folded = section.troubled == 0 && &section != &sections.front();
        if (!section.folded) frames += frame_of(section);
    }
    std::size_t lines = height > frames ? height - frames : 0;
    deal(sections, lines, [](const Section& section) { return section.troubled; });
    deal(sections, lines, [](const Section& section) { return section.rows.size(); });
}

// A limit is something to write down elsewhere, and what fills it is compared with it: to the last digit. Of what was
// counted since the start three digits do.
std::string number_text(const Json& value, signals::Kind kind) {
    if (!value.is_number_unsigned()) return short_number(value.get<double>());
    const auto number = value.get<std::uint64_t>();
    return kind == signals::Kind::gauge ? std::to_string(number) : short_number(number);
}

std::string cell_text(const Json& row, const Signal& signal) {
    const Json* value = find(row, signal.json);
    // A label is a name even where it is a number.
    if (value != nullptr && signal.zero_is_no_limit && value->is_number_unsigned() && value->get<std::uint64_t>() == 0)
        return "none";
    if (value != nullptr && value->is_number() && signal.kind != signals::Kind::label)
        return number_text(*value, signal.kind);
    return text_of(row, signal.json);
}

// A cell, and whether it is what its own signal says.
struct Shared {
    Cell cell;
    std::string_view column;
    bool is_own = true;
};

void join(Shared& shared, const Json& row, const Signal& signal) {
    Cell& cell = shared.cell;
    if (signal.join == Join::colon) {
        if (cell.text.find(':') != std::string::npos) cell.text = "[" + cell.text + "]";
        cell.tail = ":" + cell_text(row, signal);
        return;
    }
    const auto text = known_text(row, signal.json);
    if (!text) return;
    if (signal.join == Join::also) {
        cell.text += " + " + *text;
        return;
    }
    if (signal.join == Join::instead || (signal.join == Join::otherwise && cell.text == "-"))
        cell.text = *text;
    else if (signal.join == Join::beside && shared.is_own)
        cell.text += fmt::format(" ({})", *text);
    shared.is_own = false;
}

std::vector<Cell> cells_of(std::span<const Signal> signals, const Json& row) {
    std::vector<Shared> shared;
    for (const Signal& signal : signals) {
        if (signal.join == Join::none) {
            if (!signal.column.empty()) shared.push_back({{cell_text(row, signal)}, signal.column});
        } else {
            const auto with = std::ranges::find(shared, signal.column, &Shared::column);
            join(with != shared.end() ? *with : shared.back(), row, signal);
        }
    }
    std::vector<Cell> cells;
    cells.reserve(shared.size());
    for (Shared& each : shared) cells.push_back(std::move(each.cell));
    return cells;
}

std::vector<Column> columns_of(std::span<const Signal> signals) {
    std::vector<Column> columns;
    for (const Signal& signal : signals)
        if (signal.join == Join::none && !signal.column.empty())
            columns.push_back(
                {std::string(signal.column), signal.width, signal.kind == signals::Kind::label, signal.wide});
    return columns;
}

// Collects lines that fit; the only place that knows about escapes.
class Screen {
public:
    explicit Screen(const TableOptions& options) : options_(options) {}

    void plain(std::string_view text = {}) { out_ += truncated(text, options_.width) + "\n"; }
    void bold(std::string_view text) { styled("\x1b[1m", text); }
    void alarm(std::string_view text) { styled("\x1b[31m", text); }
    [[nodiscard]] std::size_t lines() const { return static_cast<std::size_t>(std::ranges::count(out_, '\n')); }
    [[nodiscard]] std::string text() && { return std::move(out_); }

private:
    void styled(std::string_view escape, std::string_view text) {
        if (!options_.color) return plain(text);
        out_ += fmt::format("{}{}\x1b[0m\n", escape, truncated(text, options_.width));
    }

    TableOptions options_;
    std::string out_;
};

// "Listeners: 44, 2 with loss … 41 more without loss"
std::string title_of(const Section& section) {
    const std::size_t count = section.rows.size() + section.left_out;
    const std::size_t left = count - section.shown;
    const std::size_t lossy_left = section.lossy - std::min(section.lossy, section.shown);
    if (count == 0) return fmt::format("{}: none", section.table->title);
    std::string title = fmt::format("{}: {}, {} with loss", section.table->title, count, section.lossy);
    if (left > 0 && lossy_left == 0) title += fmt::format(" … {} more without loss", left);
    if (left > 0 && lossy_left > 0) title += fmt::format(" … {} more, {} of them with loss", left, lossy_left);
    return title;
}

void print_rows(Screen& screen, const Section& section, std::size_t width) {
    std::vector<Signal> signals(section.table->signals.begin(), section.table->signals.end());
    std::erase_if(signals, [&](const Signal& signal) {
        return signal.sparse && std::ranges::none_of(section.rows, [&](const Row& row) {
                   return find(*row.json, signal.json) != nullptr;
               });
    });
    const std::span<const Row> rows(section.rows.data(), section.shown);
    std::vector<std::vector<Cell>> cells;
    for (const Row& row : rows) cells.push_back(cells_of(signals, *row.json));
    const std::vector<std::string> lines = grid(columns_of(signals), cells, width);
    screen.plain(lines.front());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i].trouble.lossy() ? screen.alarm(lines[i + 1]) : screen.plain(lines[i + 1]);
        for (const std::string& note : rows[i].notes) screen.plain(note);
    }
}

void print_sections(Screen& screen, const std::vector<Section>& sections, std::size_t width) {
    std::string folded;
    for (const Section& section : sections) {
        if (section.folded) {
            folded += fmt::format("{}{}: {}", folded.empty() ? "Without loss: " : "; ", section.table->title,
                                  section.rows.size() + section.left_out);
            continue;
        }
        screen.bold(title_of(section));
        if (section.shown > 0) print_rows(screen, section, width);
        screen.plain();
    }
    if (folded.empty()) return;
    screen.plain(folded);
    screen.plain();
}

std::string sources_of(const Json& top) {
    const Json* sources = find(top, "sources");
    if (sources == nullptr || !sources->is_object()) return "-";
    std::string text;
    for (const auto& [probe, source] : sources->items())
        text += fmt::format("{}{} by {}", text.empty() ? "" : ", ", terminal_safe(probe), text_of(*sources, probe));
    return text;
}

// JSON and doctor have all of the reason.
void print_pods(Screen& screen, const Json& top, std::size_t width) {
    const Json* pods = find(top, "pods");
    if (pods == nullptr) return;
    const auto reason = known_text(*pods, "reason");
    screen.plain(truncated(
        fmt::format("pods: named by {}{}{}", text_of(*pods, "rung"), reason ? ": " : "", reason.value_or("")), width));
}

void print_unexpected(Screen& screen, const Json& top, std::size_t width) {
    const Json* rows = find(top, "unexpected");
    if (rows == nullptr || !rows->is_array()) return;
    for (const Json& row : *rows) {
        const std::string text =
            fmt::format("{} is {}, expected {}: {}", text_of(row, "sysctl"),
                        known_text(row, "found").value_or("not known"), text_of(row, "expected"), text_of(row, "why"));
        for (const std::string& line : wrapped(text, width)) screen.alarm(line);
    }
}

// "shop/db-0, shop/db-1 and 12 more"
std::string names_in(const Json& row) {
    std::string names;
    double named = 0;
    if (const Json* list = find(row, "names"); list != nullptr && list->is_array())
        for (const Json& name : *list)
            if (name.is_string())
                names += fmt::format("{}{}", named++ == 0 ? "" : ", ", terminal_safe(name.get<std::string>()));
    const double more = number_of(row, "count") - named;
    return more > 0 ? fmt::format("{} and {:.0f} more", names, more) : names;
}

// A screen has other things to show as well.
void print_restraints(Screen& screen, const Json& top, std::size_t width) {
    constexpr std::size_t most_lines = 4;
    const Json* rows = find(top, "held_by_policy");
    if (rows == nullptr || !rows->is_array()) return;
    for (std::size_t i = 0; i < std::min(rows->size(), most_lines); ++i) {
        const Json& row = (*rows)[i];
        screen.plain(
            truncated(fmt::format("{}, mode {}: {}", text_of(row, "by"), text_of(row, "mode"), names_in(row)), width));
    }
    if (rows->size() > most_lines)
        screen.plain(truncated(fmt::format("and {} more of these: -o json has all", rows->size() - most_lines), width));
}

void print_others(Screen& screen, const Json& top, std::size_t width) {
    const Json* others = find(top, "other_services");
    if (others == nullptr || !others->is_array()) return;
    for (const Json& other : *others)
        for (const std::string& line :
             wrapped(fmt::format("Another service runs on this kernel, pid {}, with the state directory {}: each takes "
                                 "what the other sets for somebody else's. Stop one of them",
                                 text_of(other, "pid"), text_of(other, "state_dir")),
                     width))
            screen.alarm(line);
}

void print_header(Screen& screen, const Json& top, std::size_t width) {
    if (const auto alone = known_text(top, "no_service"))
        for (const std::string& line : wrapped(*alone, width)) screen.alarm(line);
    screen.bold(fmt::format("{}  {}  mode {}  events lost {}", local_text(text_of(top, "time")), text_of(top, "node"),
                            text_of(top, "mode"), text_of(top, "lost_events")));
    for (const std::string& line : wrapped("measured: " + sources_of(top), width)) screen.plain(line);
    print_pods(screen, top, width);
    if (const auto reason = known_text(top, "mode_reason"))
        for (const std::string& line : wrapped(*reason, width)) screen.alarm(line);
    if (const auto reason = known_text(top, "journal_error"))
        for (const std::string& line :
             wrapped("Nothing is written, because no change can be recorded: " + *reason, width))
            screen.alarm(line);
    if (const auto reason = known_text(top, "http_error"))
        for (const std::string& line : wrapped("No metrics are served: " + *reason, width)) screen.alarm(line);
    print_others(screen, top, width);
    print_restraints(screen, top, width);
    print_unexpected(screen, top, width);
    const Json* error = find(top, "policy_error");
    if (error != nullptr && error->is_string()) {
        screen.alarm("The policy was not reloaded, the old one stays:");
        // Diagnostics have lines of their own, with carets below their places.
        std::istringstream lines(error->get<std::string>());
        for (std::string line; std::getline(lines, line);) screen.alarm(truncated(terminal_safe(line), width));
    }
    screen.plain();
}

// Newest first.
std::vector<std::string> change_lines(const Json& top, const TableOptions& options) {
    std::vector<std::string> lines;
    const Json* changes = find(top, "changes");
    if (changes == nullptr || !changes->is_array()) return lines;
    std::size_t most = std::min(changes->size(), changes_shown);
    if (options.height > 0) most = std::min(most, std::max<std::size_t>(options.height / 6, 1));
    for (std::size_t i = 0; i < most; ++i)
        lines.push_back(change_line((*changes)[changes->size() - 1 - i], options.width));
    return lines;
}

} // namespace

Result<std::string> top_table(const Json& top, const TableOptions& options) {
    if (!top.is_object()) return failure("not a JSON object");
    Screen screen(options);
    print_header(screen, top, options.width);
    const std::vector<std::string> changes = change_lines(top, options);
    std::vector<Section> sections = sections_of(top, options.width);
    const std::size_t used = screen.lines() + 1 + changes.size();
    fit(sections, options.height == 0 ? SIZE_MAX : options.height - std::min(options.height, used));
    print_sections(screen, sections, options.width);
    screen.bold(changes.empty() ? "Changes: none" : "Changes, newest first");
    for (const std::string& line : changes) screen.plain(line);
    return std::move(screen).text();
}

} // namespace bpftune::views
