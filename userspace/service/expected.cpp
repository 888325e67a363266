// SPDX-License-Identifier: Apache-2.0
#include "service/expected.hpp"

#include <optional>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include "core/text.hpp"
#include "service/device_settings.hpp"
#include "sys/files.hpp"

namespace bpftune::service {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_value = 1024; // bytes: more is another value than any that a policy can expect

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

// Why there is no such file, by the folder that is missing too.
std::string why_absent(const std::string& sysctl, const fs::path& root) {
    const fs::path net = root / "proc/sys/net";
    if (sysctl.starts_with("net/bridge/") && !is_there(net / "bridge")) return "br_netfilter is not loaded";
    if (sysctl.starts_with("net/netfilter/nf_conntrack") && !is_there(net / "netfilter/nf_conntrack_max"))
        return "nf_conntrack is not loaded";
    if (sysctl.starts_with("net/ipv6/") && !is_there(net / "ipv6")) return "this kernel has no IPv6";
    for (const std::string_view folder : {"net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/"})
        if (const fs::path device = fs::path(sysctl).parent_path();
            sysctl.starts_with(folder) && !is_there(root / "proc/sys" / device))
            return "there is no network device " + device.filename().string();
    return "there is no such sysctl on this node";
}

void read(ExpectedSysctl& each, const tunables::DeviceSetting& setting, std::span<const std::string> devices,
          const fs::path& root) {
    const auto value = read_device_setting(setting, devices, root);
    if (value) {
        each.found = printable(value->substr(0, longest_value));
        return;
    }
    each.absent = true;
    each.why_not = printable(value.error().message);
}

// What others may not read is not shown to them either (net.ipv4.tcp_fastopen_key).
void read(ExpectedSysctl& each, const fs::path& root) {
    const fs::path path = root / "proc/sys" / each.sysctl;
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) {
        each.absent = errno == ENOENT;
        each.why_not = each.absent ? why_absent(each.sysctl, root)
                                   : "it cannot be read: " + std::generic_category().message(errno);
        return;
    }
    if (!S_ISREG(about.st_mode) || (about.st_mode & S_IROTH) == 0) {
        each.why_not = S_ISREG(about.st_mode) ? "it is not for everybody to read, so it is not read"
                                              : "it is a folder, not a sysctl";
        return;
    }
    const auto text = sys::read_file(path);
    if (!text) {
        each.why_not = "it cannot be read: " + printable(text.error().message);
        return;
    }
    each.found = printable(single_spaced(*text).substr(0, longest_value));
}

} // namespace

std::vector<ExpectedSysctl> read_expected(const policy::Policy& policy, const NetnsId& host, const fs::path& root) {
    std::vector<ExpectedSysctl> read_ones;
    struct stat own{};
    const bool is_host = host.inode != 0 && ::stat("/proc/thread-self/ns/net", &own) == 0 && own.st_ino == host.inode;
    std::optional<std::vector<std::string>> devices; // once, for all
    for (const policy::Expectation& wanted : policy.expect) {
        ExpectedSysctl& each = read_ones.emplace_back();
        each.name = wanted.name;
        each.sysctl = wanted.path;
        each.expected = printable(wanted.value);
        if (!is_host) {
            each.why_not = "this program is not in the node's own network namespace";
        } else if (const auto* setting = tunables::find_device_setting(wanted.path)) {
            if (!devices) devices = hardware_devices(root);
            read(each, *setting, *devices, root);
        } else {
            read(each, root);
        }
    }
    return read_ones;
}

std::string set_at_boot(const SetBy& set_by, std::string_view sysctl) {
    if (tunables::find_device_setting(sysctl) != nullptr)
        return "drivers, udev rules and daemons (irqbalance, tuned) set such";
    const auto found = set_by.of_sysctl(sysctl, policy::other_name(sysctl));
    if (found.empty()) return "no file of sysctl.d sets it";
    return fmt::format("set by {}", fmt::join(found, ", "));
}

std::vector<std::string> sysctls_of(const policy::Policy& policy) {
    std::vector<std::string> paths;
    for (const policy::Expectation& each : policy.expect) {
        if (tunables::find_device_setting(each.path) != nullptr) continue; // nobody sees who writes it
        for (const std::string_view path : {std::string_view(each.path), policy::other_name(each.path)})
            if (!path.empty()) paths.emplace_back(path);
    }
    return paths;
}

} // namespace bpftune::service
