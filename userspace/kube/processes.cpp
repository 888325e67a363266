// SPDX-License-Identifier: Apache-2.0
#include "kube/processes.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <unistd.h>

#include "sys/process.hpp"

namespace bpftune::kube {
namespace {

template <class T> std::optional<T> known(Result<T>&& result) {
    return result ? std::optional<T>(std::move(*result)) : std::nullopt;
}

class OfProc : public Processes {
public:
    OfProc(sys::ProcessLooks looks, std::filesystem::path proc)
        : looks_(std::move(looks)), proc_(std::move(proc)), own_(sys::cgroups_of(::getpid(), proc_).value_or("")) {}

    std::optional<CgroupOwner> owner(int pid) override {
        const auto cgroups = sys::cgroups_of(pid, proc_);
        return cgroups ? std::optional(parse_cgroups(*cgroups, own_)) : std::nullopt;
    }
    std::optional<MonoTime> started(int pid) override { return known(sys::start_of(pid, proc_)); }
    std::optional<int> process_of(int thread) override { return known(sys::process_of(thread, proc_)); }
    std::optional<std::uint32_t> netns_inode(int pid) override {
        const auto found = looks_.namespaces(std::array{pid});
        if (!found || found->empty() || found->front().inode == 0) return std::nullopt;
        return static_cast<std::uint32_t>(found->front().inode);
    }
    std::vector<bool> may_hold(int pid, std::span<const Descriptor> sockets) override {
        std::vector<bool> held(sockets.size());
        std::vector<int> fds(sockets.size());
        std::ranges::transform(sockets, fds.begin(), &Descriptor::fd);
        const auto found = looks_.descriptors(pid, fds);
        if (!found || found->size() != sockets.size()) return held;
        for (std::size_t i = 0; i < sockets.size(); ++i)
            held[i] = (*found)[i].is_closed() || (*found)[i].inode == sockets[i].inode;
        return held;
    }

private:
    sys::ProcessLooks looks_;
    std::filesystem::path proc_;
    std::string own_; // cgroups of this process
};

} // namespace

std::unique_ptr<Processes> processes_of(sys::ProcessLooks looks, std::filesystem::path proc) {
    return std::make_unique<OfProc>(std::move(looks), std::move(proc));
}

} // namespace bpftune::kube
