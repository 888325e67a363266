// SPDX-License-Identifier: Apache-2.0
#include "policy/names.hpp"

#include <algorithm>

#include "policy/keys.hpp"

namespace bpftune::policy {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Of any length.
bool is_dns_part(std::string_view text) {
    return !text.empty() && text.front() != '-' && text.back() != '-' &&
           text.find_first_not_of(namespace_letters) == std::string_view::npos;
}

bool is_plain(std::string_view text) {
    const auto is_inside = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; };
    return !text.empty() && text.size() <= longest_label && is_alphanumeric(text.front()) &&
           is_alphanumeric(text.back()) && std::ranges::all_of(text, is_inside);
}

} // namespace

bool is_dns_label(std::string_view text) { return text.size() <= longest_label && is_dns_part(text); }

bool is_dns_subdomain(std::string_view text) {
    if (text.size() > longest_prefix) return false;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find('.', at), text.size());
        if (!is_dns_part(text.substr(at, end - at))) return false;
        at = end + 1;
    }
    return true;
}

bool is_qualified_name(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return is_plain(text);
    return is_dns_subdomain(text.substr(0, slash)) && is_plain(text.substr(slash + 1));
}

bool is_label_value(std::string_view text) { return text.empty() || is_plain(text); }

} // namespace bpftune::policy
