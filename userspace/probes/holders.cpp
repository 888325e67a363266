// SPDX-License-Identifier: Apache-2.0
#include "probes/holders.hpp"

#include <algorithm>

#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"

namespace bpftune::probes {
namespace {

// Descriptors looked at in one call: some milliseconds. A pass over 100,000 takes 25 calls.
constexpr std::size_t most_at_once = 4096;
// Of one process: the lowest. A table may have a million, and many processes may share it.
constexpr std::size_t most_of_one = 32768;
// What asking once more costs, in descriptors: in the service, a way through two processes and back.
constexpr std::size_t question_cost = 24;
// Calls until what was nowhere is looked for again: it may have been on its way from one process to another.
constexpr unsigned second_look = 600;
// The same of what process 1 alone holds: whom it opened it for may have started.
constexpr unsigned look_for_server = 12;

std::string command_of(const std::filesystem::path& process) {
    auto command = sys::read_file(process / "comm");
    if (!command) return {};
    if (command->ends_with('\n')) command->pop_back(); // others belong to the name
    return std::move(*command);
}

} // namespace

void Holders::look_at_known(std::span<const ListenerReading> listeners) {
    seen_.clear();
    std::map<int, std::vector<int>> asked; // by process
    for (const ListenerReading& listener : listeners) {
        const auto known = known_.find(listener.inode);
        if (known == known_.end()) continue;
        const Holder& holder = known->second;
        asked[holder.pid].push_back(holder.fd);
        if (holder.pid != sys::init_process && holder.fd_of_init >= 0)
            asked[sys::init_process].push_back(holder.fd_of_init);
    }
    for (const auto& [pid, fds] : asked) {
        const auto targets = looks_.descriptors(pid, fds);
        for (std::size_t i = 0; i < fds.size(); ++i)
            seen_[{pid, fds[i]}] = targets ? std::optional((*targets)[i].inode) : std::nullopt;
    }
}

bool Holders::holds(int pid, int fd, std::uint64_t inode) const {
    const auto seen = seen_.find({pid, fd});
    return seen != seen_.end() && seen->second.value_or(inode) == inode;
}

bool Holders::is_kept_by_init(std::uint64_t inode, const Holder& holder) const {
    return holder.pid != sys::init_process && holder.fd_of_init >= 0 &&
           holds(sys::init_process, holder.fd_of_init, inode);
}

void Holders::name(std::span<ListenerReading> listeners) {
    if (++calls_ % second_look == 0) nowhere_.clear();
    look_at_known(listeners);
    std::set<std::uint64_t> unknown;
    std::map<std::uint64_t, Holder> still;
    for (const ListenerReading& listener : listeners) {
        const auto known = known_.find(listener.inode);
        const bool is_known = known != known_.end() && holds(known->second.pid, known->second.fd, listener.inode);
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
        next_fd_ = 0;
        looked_at_ = 0;
        is_whole_ = true;
    }
    for (std::size_t spent = 0; spent < most_at_once && !remaining_.empty() && !wanted_.empty();)
        spent += look_further();
    if (wanted_.empty()) remaining_.clear();
    if (!remaining_.empty()) return;
    if (is_whole_) nowhere_.merge(wanted_);
    wanted_.clear();
}

// At some more descriptors of the next process. What that cost; all that there is in this call, where nobody could
// look.
std::size_t Holders::look_further() {
    const int pid = remaining_.back();
    const auto found = looks_.sockets(pid, next_fd_);
    if (found) {
        looked_at_ += found->looked_at;
        for (const sys::LinkTarget& socket : found->sockets)
            if (wanted_.contains(socket.inode)) note(pid, socket.fd, socket.inode);
    }
    const bool goes_on = found && found->next && looked_at_ < most_of_one;
    next_fd_ = goes_on ? *found->next : 0;
    if (!goes_on) {
        remaining_.pop_back();
        looked_at_ = 0;
    }
    if (found) return question_cost + found->looked_at;
    if (sys::is_of_process(found.error())) return question_cost;
    is_whole_ = false;
    return most_at_once;
}

// What process 1 holds is wanted still.
void Holders::note(int pid, int fd, std::uint64_t inode) {
    seen_[{pid, fd}] = inode;
    Holder& holder = known_[inode];
    if (pid == sys::init_process) {
        holder = {pid, fd, fd};
        return;
    }
    holder = {pid, fd, holder.fd_of_init};
    wanted_.erase(inode);
}

} // namespace bpftune::probes
