// SPDX-License-Identifier: Apache-2.0
#include "probes/libbpf_log.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <system_error>

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "core/text.hpp"

namespace bpftune::probes {
namespace {

std::string* current = nullptr;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
    if (current == nullptr || level == LIBBPF_DEBUG) return 0;
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (length <= 0) return 0;
    const std::size_t before = current->size();
    current->resize(before + static_cast<std::size_t>(length) + 1);
    std::vsnprintf(current->data() + before, static_cast<std::size_t>(length) + 1, format, arguments);
    current->pop_back();
    return length;
}

std::string_view line_from(std::string_view text, std::size_t start) {
    return text.substr(start, text.find('\n', start) - start);
}

// "failed to resolve CO-RE relocation <enumval_value> [26] enum skb_drop_reason::X = 1" → "skb_drop_reason::X"
std::string missing(std::string_view log) {
    constexpr std::string_view mark = "failed to resolve CO-RE relocation ";
    const std::size_t at = log.find(mark);
    if (at == std::string_view::npos) return {};
    std::string_view line = line_from(log, at + mark.size());
    if (const std::size_t id = line.find("] "); id != std::string_view::npos) line.remove_prefix(id + 2);
    if (const std::size_t kind = line.find(' '); kind != std::string_view::npos) line.remove_prefix(kind + 1);
    return std::string(line.substr(0, line.find_first_of(" (")));
}

// The line before "processed N insns", where the verifier says what it did not like.
std::string_view last_word(std::string_view log) {
    const std::size_t end = log.find("\nprocessed ");
    if (end == std::string_view::npos) return {};
    const std::size_t start = log.rfind('\n', end - 1);
    return log.substr(start + 1, end - start - 1);
}

} // namespace

LibbpfLog::LibbpfLog() {
    current = &text_;
    libbpf_set_print(keep);
}

LibbpfLog::~LibbpfLog() { current = nullptr; }

std::string refusal(std::string_view log, int code) {
    constexpr std::size_t longest = 160;
    if (const std::string name = missing(log); !name.empty()) return "not in this kernel: " + printable(name);
    const std::string reason = std::generic_category().message(code);
    if (const std::string_view word = last_word(log); !word.empty())
        return fmt::format("refused by this kernel: {} ({})", reason, truncated(printable(word), longest));
    return "refused by this kernel: " + reason;
}

} // namespace bpftune::probes
