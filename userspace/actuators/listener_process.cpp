// SPDX-License-Identifier: Apache-2.0
#include "actuators/listener_process.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "actuators/socket.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"

namespace bpftune::actuators {
namespace {

constexpr Nanoseconds patience = std::chrono::milliseconds(600); // past what a search may take, on a busy machine
constexpr Nanoseconds least_patience = std::chrono::milliseconds(400);
static_assert(least_patience > longest_search + longest_look); // who only takes long
constexpr int refill = 20;                                     // of what was used up, in as many times as long
constexpr int longest_end_ms = 20;
constexpr std::size_t most_killed = 64;
constexpr std::size_t many_killed = 16;          // from then on one of each who is held to account
constexpr std::ptrdiff_t most_killed_of_one = 4; // network namespace
constexpr Nanoseconds left_alone = std::chrono::minutes(5);
constexpr std::size_t most_silent = 4096;

[[noreturn]] void serve_requests(int socket, const Serve& serve, pid_t parent) {
    ::prctl(PR_SET_NAME, "bpftune-listen", 0, 0, 0);
    // Nothing else of the writer's: neither its way to the service, by which that sees it end, nor the instance's lock.
    if (socket > STDERR_FILENO + 1) ::close_range(STDERR_FILENO + 1, static_cast<unsigned>(socket) - 1, 0);
    ::close_range(static_cast<unsigned>(socket) + 1, ~0U, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    Request request;
    while (::getppid() == parent && ::recv(socket, &request, sizeof request, 0) == sizeof request) {
        const Answer answer = serve(request);
        if (::send(socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) break;
    }
    ::_exit(0);
}

} // namespace

Result<> ListenerProcess::start() {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return system_failure(errno, "make a socket pair for listeners");
    sys::Fd ours(pair[0]);
    const sys::Fd theirs(pair[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return system_failure(errno, "fork a process for listeners");
    if (pid == 0) serve_requests(theirs.value(), serve_, parent);
    pid_ = pid;
    socket_ = std::move(ours);
    return {};
}

Answer ListenerProcess::ask(const Request& request) {
    reap();
    const MonoTime now = sys::now().mono;
    if (auto why = reason_to_refuse(request, now)) return refusal({std::move(*why), not_tried});
    if (pid_ < 0)
        if (auto started = start(); !started) return refusal(started.error());
    if (::send(socket_.value(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request) {
        auto failed = system_failure(errno, "send to the process for listeners");
        kill(request);
        return refusal({std::move(failed.error().message), not_tried});
    }
    return wait_for_answer(request, now);
}

// nullopt: it is asked about.
std::optional<std::string> ListenerProcess::reason_to_refuse(const Request& request, MonoTime now) {
    if (is_left_alone(request, now)) return "its process gave no answer before: it is left alone for five minutes";
    if (auto why = reason_by_killed(request)) return why;
    const auto beside_it = allowances_.find(request.netns_inode);
    if (beside_it != allowances_.end() && beside_it->second.left(now) < least_patience)
        return "others of its network namespace gave no answer: what is there is tried again in some seconds";
    return std::nullopt;
}

std::optional<std::string> ListenerProcess::reason_by_killed(const Request& request) const {
    const auto locked_beside_it = std::ranges::count_if(
        killed_, [&](const auto& killed) { return killed.second.request.netns_inode == request.netns_inode; });
    if (locked_beside_it >= most_killed_of_one)
        return fmt::format("{} listeners of its network namespace are kept locked by their processes",
                           locked_beside_it);
    if (killed_.size() < many_killed) return std::nullopt;
    const Group group = group_of(request);
    const bool has_one = std::ranges::any_of(killed_, [&](const auto& killed) { return killed.second.group == group; });
    if (!has_one && killed_.size() < most_killed) return std::nullopt;
    const std::string_view whose = !has_one                           ? ""
                                   : group.kind == Group::Kind::netns ? ", one beside it"
                                                                      : ", one of its user's or cgroup's among them";
    return fmt::format("{} listeners are kept locked by their processes{}", killed_.size(), whose);
}

// Whoever makes namespaces for himself has one bound for all, however deep they are. Root of a pod that has no user
// namespace is the node's root by number, as a runtime is: what such a one made, or what nobody is in, goes by the
// cgroup of who holds the listener, which nobody in a pod leaves.
ListenerProcess::Group ListenerProcess::group_of(const Request& request) {
    const auto netns = sys::find_netns({.cookie = request.netns_cookie, .inode = request.netns_inode},
                                       {.pid = request.netns_pid, .path = {}});
    const auto outermost = netns ? sys::outermost_user_ns(*netns) : std::nullopt;
    if (outermost && outermost->owner != 0) return {.kind = Group::Kind::user, .number = outermost->owner};
    if (netns && !outermost) return {.kind = Group::Kind::netns, .number = request.netns_inode};
    auto cgroup = sys::read_file(fmt::format("/proc/{}/cgroup", request.listener_pid));
    return {.kind = Group::Kind::cgroup, .cgroup = cgroup ? std::move(*cgroup) : std::string()};
}

ListenerProcess::Subject ListenerProcess::subject_of(const Request& request) {
    const bool is_look = request.operation == Operation::descriptors || request.operation == Operation::sockets;
    return is_look ? Subject(0, request.listener_pid) : Subject(request.listener_cookie, 0);
}

bool ListenerProcess::is_left_alone(const Request& request, MonoTime now) const {
    const Subject subject = subject_of(request);
    const auto is_holder = [&](int pid) { return pid > 0 && pid == request.listener_pid; };
    const bool locked = std::ranges::any_of(killed_, [&](const auto& killed) {
        const Request& other = killed.second.request;
        return subject_of(other) == subject || is_holder(other.listener_pid);
    });
    return locked || std::ranges::any_of(silent_, [&](const auto& entry) {
               const auto& [other, silent] = entry;
               return (other == subject || is_holder(silent.pid)) && now < silent.until;
           });
}

Answer ListenerProcess::wait_for_answer(const Request& request, MonoTime begun) {
    const Nanoseconds longest = std::clamp(allowance_.left(begun), least_patience, patience);
    const auto longest_ms = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
    pollfd answered{.fd = socket_.value(), .events = POLLIN, .revents = 0};
    Answer answer;
    int ready = 0;
    do ready = ::poll(&answered, 1, static_cast<int>(longest_ms));
    while (ready < 0 && errno == EINTR);
    if (ready > 0 && ::recv(socket_.value(), &answer, sizeof answer, 0) == sizeof answer) return answer;
    kill(request);
    const MonoTime now = sys::now().mono;
    allowance_.use(now - begun, now);
    allowances_[request.netns_inode].use(now - begun, now);
    leave_alone(request, now);
    if (ready > 0) return refusal({"the process for listeners ended over it", no_answer});
    return refusal(
        {fmt::format("no answer within {} ms: its process keeps it locked, or keeps itself from being looked "
                     "into; it is left alone for five minutes",
                     longest_ms),
         no_answer});
}

void ListenerProcess::leave_alone(const Request& request, MonoTime now) {
    std::erase_if(silent_, [&](const auto& entry) { return entry.second.until <= now; });
    std::erase_if(allowances_, [&](const auto& entry) { return entry.second.left(now) == most_allowance; });
    const Subject subject = subject_of(request);
    if (silent_.size() < most_silent)
        silent_[subject] = {.until = now + left_alone, .pid = subject.second == 0 ? request.listener_pid : 0};
}

// The kernel may take its time to end it; another can be had at once.
void ListenerProcess::kill(const Request& request) {
    const auto process = sys::open_process(pid_);
    ::kill(pid_, SIGKILL);
    socket_.reset();
    pollfd ended{.fd = process ? process->value() : -1, .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, longest_end_ms);
    const pid_t pid = std::exchange(pid_, -1);
    if (::waitpid(pid, nullptr, WNOHANG) == 0) killed_[pid] = {.request = request, .group = group_of(request)};
}

// What the kernel has let go of can be read again.
void ListenerProcess::reap() {
    std::erase_if(killed_, [this](const auto& killed) {
        if (::waitpid(killed.first, nullptr, WNOHANG) == 0) return false;
        silent_.erase(subject_of(killed.second.request));
        return true;
    });
}

Nanoseconds ListenerProcess::Allowance::left(MonoTime now) const {
    return std::min(at_last + (now - last) / refill, most_allowance);
}

void ListenerProcess::Allowance::use(Nanoseconds used, MonoTime now) {
    at_last = left(now) - std::min(used, left(now));
    last = now;
}

} // namespace bpftune::actuators
