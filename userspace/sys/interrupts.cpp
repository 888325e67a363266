// SPDX-License-Identifier: Apache-2.0
#include "sys/interrupts.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <unistd.h>

#include "core/parse.hpp"
#include "sys/directory.hpp"

namespace bpftune::sys {
namespace {

std::optional<std::uint32_t> irq_number(std::string_view text) {
    const auto number = parse_number(text);
    const bool fits = number && *number <= std::numeric_limits<std::uint32_t>::max();
    return fits ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

bool is_virtio(const Fd& device) {
    std::array<char, 256> target{};
    const ssize_t size = ::readlinkat(device.value(), "device/subsystem", target.data(), target.size());
    return size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)).ends_with("/virtio");
}

// Of a device without any: none.
std::vector<std::uint32_t> irqs_in(const Fd& device, const char* path) {
    const std::vector<int> numbers = numbered_entries(device, path).value_or(std::vector<int>{});
    return {numbers.begin(), numbers.end()};
}

std::string_view take_until(std::string_view& text, char end) {
    const auto at = std::min(text.find(end), text.size());
    const std::string_view taken = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return taken;
}

std::string_view take_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return take_until(line, ' ');
}

// Of the columns, by their titles; empty: it is something else.
std::vector<unsigned> cpus_of(std::string_view titles) {
    std::vector<unsigned> cpus;
    for (auto title = take_word(titles); !title.empty(); title = take_word(titles)) {
        const auto number = title.starts_with("CPU") ? irq_number(title.substr(3)) : std::nullopt;
        if (!number) return {};
        cpus.push_back(*number);
    }
    return cpus;
}

} // namespace

std::vector<std::uint32_t> device_interrupts(const Fd& device) {
    auto own = irqs_in(device, "device/msi_irqs");
    return own.empty() && is_virtio(device) ? irqs_in(device, "device/../msi_irqs") : own;
}

std::vector<InterruptLine> interrupt_lines(std::string_view text) {
    std::vector<InterruptLine> lines;
    const std::vector<unsigned> cpus = cpus_of(take_until(text, '\n'));
    while (!text.empty()) {
        std::string_view rest = take_until(text, '\n');
        std::string_view title = take_until(rest, ':');
        const auto irq = irq_number(take_word(title));
        if (!irq) continue;
        InterruptLine line{.irq = *irq};
        for (const unsigned cpu : cpus)
            if (const auto count = parse_number(take_word(rest))) line.taken.emplace_back(cpu, *count);
        if (line.taken.size() != cpus.size()) continue;
        if (const auto at = rest.rfind("  "); at != rest.npos) line.name = rest.substr(at + 2);
        lines.push_back(std::move(line));
    }
    return lines;
}

} // namespace bpftune::sys
