// SPDX-License-Identifier: Apache-2.0
#include "policy/lines.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace bpftune::policy {
namespace {

std::size_t step(std::string_view rest) { return std::max<std::size_t>(first_code_point(rest).length, 1); }

} // namespace

std::string_view without_bom(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    return text;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    for (std::size_t end = 0; end != std::string_view::npos;) {
        end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (end != std::string_view::npos) {
            text.remove_prefix(end + 1);
            if (line.ends_with('\r')) line.remove_suffix(1);
        }
        lines.push_back(line);
    }
    return lines;
}

std::size_t points_of(std::string_view line, std::size_t bytes) {
    std::size_t points = 0;
    for (std::size_t at = 0; at < std::min(bytes, line.size()); ++points) at += step(line.substr(at));
    return points;
}

std::size_t bytes_of(std::string_view line, std::size_t points) {
    std::size_t at = 0;
    for (; points > 0 && at < line.size(); --points) at += step(line.substr(at));
    return at;
}

} // namespace bpftune::policy
