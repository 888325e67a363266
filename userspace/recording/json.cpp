// SPDX-License-Identifier: Apache-2.0
#include "recording/json.hpp"

#include <algorithm>
#include <iterator>

#include "core/text.hpp"

namespace bpftune::recording {
namespace {

bool is_plain(char c) { return c >= 0x20 && c < 0x7F && c != '\\'; }

// What is fit to show stays as it is, its backslashes too.
std::string fit_to_show(std::string text) { return is_printable(text) ? std::move(text) : printable(text); }

// The UTF-8 of a character below U+0800: we write no others so.
void append_code_point(std::string& out, unsigned value) {
    if (value < 0x80) {
        out += static_cast<char>(value);
    } else {
        out += static_cast<char>(0xC0 | value >> 6);
        out += static_cast<char>(0x80 | (value & 0x3F));
    }
}

} // namespace

void write_text(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        else
            out += c;
    }
    out += '"';
}

bool Cursor::take(std::string_view word) {
    if (!std::string_view(at_, end_).starts_with(word)) return false;
    at_ += word.size();
    return true;
}

void Cursor::fail(std::string_view what) {
    if (!ok()) return;
    error_ = fmt::format("column {}: {}", at_ - begin_ + 1, printable(what));
    at_ = end_;
}

void Cursor::fail_without(char expected) { fail(fmt::format("'{}' was expected", expected)); }

std::string_view Cursor::key() {
    expect('"');
    const char* quote = at_; // names are short
    while (quote != end_ && *quote != '"') ++quote;
    if (quote == end_) {
        fail("a name was expected");
        return {};
    }
    const std::string_view name(at_, quote);
    at_ = quote + 1;
    if (name.empty()) fail("a name was expected");
    expect(':');
    return name;
}

void Cursor::text(std::string& value) {
    if (!take('"')) return fail("a text was expected");
    const char* stop = std::find_if(at_, end_, [](char c) { return c == '"' || !is_plain(c); });
    if (stop != end_ && *stop == '"') {
        value.assign(at_, stop);
        grow(value.size());
        if (!ok()) return;
        at_ = stop + 1;
        return;
    }
    const char* quote = stop;
    while (quote != end_ && *quote != '"') quote += *quote == '\\' && quote + 1 != end_ ? 2 : 1;
    if (quote == end_) return fail("the text does not end");
    value = fit_to_show(unescaped({at_, quote}));
    grow(value.size());
    if (ok()) at_ = quote + 1;
}

std::string Cursor::unescaped(std::string_view raw) {
    constexpr std::string_view letters = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    std::string out;
    for (std::size_t i = 0; i < raw.size(); ++i) {
        if (raw[i] != '\\') {
            out += raw[i];
            continue;
        }
        const char kind = ++i < raw.size() ? raw[i] : '\0';
        if (const std::size_t letter = letters.find(kind); letter != std::string_view::npos) {
            out += meanings[letter];
            continue;
        }
        unsigned value = 0;
        const char* digits = raw.data() + i + 1;
        const bool fits = kind == 'u' && i + 4 < raw.size();
        if (!fits || std::from_chars(digits, digits + 4, value, 16).ptr != digits + 4 || value >= 0x800) {
            fail("an escape that is not known");
            return {};
        }
        append_code_point(out, value);
        i += 4;
    }
    return out;
}

} // namespace bpftune::recording
