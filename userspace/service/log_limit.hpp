// SPDX-License-Identifier: Apache-2.0
// What happens outside decides how often a line is logged: of one kind only so many in a while, and then how many more.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/time.hpp"

namespace bpftune::service {

// Lines are of one kind that begin alike, up to the first colon and but for their digits.
class LogLimit {
public:
    struct LeftOut {
        int level = 0;
        std::string text; // one line: how many, of which kind
    };

    static constexpr unsigned most_lines = 20; // of one kind,
    static constexpr Nanoseconds window = std::chrono::seconds(10);

    // Whether this line is to be written. `level`: of the logger, part of the kind.
    bool passes(int level, std::string_view line, MonoTime now);

    // What was left out in windows that are over; said once.
    std::vector<LeftOut> left_out(MonoTime now);

private:
    struct Kind {
        MonoTime since;
        std::uint64_t lines = 0;
    };
    std::map<std::pair<int, std::string>, Kind> kinds_;
};

// From here on the default logger keeps to it. Its flush() says what was left out.
void limit_log();

} // namespace bpftune::service
