// SPDX-License-Identifier: Apache-2.0
#include "probes/holders.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <unistd.h>

#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"

namespace bpftune::probes {
namespace {

// Descriptors looked at in one call: some milliseconds. A pass over 100,000 takes 25 calls.
constexpr std::size_t most_at_once = 4096;
// Of one process: the lowest. A table may have a million, and many processes may share it.
constexpr std::size_t most_of_one = 32768;
// What opening one more process costs, in descriptors.
constexpr std::size_t process_cost = 8;
// Calls until what was nowhere is looked for again: it may have been on its way from one process to another.
constexpr unsigned second_look = 600;
// The same of what process 1 alone holds: whom it opened it for may have started.
constexpr unsigned look_for_server = 12;

std::optional<std::uint64_t> socket_inode(const std::filesystem::path& descriptor) {
    std::array<char, 64> target{};
    const ssize_t size = ::readlink(descriptor.c_str(), target.data(), target.size());
    if (size <= 0) return std::nullopt;
    return sys::inode_in_link(std::string_view(target.data(), static_cast<std::size_t>(size)), "socket");
}

std::string command_of(const std::filesystem::path& process) {
    auto command = sys::read_file(process / "comm");
    if (!command) return {};
    if (command->ends_with('\n')) command->pop_back(); // others belong to the name
    return std::move(*command);
}

} // namespace

bool Holders::still_holds(std::uint64_t inode, const Holder& holder) const {
    return sys::holds_socket(holder.pid, holder.fd, inode, proc_).value_or(false);
}

bool Holders::is_kept_by_init(std::uint64_t inode, const Holder& holder) const {
    return holder.pid != sys::init_process && holder.fd_of_init >= 0 &&
           still_holds(inode, {sys::init_process, holder.fd_of_init});
}

void Holders::name(std::span<ListenerReading> listeners) {
    if (++calls_ % second_look == 0) nowhere_.clear();
    std::set<std::uint64_t> unknown;
    std::map<std::uint64_t, Holder> still;
    for (const ListenerReading& listener : listeners) {
        const auto known = known_.find(listener.inode);
        const bool is_known = known != known_.end() && still_holds(listener.inode, known->second);
        if (is_known) still.insert(*known);
        const bool is_of_init = is_known && known->second.pid == sys::init_process;
        if (listener.inode != 0 && (!is_known || is_of_init)) unknown.insert(listener.inode);
        if (is_of_init && calls_ % look_for_server == 0) nowhere_.erase(listener.inode);
    }
    known_ = std::move(still);
    std::erase_if(nowhere_, [&](std::uint64_t inode) { return !unknown.contains(inode); });
    look_for(std::move(unknown));
    for (ListenerReading& listener : listeners) {
        const auto holder = known_.find(listener.inode);
        if (holder == known_.end()) continue;
        listener.pid = holder->second.pid;
        listener.fd = holder->second.fd;
        listener.is_held_by_init = is_kept_by_init(listener.inode, holder->second);
        listener.command = command_of(proc_ / std::to_string(listener.pid));
    }
}

// Goes on with the pass that is under way; begins one where something is new.
void Holders::look_for(std::set<std::uint64_t> inodes) {
    if (remaining_.empty()) {
        if (std::ranges::includes(nowhere_, inodes)) return;
        auto pids = sys::numbered_entries(proc_);
        if (!pids) return;
        remaining_ = std::move(*pids);
        std::ranges::reverse(remaining_);
        wanted_ = std::move(inodes);
    }
    for (std::size_t spent = 0; spent < most_at_once && !remaining_.empty() && !wanted_.empty();) {
        spent += look_through(remaining_.back());
        remaining_.pop_back();
    }
    if (wanted_.empty()) remaining_.clear();
    if (remaining_.empty()) nowhere_.merge(wanted_);
    if (remaining_.empty()) wanted_.clear();
}

// What it cost.
std::size_t Holders::look_through(int pid) {
    const std::filesystem::path directory = proc_ / std::to_string(pid) / "fd";
    const auto descriptors = sys::numbered_entries(directory, most_of_one);
    if (!descriptors) return process_cost;
    for (const int fd : *descriptors) {
        const auto inode = socket_inode(directory / std::to_string(fd));
        if (inode && wanted_.contains(*inode)) note(pid, fd, *inode);
    }
    return process_cost + descriptors->size();
}

// What process 1 holds is wanted still.
void Holders::note(int pid, int fd, std::uint64_t inode) {
    Holder& holder = known_[inode];
    if (pid == sys::init_process) {
        holder = {pid, fd, fd};
        return;
    }
    holder = {pid, fd, holder.fd_of_init};
    wanted_.erase(inode);
}

} // namespace bpftune::probes
