// SPDX-License-Identifier: Apache-2.0
#include "kube/runtime.hpp"

#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace bpftune::kube {

std::string to_string(const LeftOut& left_out) {
    std::string text;
    const auto add = [&](std::size_t count, std::string_view one, std::string_view many) {
        if (count == 0) return;
        fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : ", ", count, count == 1 ? one : many);
    };
    add(left_out.sandboxes, "sandbox", "sandboxes");
    add(left_out.containers, "container", "containers");
    add(left_out.entries, "label or annotation", "labels or annotations");
    return text;
}

} // namespace bpftune::kube
