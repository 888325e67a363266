// SPDX-License-Identifier: Apache-2.0
// The writer: the one process that enters namespaces, fetches descriptors and writes. It is single-threaded, so setns()
// needs no care; it takes a closed set of typed requests (read, write, nudge, visit, types, links of processes), checks
// identity and bounds itself, and answers with what it read back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "actuators/protocol.hpp"
#include "core/change.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"
#include "sys/process_links.hpp"
#include "sys/visit.hpp"

namespace bpftune::actuators {

class Writer {
public:
    // Forks. Call it before any thread is started and before capabilities are given up. `inherit`: descriptors that
    // the child keeps (the instance lock, so that no other instance starts while it lives); it closes all others.
    // The child ends with the thread that called this, also when that is killed.
    static Result<Writer> start(std::span<const int> inherit = {});

    Writer(Writer&& other) noexcept;
    Writer& operator=(Writer&& other) noexcept;
    ~Writer(); // ends the child and waits for it

    // The value now. Error code ESTALE: the namespace or socket is gone.
    Result<std::uint64_t> read(TunableId tunable, const Scope& scope);

    // Sets `to` if the value is `from` and the object is still the one that `scope` names; reads back. `failed` leaves
    // the value as it was, except where `knows_outcome` says no. A listener whose holder makes it wait costs 600 ms at
    // most. What takes the kernel longer than patience lasts gets no answer, and the writer lives on: until it has
    // caught up, every other request fails at once (not_tried) and says what it is busy with. Where it ends, there is
    // no second one (its rights are gone): every later request fails and says why.
    Outcome write(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to);

    // The same for a value that goes back: not written (`failed`, `value` is the use) where it has no room for what is
    // in use at that moment, with headroom (tunables::room_for), nor where that cannot be read.
    Outcome lower(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to);

    // How much of it is in use now: connections that wait in the queue, entries of the fullest conntrack table; 0 of
    // somaxconn. An error where a part of that cannot be read.
    Result<std::uint64_t> in_use(TunableId tunable, const Scope& scope);

    // write() for several, or lower() for what gives back, in their order; `made` is told each outcome as it comes, and
    // may not use the writer. The next is on its way meanwhile, so that the writer does not have to be woken for it.
    void write(std::span<const Decision> decisions, const std::function<void(Outcome)>& made);

    // sys::visit_netns() by the writer, with its rights.
    Result<sys::Visit> visit(const NetnsId& netns, const sys::NetnsHint& hint, const sys::Wanted& wanted);

    // sys::ProcessLooks by the writer, with its rights: one request for each 64 of what is asked for, and for each part
    // of a process's sockets. Error: it could not look; of sockets(), also what sys::sockets_of() has.
    Result<std::vector<sys::LinkTarget>> namespaces(std::span<const pid_t> pids);
    Result<std::vector<sys::LinkTarget>> descriptors(pid_t pid, std::span<const int> fds);
    Result<sys::OpenSockets> sockets(pid_t pid, int from);

    // sys::module_types() of nf_conntrack by the writer, with its rights.
    Result<sys::Fd> conntrack_types();

    // actuators::nudge() by the writer, with its rights.
    Result<> nudge(const Scope& scope, std::uint32_t link_id);

    // How long an answer is waited for; 5 s to begin with.
    void set_patience(Nanoseconds patience);

    // Whether it has answered all that it was asked, or does within `longest`. Nothing else waits for a late answer.
    bool catches_up(Nanoseconds longest);

    // Of the last write: whether what its outcome says became of it is so. Else it may have been made, or still be.
    [[nodiscard]] bool knows_outcome() const { return knows_outcome_; }

    // `told` of each value that was written, as soon as that is known.
    void on_written(std::function<void(const ObjectKey&, std::uint64_t)> told) { told_ = std::move(told); }

    [[nodiscard]] pid_t pid() const { return pid_; } // -1: it has ended
    // For epoll: EPOLLHUP when the child has ended. Not for reading.
    [[nodiscard]] int socket() const { return socket_.value(); }
    // Why it may make any system call; empty: it is held to sys::writer_syscalls().
    [[nodiscard]] const std::string& unrestricted() const { return unrestricted_; }

private:
    Writer(pid_t pid, sys::Fd socket) : pid_(pid), socket_(std::move(socket)) {}
    Result<Answer> ask(const Request& request, std::vector<sys::Fd>* passed = nullptr); // a refusal is an error
    Result<Answer> exchange(const Request& request, std::vector<sys::Fd>* passed = nullptr);
    Result<std::vector<sys::LinkTarget>> targets(Request request, std::span<const std::int32_t> asked);
    Result<> send(Request request);
    Result<Answer> receive(std::vector<sys::Fd>* passed = nullptr); // `passed`: the descriptors that came with it
    bool is_answer(const Answer& answer, std::int64_t size) const;  // to what was asked first
    void take_late_answers();
    Outcome outcome_of(const Result<Answer>& answer);
    std::string busy() const;
    void lose(std::string_view before); // ends it, and keeps why
    std::string end();                  // says how it ended
    Outcome told(TunableId tunable, const Scope& scope, Outcome outcome) const;

    pid_t pid_ = -1;
    sys::Fd socket_;
    std::string ended_; // why there is no writer any more
    std::function<void(const ObjectKey&, std::uint64_t)> told_;
    std::deque<Request> unanswered_; // at most two
    std::uint64_t sent_ = 0;
    bool knows_outcome_ = true;
    bool late_ = false; // the first of those had no answer while patience lasted
    std::string unrestricted_;
};

} // namespace bpftune::actuators
