// SPDX-License-Identifier: Apache-2.0
// Errors are values: what can fail returns Result<T>, and each layer adds what it knew.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace bpftune {

struct Error {
    std::string message;
    int code = 0; // errno, where a system call failed; else 0
};

template <class T = void> using Result = std::expected<T, Error>;

template <class... Args> std::unexpected<Error> failure(fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...)});
}

// "<text>: <strerror(code)>". Pass errno at once: formatting may change it.
template <class... Args>
std::unexpected<Error> system_failure(int code, fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Error{
        fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), std::generic_category().message(code)),
        code});
}

// "<text>: <error>"
template <class... Args>
std::unexpected<Error> with_context(const Error& error, fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(
        Error{fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), error.message), error.code});
}

} // namespace bpftune
