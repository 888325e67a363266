// SPDX-License-Identifier: Apache-2.0
// The writer: the one process that enters namespaces, fetches descriptors and writes. It is single-threaded, so setns()
// needs no care; it takes a closed set of typed requests (read, write, visit, types), checks identity and bounds
// itself, and answers with what it read back.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/change.hpp"
#include "core/result.hpp"
#include "sys/fd.hpp"
#include "sys/visit.hpp"

namespace bpftune::actuators {

struct Request;
struct Answer;

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
    // the value as it was, except where `knows_outcome` says no: it may have been written, or still come to be. A
    // listener whose holder makes it wait costs 600 ms at most. Where the writer itself ends or gives no answer within
    // 5 s, there is no second one (its rights are gone): every later request fails and says why.
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

    // sys::module_types() of nf_conntrack by the writer, with its rights.
    Result<sys::Fd> conntrack_types();

    // `told` of each value that was written, as soon as that is known.
    void on_written(std::function<void(const ObjectKey&, std::uint64_t)> told) { told_ = std::move(told); }

    // Of the last answer: whether what it says became of it is so.
    [[nodiscard]] bool knows_outcome() const { return knows_outcome_; }

    [[nodiscard]] pid_t pid() const { return pid_; } // -1: it has ended
    // For epoll: EPOLLHUP when the child has ended. Not for reading.
    [[nodiscard]] int socket() const { return socket_.value(); }

private:
    Writer(pid_t pid, sys::Fd socket) : pid_(pid), socket_(std::move(socket)) {}
    Result<Answer> ask(const Request& request, std::vector<sys::Fd>* passed = nullptr); // a refusal is an error
    Result<Answer> exchange(const Request& request, std::vector<sys::Fd>* passed = nullptr);
    Result<> send(const Request& request);
    Result<Answer> receive(std::vector<sys::Fd>* passed = nullptr); // `passed`: the descriptors that came with it
    std::string end();                                              // says how it ended
    Outcome told(TunableId tunable, const Scope& scope, Outcome outcome) const;

    pid_t pid_ = -1;
    sys::Fd socket_;
    std::string ended_; // why there is no writer any more
    std::function<void(const ObjectKey&, std::uint64_t)> told_;
    bool knows_outcome_ = true;
};

} // namespace bpftune::actuators
