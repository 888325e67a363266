// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_logs.hpp"

#include <algorithm>
#include <memory>

#include <dirent.h>
#include <sys/stat.h>

#include "core/text.hpp"

namespace bpftune::kube {
namespace {

// A node has 110 pods, 500 where it is told to; the folders of pods that are gone are cleared away within minutes.
constexpr std::size_t most_folders = 4096;
constexpr Nanoseconds between_looks = std::chrono::seconds(1);
// What is written within one tick of the kernel's clock has one time.
constexpr auto one_moment = std::chrono::seconds(1);

struct Close {
    void operator()(DIR* open) const { ::closedir(open); }
};

std::optional<std::int64_t> changed_at(const std::filesystem::path& folder) {
    struct stat about{};
    if (::stat(folder.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) return std::nullopt;
    return (std::chrono::seconds(about.st_mtim.tv_sec) + Nanoseconds(about.st_mtim.tv_nsec)).count();
}

} // namespace

std::optional<PodName> parse_pod_folder(std::string_view name) {
    const std::size_t first = name.find('_');
    const std::size_t last = name.rfind('_');
    if (first == last || std::ranges::count(name, '_') != 2) return std::nullopt;
    PodName pod{.uid = std::string(name.substr(last + 1)),
                .ns = printable(name.substr(0, first)),
                .name = printable(name.substr(first + 1, last - first - 1))};
    if (pod.uid.empty() || pod.ns.empty() || pod.name.empty()) return std::nullopt;
    return pod;
}

const PodName* PodLogs::find(const std::string& uid, Now now) {
    auto found = pods_.find(uid);
    if (found == pods_.end()) {
        look(now);
        found = pods_.find(uid);
    }
    return found == pods_.end() ? nullptr : &found->second;
}

void PodLogs::look(Now now) {
    if (now.mono < next_look_.value_or(now.mono)) return;
    next_look_ = now.mono + between_looks;
    const auto changed = changed_at(folder_);
    if (changed && changed == seen_ && !may_have_missed_) return;
    seen_ = changed;
    may_have_missed_ = changed && now.wall.time_since_epoch() - Nanoseconds(*changed) < one_moment;
    pods_.clear();
    const std::unique_ptr<DIR, Close> folder(changed ? ::opendir(folder_.c_str()) : nullptr);
    if (!folder) return;
    while (const dirent* entry = ::readdir(folder.get())) {
        auto pod = parse_pod_folder(entry->d_name);
        if (!pod) continue;
        std::string uid = pod->uid;
        pods_.insert_or_assign(std::move(uid), std::move(*pod));
        if (pods_.size() == most_folders) break;
    }
}

Result<> check_pod_logs(const std::filesystem::path& folder) {
    const std::unique_ptr<DIR, Close> open(::opendir(folder.c_str()));
    if (!open) return system_failure(errno, "{}", folder.string());
    return {};
}

} // namespace bpftune::kube
