// SPDX-License-Identifier: Apache-2.0
// Values to JSON and back, by the lists of fields.hpp. A replay reads more than 100,000 snapshots a second: so there is
// no document in between, and a member that is not there costs nothing but a comparison.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"
#include "recording/fields.hpp"

namespace bpftune::recording {

template <class T>
concept Struct = requires { typename Fields<T>::Row; };
template <class T>
concept Duration = requires(T value) { value.count(); };
template <class T>
concept Time = requires(T value) { value.time_since_epoch(); };
template <class T>
concept Number = std::integral<T> || std::floating_point<T>;

template <class T> inline constexpr bool is_optional = false;
template <class T> inline constexpr bool is_optional<std::optional<T>> = true;
template <class T> inline constexpr bool is_vector = false;
template <class T> inline constexpr bool is_vector<std::vector<T>> = true;
template <class T> inline constexpr bool is_array = false;
template <class T, std::size_t n> inline constexpr bool is_array<std::array<T, n>> = true;
template <class T> inline constexpr bool is_map = false;
template <class Key, class T> inline constexpr bool is_map<std::map<Key, T>> = true;
template <class T> inline constexpr bool is_set = false;
template <class Key> inline constexpr bool is_set<std::set<Key>> = true;

// --- Writing ---------------------------------------------------------------------------------------------------------

void write_text(std::string& out, std::string_view text);

template <class T> bool same(const T& a, const T& b) {
    if constexpr (Struct<T>) {
        bool all = true;
        Fields<T>::each([&](std::string_view, const auto& x, const auto& y) { all = all && same(x, y); }, a, b);
        return all;
    } else if constexpr (is_optional<T>) {
        return a.has_value() == b.has_value() && (!a || same(*a, *b));
    } else if constexpr (is_vector<T>) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [](const auto& x, const auto& y) { return same(x, y); });
    } else if constexpr (is_map<T>) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
    } else {
        return a == b;
    }
}

template <class T> void write(std::string& out, const T& value, const T& known = {});

template <class Range, class Write> void write_list(std::string& out, const Range& range, Write write_one) {
    out += '[';
    for (const auto& element : range) {
        if (out.back() != '[') out += ',';
        write_one(element);
    }
    out += ']';
}

template <class T> void write_rows(std::string& out, const std::vector<T>& rows, const std::vector<T>& known) {
    std::size_t as_before = 0;
    const auto separate = [&] { out += out.back() == '[' ? "" : ","; };
    const auto skip = [&] {
        if (as_before == 0) return;
        separate();
        out += std::to_string(std::exchange(as_before, 0));
    };
    out += '[';
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i < known.size() && same(rows[i], known[i])) {
            ++as_before;
            continue;
        }
        skip();
        separate();
        write(out, rows[i], i < known.size() ? known[i] : T{});
    }
    skip();
    out += ']';
}

template <class T> void write_members(std::string& out, const T& value, const T& known) {
    out += '{';
    Fields<T>::each(
        [&](std::string_view name, const auto& now, const auto& before) {
            if (same(now, before)) return;
            if (out.back() != '{') out += ',';
            out.append("\"").append(name).append("\":");
            write(out, now, before);
        },
        value, known);
    out += '}';
}

