// SPDX-License-Identifier: Apache-2.0
#include "kube/processes.hpp"

#include <utility>

#include "sys/process.hpp"

namespace bpftune::kube {
namespace {

template <class T> std::optional<T> known(Result<T>&& result) {
    return result ? std::optional<T>(std::move(*result)) : std::nullopt;
}

class OfProc : public Processes {
public:
    explicit OfProc(std::filesystem::path proc) : proc_(std::move(proc)) {}

    std::optional<CgroupOwner> owner(int pid) override {
        const auto cgroups = sys::cgroups_of(pid, proc_);
        return cgroups ? std::optional(parse_cgroups(*cgroups)) : std::nullopt;
    }
    std::optional<MonoTime> started(int pid) override { return known(sys::start_of(pid, proc_)); }
    std::optional<int> process_of(int thread) override { return known(sys::process_of(thread, proc_)); }
    std::optional<std::uint32_t> netns_inode(int pid) override { return known(sys::netns_inode_of(pid, proc_)); }
    std::optional<bool> holds_socket(int pid, int fd, std::uint64_t inode) override {
        return known(sys::holds_socket(pid, fd, inode, proc_));
    }

private:
    std::filesystem::path proc_;
};

} // namespace

std::unique_ptr<Processes> processes_of(std::filesystem::path proc) {
    return std::make_unique<OfProc>(std::move(proc));
}

} // namespace bpftune::kube
