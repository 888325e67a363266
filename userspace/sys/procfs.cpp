// SPDX-License-Identifier: Apache-2.0
#include "sys/procfs.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace bpftune::sys {
namespace {

// Cuts the text up to `separator` off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) {
    const std::string_view front = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(front.size() + 1, text.size()));
    return front;
}

std::vector<std::string_view> words_of(std::string_view line, char separator = ' ') {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        const std::string_view word = take_until(line, separator);
        if (!word.empty()) words.push_back(word);
    }
    return words;
}

std::optional<std::uint64_t> number(std::string_view word, int base) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return value;
}

Result<std::vector<std::uint64_t>> hex_row(std::string_view line) {
    std::vector<std::uint64_t> row;
    for (const std::string_view word : words_of(line)) {
        const auto value = number(word, 16);
        if (!value) return failure("not a row of hexadecimal numbers: '{}'", line);
        row.push_back(*value);
    }
    return row;
}

// Columns of softnet_stat, which only ever grew at its end: backlog and CPU came together (7d58e6555870, 5.10).
constexpr std::size_t softnet_least = 3;
constexpr std::size_t softnet_flow_limit = 10;
constexpr std::size_t softnet_backlog = 11;
constexpr std::size_t softnet_cpu = 12;

SoftnetRow softnet_row(const std::vector<std::uint64_t>& columns, std::size_t line) {
    SoftnetRow row{
        .cpu = static_cast<unsigned>(line), .processed = columns[0], .dropped = columns[1], .time_squeeze = columns[2]};
    if (columns.size() > softnet_flow_limit) row.flow_limited = columns[softnet_flow_limit];
    if (columns.size() > softnet_cpu) {
        row.backlog = columns[softnet_backlog];
        row.cpu = static_cast<unsigned>(columns[softnet_cpu]);
    }
    return row;
}

std::size_t index_of(const std::vector<std::string_view>& words, std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(words, name) - words.begin());
}

// A line of /proc/stat, after its name: user nice system idle iowait irq softirq steal.
constexpr std::size_t idle_ticks = 3, iowait_ticks = 4, irq_ticks = 5, softirq_ticks = 6, steal_ticks = 7,
                      kinds_of_ticks = 8;

std::optional<std::array<std::uint64_t, kinds_of_ticks>> ticks_of(const std::vector<std::string_view>& words) {
    std::array<std::uint64_t, kinds_of_ticks> all{};
    if (words.size() <= kinds_of_ticks) return std::nullopt;
    for (std::size_t i = 0; i < kinds_of_ticks; ++i) {
        const auto ticks = number(words[i + 1], 10);
        if (!ticks) return std::nullopt;
        all[i] = *ticks;
    }
    return all;
}

} // namespace

Result<std::vector<SoftnetRow>> parse_softnet_stat(std::string_view text) {
    std::vector<SoftnetRow> rows;
    while (!text.empty()) {
        const std::string_view line = take_until(text, '\n');
        const auto columns = hex_row(line);
        if (!columns) return std::unexpected(columns.error());
        if (columns->size() < softnet_least) return failure("a row of {} columns: '{}'", columns->size(), line);
        rows.push_back(softnet_row(*columns, rows.size()));
    }
    return rows;
}

Result<ConntrackStat> parse_conntrack_stat(std::string_view text) {
    const auto names = words_of(take_until(text, '\n'));
    const std::size_t entries = index_of(names, "entries"), insert_failed = index_of(names, "insert_failed"),
                      drop = index_of(names, "drop"), early_drop = index_of(names, "early_drop"),
                      chain_too_long = index_of(names, "chainlength");
    if (std::max({entries, insert_failed, drop, early_drop}) >= names.size())
        return failure("nf_conntrack statistics without the expected columns");
    ConntrackStat sum;
    while (!text.empty()) {
        const auto row = hex_row(take_until(text, '\n'));
        if (!row) return std::unexpected(row.error());
        if (row->size() < names.size()) return failure("a row of {} columns under {}", row->size(), names.size());
        sum.entries = (*row)[entries];
        sum.insert_failed += (*row)[insert_failed];
        sum.drop += (*row)[drop];
        sum.early_drop += (*row)[early_drop];
        if (chain_too_long < names.size()) sum.chain_too_long += (*row)[chain_too_long];
    }
    return sum;
}

Result<NeighbourStat> parse_neighbour_stat(std::string_view text) {
    const auto names = words_of(take_until(text, '\n'));
    const std::size_t entries = index_of(names, "entries"), allocs = index_of(names, "allocs"),
                      res_failed = index_of(names, "res_failed"), table_fulls = index_of(names, "table_fulls");
    if (std::max({entries, allocs, res_failed, table_fulls}) >= names.size())
        return failure("neighbour statistics without the expected columns");
    NeighbourStat sum;
    while (!text.empty()) {
        const auto row = hex_row(take_until(text, '\n'));
        if (!row) return std::unexpected(row.error());
        if (row->size() < names.size()) return failure("a row of {} columns under {}", row->size(), names.size());
        sum.entries = (*row)[entries];
        sum.allocs += (*row)[allocs];
        sum.res_failed += (*row)[res_failed];
        sum.table_fulls += (*row)[table_fulls];
    }
    return sum;
}

