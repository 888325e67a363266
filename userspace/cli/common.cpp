// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "core/parse.hpp"

namespace bpftune::cli {

int fail(const Error& error) {
    fmt::print(stderr, "bpftune-k8s: {}\n", error.message);
    return failed;
}

std::string check_duration(const std::string& text) {
    const auto duration = parse_duration(text);
    return duration ? std::string() : duration.error().message;
}

std::size_t output_width() {
    constexpr std::size_t plain = 160;
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return plain;
}

} // namespace bpftune::cli