template <Number T> void write_number(std::string& out, T value) {
    std::array<char, 32> digits{};
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

template <class T> void write(std::string& out, const T& value, const T& known) {
    const auto write_one = [&](const auto& element) { write(out, element); };
    if constexpr (Struct<T>) {
        write_members(out, value, known);
    } else if constexpr (std::same_as<T, std::string>) {
        write_text(out, value);
    } else if constexpr (std::same_as<T, bool>) {
        out += value ? "true" : "false";
    } else if constexpr (Number<T>) {
        write_number(out, value);
    } else if constexpr (std::is_enum_v<T>) {
        write_text(out, Names<T>::name(value));
    } else if constexpr (Duration<T>) {
        write_number(out, value.count());
    } else if constexpr (Time<T>) {
        write_number(out, value.time_since_epoch().count());
    } else if constexpr (is_optional<T>) {
        if (value)
            write(out, *value, known ? *known : typename T::value_type{});
        else
            out += "null";
    } else if constexpr (is_map<T>) {
        write_list(out, value, [&](const auto& entry) {
            out += '[';
            write(out, entry.first);
            out += ',';
            write(out, entry.second);
            out += ']';
        });
    } else if constexpr (is_vector<T>) {
        if constexpr (Struct<typename T::value_type>)
            write_rows(out, value, known);
        else
            write_list(out, value, write_one);
    } else {
        static_assert(is_array<T> || is_set<T>, "how is this written?");
        write_list(out, value, write_one);
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

// What a line may add to what it is read into. A node with 40,000 listeners has most of it at once.
inline constexpr std::size_t most_grown_bytes = std::size_t{64} << 20;

// Goes through one line. After the first error nothing is taken any more, and what was read is not to be used.
class Cursor {
public:
    explicit Cursor(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

    [[nodiscard]] bool ok() const { return error_.empty(); }
    [[nodiscard]] Error error() const { return {error_}; }
    [[nodiscard]] bool at_end() const { return at_ == end_; }
    [[nodiscard]] char next() const { return at_ == end_ ? '\0' : *at_; }
    bool take(char expected) {
        if (next() != expected) return false;
        ++at_;
        return true;
    }
    bool take(std::string_view word);
    void expect(char expected) {
        if (!take(expected)) fail_without(expected);
    }
    void fail(std::string_view what);

    // Before elements are made: a few bytes of text become hundreds.
    void grow(std::size_t bytes) {
        grown_ += bytes;
        if (grown_ > most_grown_bytes) fail(fmt::format("more than {} MiB of one line", most_grown_bytes >> 20));
    }
    [[nodiscard]] std::size_t grown() const { return grown_; }

    // The name of a member and the colon after it. Not unescaped: ours need none.
    std::string_view key();
    void text(std::string& value);
    template <Number T> void number(T& value) {
        const auto [rest, error] = std::from_chars(at_, end_, value);
        if (error != std::errc{}) return fail("a number was expected, one that fits");
        at_ = rest;
    }

private:
    void fail_without(char expected);
    std::string unescaped(std::string_view raw);

    const char* begin_;
    const char* at_;
    const char* end_;
    std::size_t grown_ = 0;
    std::string error_;
};

inline constexpr std::size_t node_bytes = 48; // of a map or a set, about

// Of times since boot or since 1970, and of what lies between: 146 years, so that of any two the sum fits as well.
inline constexpr Nanoseconds longest_time{(std::int64_t{1} << 62) - 1};

// What is not mentioned stays as it is in `value`.
template <class T> void read(Cursor& in, T& value);

template <class Read> void read_list(Cursor& in, Read read_one) {
    in.expect('[');
    if (in.take(']')) return;
    do read_one();
    while (in.take(','));
    in.expect(']');
}

// Room is made for more than one: what it takes counts, not what is in it.
template <class T> void add_row(Cursor& in, std::vector<T>& rows) {
    if (rows.size() == rows.capacity()) {
        const std::size_t more = std::max<std::size_t>(1, rows.size());
        in.grow(more * sizeof(T));
        if (!in.ok()) return;
        rows.reserve(rows.size() + more);
    }
    rows.emplace_back();
}

template <class T> void read_rows(Cursor& in, std::vector<T>& rows) {
    std::size_t i = 0;
    read_list(in, [&] {
        if (in.next() == '{') {
            if (i == rows.size()) add_row(in, rows);
            if (in.ok()) read(in, rows[i++]);
            return;
        }
        std::size_t as_before = 0;
        in.number(as_before);
        if (as_before > rows.size() - i) return in.fail("so many rows were not known before");
        i += as_before;
    });
    if (in.ok()) rows.resize(i);
}

// Members come in the order of their list when we wrote them: then one round finds all. Inlined, each comparison is one
// with a text of known length, which mostly ends with that.
template <class T> void read_members(Cursor& in, T& value) {
    in.expect('{');
    if (in.take('}')) return;
    for (std::string_view key = in.key(); in.ok() && !key.empty();) {
        const std::string_view sought = key;
        Fields<T>::each(
            [&](std::string_view name, auto& member) __attribute__((always_inline)) {
                if (key.size() != name.size() || std::memcmp(key.data(), name.data(), name.size()) != 0) return;
                read(in, member);
                key = in.take(',') ? in.key() : std::string_view();
            },
            value);
        if (key.data() == sought.data()) in.fail(fmt::format("'{}' is not known here", key));
    }
    in.expect('}');
}

template <class T> void read_name(Cursor& in, T& value) {
    std::string text;
    in.text(text);
    for (const T candidate : Names<T>::all)
        if (Names<T>::name(candidate) == text) {
            value = candidate;
            return;
        }
    in.fail(fmt::format("'{}' is not known here", text));
}

inline void read_name(Cursor& in, TunableId& value) {
    std::string key;
    in.text(key);
    if (const auto* row = tunables::find_key(key))
        value = row->id;
    else
        in.fail(fmt::format("'{}' is not known here", key));
}

template <Duration T> void read_duration(Cursor& in, T& value) {
    typename T::rep count{};
    in.number(count);
    if (count < 0 || T(count) > std::chrono::floor<T>(longest_time))
        return in.fail("a time that none of a recording is");
    value = T(count);
}

template <class T> void read_container(Cursor& in, T& value) {
    value.clear();
    read_list(in, [&] {
        in.grow(node_bytes + sizeof(typename T::value_type));
        if (!in.ok()) return;
        if constexpr (is_map<T>) {
            typename T::key_type key{};
            typename T::mapped_type mapped{};
            in.expect('[');
            read(in, key);
            in.expect(',');
            read(in, mapped);
            in.expect(']');
            value.insert_or_assign(std::move(key), std::move(mapped));
        } else {
            typename T::value_type element{};
            read(in, element);
            value.insert(value.end(), std::move(element));
        }
    });
}

template <class T> void read(Cursor& in, T& value) {
    if constexpr (Struct<T>) {
        read_members(in, value);
    } else if constexpr (std::same_as<T, std::string>) {
        in.text(value);
    } else if constexpr (std::same_as<T, bool>) {
        value = in.take("true");
        if (!value && !in.take("false")) in.fail("true or false was expected");
    } else if constexpr (Number<T>) {
        in.number(value);
    } else if constexpr (std::is_enum_v<T>) {
        read_name(in, value);
    } else if constexpr (Duration<T>) {
        read_duration(in, value);
    } else if constexpr (Time<T>) {
        typename T::duration since{};
        read_duration(in, since);
        value = T(since);
    } else if constexpr (is_optional<T>) {
        if (in.take("null")) return value.reset();
        if (!value) value.emplace();
        read(in, *value);
    } else if constexpr (is_array<T>) {
        std::size_t i = 0;
        read_list(in, [&] { i < value.size() ? read(in, value[i++]) : in.fail("one too many"); });
    } else if constexpr (is_vector<T>) {
        if constexpr (Struct<typename T::value_type>)
            read_rows(in, value);
        else
            read_container(in, value);
    } else {
        read_container(in, value);
    }
}

// --- Memory ----------------------------------------------------------------------------------------------------------

// What `value` keeps outside of itself, about.
template <class T> std::size_t held_bytes(const T& value) {
    std::size_t bytes = 0;
    const auto add = [&](const auto& element) { bytes += sizeof(element) + held_bytes(element); };
    if constexpr (Struct<T>) {
        Fields<T>::each([&](std::string_view, const auto& member) { bytes += held_bytes(member); }, value);
    } else if constexpr (std::same_as<T, std::string>) {
        bytes = value.capacity();
    } else if constexpr (is_optional<T>) {
        bytes = value ? held_bytes(*value) : 0;
    } else if constexpr (is_map<T>) {
        for (const auto& [key, mapped] : value) {
            add(key);
            add(mapped);
            bytes += node_bytes;
        }
    } else if constexpr (is_set<T>) {
        for (const auto& element : value) add(element);
        bytes += value.size() * node_bytes;
    } else if constexpr (is_vector<T>) {
        bytes = value.capacity() * sizeof(typename T::value_type); // a list that was long once, and is not any more
        for (const auto& element : value) bytes += held_bytes(element);
    } else if constexpr (is_array<T>) {
        for (const auto& element : value) bytes += held_bytes(element);
    }
    return bytes;
}

} // namespace bpftune::recording
