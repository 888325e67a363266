// SPDX-License-Identifier: Apache-2.0
// How a pod is called, without its runtime: the kubelet names the folder of its logs NAMESPACE_NAME_UID.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/time.hpp"

namespace bpftune::kube {

inline constexpr std::string_view pod_logs_folder = "/var/log/pods";

struct PodName {
    std::string uid;
    std::string ns; // as the next, printable
    std::string name;

    bool operator==(const PodName&) const = default;
};

// Of a folder's name; nullopt: it is none of the kubelet's.
std::optional<PodName> parse_pod_folder(std::string_view name);

class PodLogs {
public:
    explicit PodLogs(std::filesystem::path folder = pod_logs_folder) : folder_(std::move(folder)) {}

    // nullptr: it has no folder. For one that is not known the folders are looked at again where they have changed,
    // once a second at most.
    const PodName* find(const std::string& uid, Now now);

    // Whether the kubelet has such a folder here.
    bool are_there(Now now) {
        look(now);
        return seen_.has_value();
    }

private:
    void look(Now now);

    std::filesystem::path folder_;
    std::map<std::string, PodName, std::less<>> pods_; // by UID
    std::optional<std::int64_t> seen_; // when they last changed, as of the last look; ns since the epoch
    bool may_have_missed_ = false;     // what changed in the same moment as they were read
    std::optional<MonoTime> next_look_;
};

// Why no pod's name is to be had there.
Result<> check_pod_logs(const std::filesystem::path& folder = pod_logs_folder);

} // namespace bpftune::kube
