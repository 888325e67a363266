// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>

#include "core/text.hpp"
#include "sys/files.hpp"

namespace bpftune::sys {
namespace {

// Blanks, line ends and backslashes are \ooo there.
std::string unescaped(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        const std::string_view digits = text.substr(i).substr(0, 4);
        const char* end = digits.data() + digits.size();
        const bool octal =
            digits.size() == 4 && digits[0] == '\\' && std::from_chars(digits.data() + 1, end, value, 8).ptr == end;
        plain += octal ? static_cast<char>(value) : text[i];
        if (octal) i += 3;
    }
    return plain;
}

// "36 35 98:0 /root /point rw,noatime master:1 shared:2 - ext4 /dev/sda rw": optional fields end with the hyphen.
std::optional<Mount> mount_of(std::string_view line) {
    std::vector<std::string_view> fields;
    for (const auto field : line | std::views::split(' ')) fields.emplace_back(field);
    constexpr std::ptrdiff_t before_optional = 6;
    if (fields.size() < before_optional) return std::nullopt;
    const auto hyphen = std::find(fields.begin() + before_optional, fields.end(), "-");
    if (fields.end() - hyphen < 2) return std::nullopt;
    return Mount{.root = unescaped(fields[3]), .point = unescaped(fields[4]), .type = std::string(hyphen[1])};
}

} // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
    std::vector<Mount> mounts;
    for (const auto line : text | std::views::split('\n'))
        if (auto mount = mount_of(std::string_view(line))) mounts.push_back(std::move(*mount));
    return mounts;
}

Result<std::filesystem::path> cgroup2_root(const std::filesystem::path& proc) {
    const auto text = read_file(proc / "self/mountinfo");
    if (!text) return std::unexpected(text.error());
    std::string part;
    for (const Mount& mount : parse_mountinfo(*text)) {
        if (mount.type != "cgroup2") continue;
        // Every cgroup but the root has a type, also one that a cgroup namespace shows as "/".
        std::error_code ignored;
        if (mount.root == "/" && !std::filesystem::exists(mount.point + "/cgroup.type", ignored)) return mount.point;
        part = mount.point;
    }
    if (part.empty()) return failure("no cgroup2 hierarchy is mounted here");
    return failure("{} is only a part of the cgroup2 hierarchy: that of this container", printable(part));
}

} // namespace bpftune::sys
