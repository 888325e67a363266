// SPDX-License-Identifier: Apache-2.0
#include "service/device_settings.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <unistd.h>

#include "core/cpus.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "sys/files.hpp"

namespace bpftune::service {
namespace {

namespace fs = std::filesystem;

struct Close {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

constexpr std::size_t most_shown = 8; // of a device with a queue for each CPU

struct Place {
    std::string name; // "eth0 rx-0"
    fs::path file;
};

std::vector<std::string> entries_of(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename().string());
    std::ranges::sort(names, {},
                      [](const std::string& name) { return std::pair(name.size(), std::string_view(name)); });
    return names;
}

// A virtio device's interrupts are those of the PCI device that it stands on.
std::vector<std::string> interrupts_of(const fs::path& device) {
    std::error_code error;
    const fs::path hardware = fs::canonical(device / "device", error);
    if (auto own = entries_of(hardware / "msi_irqs"); !own.empty()) return own;
    return entries_of(hardware.parent_path() / "msi_irqs");
}

std::vector<Place> places_of(const tunables::DeviceSetting& setting, const std::string& name, const fs::path& root) {
    const fs::path device = root / "sys/class/net" / name;
    std::vector<Place> places;
    if (setting.name == "smp_affinity") {
        for (const std::string& number : interrupts_of(device))
            places.push_back({fmt::format("{} irq {}", name, number), root / "proc/irq" / number / setting.name});
        return places;
    }
    for (const std::string& queue : entries_of(device / "queues"))
        places.push_back({fmt::format("{} {}", name, queue), device / "queues" / queue / setting.name});
    return places;
}

std::string shown(const tunables::DeviceSetting& setting, const std::string& text) {
    std::string line = single_spaced(text);
    if (!setting.is_cpus) return line;
    const auto cpus = parse_cpus(line);
    return cpus && !cpus->has_more ? cpus_text(cpus->first) : line;
}

} // namespace

// Which are not is told by where their links point (drivers/base/core.c, get_device_parent): to look for a file of each
// takes four times as long.
std::vector<std::string> hardware_devices(const fs::path& root) {
    const fs::path devices = root / "sys/class/net";
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Close> folder(::opendir(devices.c_str()));
    if (!folder) return names;
    std::array<char, PATH_MAX> target{};
    while (const dirent* entry = ::readdir(folder.get())) {
        const ssize_t size = ::readlinkat(::dirfd(folder.get()), entry->d_name, target.data(), target.size());
        const bool is_virtual =
            size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)).contains("/virtual/net/");
        std::error_code ignored;
        if (!is_virtual && fs::exists(devices / entry->d_name / "device", ignored)) names.emplace_back(entry->d_name);
    }
    std::ranges::sort(names);
    return names;
}

Result<std::string> read_device_setting(const tunables::DeviceSetting& setting, std::span<const std::string> devices,
                                        const fs::path& root) {
    std::vector<std::pair<std::string, std::string>> found; // value and place
    for (const std::string& name : devices)
        for (const Place& place : places_of(setting, name, root)) {
            const auto text = sys::read_file(place.file); // a transmit queue has no rps_flow_cnt
            if (text) found.emplace_back(shown(setting, *text), place.name);
        }
    if (found.empty()) return system_failure(ENOENT, "no hardware device of this node shows {}", setting.name);
    const bool is_one = std::ranges::all_of(found, [&](const auto& each) { return each.first == found.front().first; });
    if (is_one) return found.front().first;
    std::string all;
    for (std::size_t i = 0; i < std::min(found.size(), most_shown); ++i)
        all += fmt::format("{}{} ({})", i > 0 ? ", " : "", found[i].first, found[i].second);
    return found.size() > most_shown ? all + ", and so on" : all;
}

} // namespace bpftune::service