std::optional<std::uint64_t> netstat_value(std::string_view text, std::string_view group, std::string_view name) {
    while (!text.empty()) {
        const auto names = words_of(take_until(text, '\n'));
        const auto values = words_of(take_until(text, '\n'));
        if (names.empty() || !names[0].starts_with(group) || names[0].size() != group.size() + 1) continue;
        const std::size_t column = index_of(names, name);
        return column < values.size() ? number(values[column], 10) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> sockstat_value(std::string_view text, std::string_view group, std::string_view name) {
    while (!text.empty()) {
        const auto words = words_of(take_until(text, '\n'));
        if (words.empty() || !words[0].starts_with(group) || words[0].size() != group.size() + 1) continue;
        const std::size_t column = index_of(words, name) + 1;
        return column < words.size() ? number(words[column], 10) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> meminfo_bytes(std::string_view text, std::string_view name) {
    while (!text.empty()) {
        const auto words = words_of(take_until(text, '\n'));
        if (words.size() < 3 || words[2] != "kB" || !words[0].starts_with(name) || words[0].size() != name.size() + 1)
            continue;
        const auto kibibytes = number(words[1], 10);
        return kibibytes ? std::optional(*kibibytes * 1024) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<CpuTime> cpu_time(std::string_view text) {
    const auto words = words_of(take_until(text, '\n'));
    if (words.empty() || words[0] != "cpu") return std::nullopt;
    const auto ticks = ticks_of(words);
    if (!ticks) return std::nullopt;
    return CpuTime{.softirq = (*ticks)[softirq_ticks], .total = std::reduce(ticks->begin(), ticks->end())};
}

std::vector<CpuInterrupts> cpus_interrupts(std::string_view text) {
    constexpr std::string_view name = "cpu";
    std::vector<CpuInterrupts> cpus;
    take_until(text, '\n'); // the sum
    while (text.starts_with(name)) {
        const auto words = words_of(take_until(text, '\n'));
        const auto cpu = number(words[0].substr(name.size()), 10);
        const auto ticks = ticks_of(words);
        if (!cpu || !ticks) break;
        cpus.push_back({.cpu = static_cast<unsigned>(*cpu),
                        .taken = (*ticks)[irq_ticks] + (*ticks)[softirq_ticks] + (*ticks)[steal_ticks],
                        .total = std::reduce(ticks->begin(), ticks->end()),
                        .idle = (*ticks)[idle_ticks] + (*ticks)[iowait_ticks]});
    }
    return cpus;
}

// A name has neither blanks nor a colon in it (net/core/dev.c, dev_valid_name).
std::vector<DeviceReceived> devices_received(std::string_view text) {
    std::vector<DeviceReceived> devices;
    take_until(text, '\n'); // two lines of titles
    take_until(text, '\n');
    while (!text.empty()) {
        std::string_view line = take_until(text, '\n');
        std::string_view name = take_until(line, ':');
        name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
        const auto words = words_of(line);
        const auto bytes = words.empty() ? std::nullopt : number(words[0], 10);
        const auto packets = words.size() > 1 ? number(words[1], 10) : std::nullopt;
        if (bytes && packets && !name.empty())
            devices.push_back({std::string(name), {.packets = *packets, .bytes = *bytes}});
    }
    return devices;
}

std::vector<std::uint64_t> sysctl_numbers(std::string_view text) {
    std::vector<std::uint64_t> numbers;
    for (const std::string_view word : words_of(take_until(text, '\n'), '\t')) {
        const auto value = number(word, 10);
        if (!value) return {};
        numbers.push_back(*value);
    }
    return numbers;
}

std::optional<double> pressure_avg10(std::string_view text) {
    constexpr std::string_view key = "avg10=";
    const auto words = words_of(take_until(text, '\n'));
    if (words.size() < 2 || words[0] != "some" || !words[1].starts_with(key)) return std::nullopt;
    const std::string_view digits = words[1].substr(key.size());
    double percent = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), percent);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return percent;
}

namespace {

std::optional<std::uint64_t> sysctl_number(std::string_view digits) {
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
        base = 16;
        digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits.starts_with('0')) {
        base = 8;
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return number;
}

} // namespace

std::vector<std::uint64_t> written_numbers(std::string_view written) {
    constexpr std::string_view blanks = " \t\n\v\f\r";
    std::vector<std::uint64_t> numbers;
    while (true) {
        written.remove_prefix(std::min(written.find_first_not_of(blanks), written.size()));
        const std::string_view word = written.substr(0, written.find_first_of(blanks));
        const auto number = sysctl_number(word);
        if (!number) return numbers;
        numbers.push_back(*number);
        written.remove_prefix(word.size());
    }
}

} // namespace bpftune::sys
