// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <ranges>
#include <tuple>

#include <fcntl.h>
#include <poll.h>

#include "core/text.hpp"
#include "sys/files.hpp"
#include "sys/process_links.hpp"

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

std::vector<BoundNetns> bound_namespaces(std::string_view mountinfo) {
    std::vector<BoundNetns> found;
    for (const auto range : mountinfo | std::views::split('\n')) {
        const std::string_view line(range);
        if (line.find("net:[") == std::string_view::npos) continue; // of thousands few are
        const auto mount = mount_of(line);
        if (!mount || mount->type != "nsfs") continue;
        const auto inode = inode_in_link(mount->root, "net");
        if (inode && *inode <= std::numeric_limits<std::uint32_t>::max())
            found.push_back({static_cast<std::uint32_t>(*inode), mount->point});
    }
    const auto rank = [](const BoundNetns& bound) {
        const std::string folder = bound.path.substr(0, bound.path.rfind('/'));
        return std::tuple(bound.inode, folder != "/run/netns" && folder != "/var/run/netns", bound.path);
    };
    std::ranges::sort(found, {}, rank);
    const auto [first, last] = std::ranges::unique(found); // a folder that is bound to itself shows each twice
    found.erase(first, last);
    return found;
}

std::vector<MountView> mount_views(const std::filesystem::path& proc) {
    std::error_code error;
    const auto own = std::filesystem::read_symlink(proc / "self/ns/mnt", error);
    const auto first = std::filesystem::read_symlink(proc / "1/ns/mnt", error);
    std::vector<MountView> views{{proc / "self/mountinfo", ""}};
    if (!error && first != own) views.push_back({proc / "1/mountinfo", (proc / "1/root").string()});
    return views;
}

Result<std::optional<std::string>> MountInfo::changed() {
    if (file_) {
        pollfd about{.fd = file_.value(), .events = POLLPRI, .revents = 0};
        if (::poll(&about, 1, 0) == 0) return std::nullopt;
    } else {
        file_ = Fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file_) return system_failure(errno, "open {}", path_.string());
    }
    auto text = read_all(file_);
    if (text) return std::move(*text);
    file_.reset();
    return with_context(text.error(), "{}", path_.string());
}

Result<std::filesystem::path> cgroup2_root(const std::filesystem::path& proc) {
    const auto text = read_file(proc / "self/mountinfo");
    if (!text) return std::unexpected(text.error());
    std::string part;
    for (const Mount& mount : parse_mountinfo(*text)) {
        if (mount.type != "cgroup2") continue;
        // Every cgroup but the root has a type, also one that a cgroup namespace shows as "/"; the root is "/.." there.
        std::error_code ignored;
        const bool may_be_whole = mount.root == "/" || mount.root.starts_with("/..");
        if (may_be_whole && !std::filesystem::exists(mount.point + "/cgroup.type", ignored)) return mount.point;
        part = mount.point;
    }
    if (part.empty()) return failure("no cgroup2 hierarchy is mounted here");
    return failure("{} is only a part of the cgroup2 hierarchy: that of this container", printable(part));
}

} // namespace bpftune::sys
