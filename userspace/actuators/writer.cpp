// SPDX-License-Identifier: Apache-2.0
#include "actuators/writer.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actuators/listener_process.hpp"
#include "actuators/writer_process.hpp"
#include "sys/clock.hpp"
#include "sys/sockets.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::actuators {
namespace {

constexpr Nanoseconds longest_wait = std::chrono::seconds(5);
constexpr int longest_end_ms = 1000; // a killed child that sits in the kernel must not hold the service

Error error_of(const Answer& answer) {
    const auto size = std::min<std::size_t>(answer.error_size, answer.error.size());
    return {.message = std::string(answer.error.data(), size), .code = answer.code};
}

Request write_request(Operation operation, TunableId tunable, const Scope& scope, std::uint64_t from,
                      std::uint64_t to) {
    Request request = request_of(operation, tunable, scope);
    request.from = from;
    request.to = to;
    return request;
}

std::string described(const Request& request) {
    switch (request.operation) {
    case Operation::visit: return fmt::format("a visit to net:[{}]", request.netns_inode);
    case Operation::conntrack_types: return "the types of nf_conntrack";
    case Operation::nudge: return fmt::format("the connections of net:[{}]", request.netns_inode);
    case Operation::namespaces: return fmt::format("the network namespaces of {} processes", request.asked_count);
    case Operation::descriptors:
    case Operation::sockets: return fmt::format("the descriptors of process {}", request.listener_pid);
    case Operation::read:
    case Operation::write:
    case Operation::lower:
    case Operation::in_use: break;
    }
    const bool writes = request.operation == Operation::write || request.operation == Operation::lower;
    const auto& catalog = tunables::catalog();
    const auto name = request.tunable < catalog.size() ? catalog[request.tunable].name : "an unknown limit";
    return fmt::format("{} {} of net:[{}]", writes ? "a write of" : "a look at", name, request.netns_inode);
}

std::string describe(int status) {
    if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
    return fmt::format("ended with status {}", WEXITSTATUS(status));
}

// One message, whole or cut short; descriptors that come unasked are closed.
ssize_t receive_message(int socket, Answer& answer, std::vector<sys::Fd>* passed, int flags = 0) {
    iovec place{.iov_base = &answer, .iov_len = sizeof answer};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_passed * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket, &message, MSG_TRUNC | MSG_CMSG_CLOEXEC | flags);
    const cmsghdr* header = size < 0 ? nullptr : CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return size;
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, reinterpret_cast<const char*>(header) + at, sizeof fd);
        sys::Fd received(fd);
        if (passed != nullptr) passed->push_back(std::move(received));
    }
    return size;
}

// Waits for a child that has ended or is about to.
std::string reap(pid_t pid) {
    const auto process = sys::open_process(pid);
    pollfd ended{.fd = process ? process->value() : -1, .events = POLLIN, .revents = 0};
    int ready = 0;
    do ready = ::poll(&ended, 1, longest_end_ms);
    while (ready < 0 && errno == EINTR);
    int status = 0;
    return ::waitpid(pid, &status, WNOHANG) == pid ? describe(status) : "does not end";
}

} // namespace

Result<Writer> Writer::start(std::span<const int> inherit) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return system_failure(errno, "make a socket pair for the writer");
    sys::Fd ours(pair[0]);
    const sys::Fd theirs(pair[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return system_failure(errno, "fork the writer");
    if (pid == 0) run_writer_process(theirs.value(), inherit, parent);
    Writer writer(pid, std::move(ours));
    writer.set_patience(longest_wait);
    const auto ready = writer.receive();
    if (!ready) return std::unexpected(ready.error());
    if (ready->kind != static_cast<std::uint32_t>(Outcome::Kind::written))
        return with_context(error_of(*ready), "start the writer");
    writer.unrestricted_ = error_of(*ready).message;
    return writer;
}

Writer::Writer(Writer&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)), ended_(std::move(other.ended_)),
      told_(std::move(other.told_)), unanswered_(std::move(other.unanswered_)), sent_(other.sent_), late_(other.late_),
      unrestricted_(std::move(other.unrestricted_)) {}

Writer& Writer::operator=(Writer&& other) noexcept {
    if (this == &other) return *this;
    end();
    pid_ = std::exchange(other.pid_, -1);
    socket_ = std::move(other.socket_);
    ended_ = std::move(other.ended_);
    told_ = std::move(other.told_);
    unanswered_ = std::move(other.unanswered_);
    sent_ = other.sent_;
    late_ = other.late_;
    unrestricted_ = std::move(other.unrestricted_);
    return *this;
}

Writer::~Writer() { end(); }

Result<std::uint64_t> Writer::read(TunableId tunable, const Scope& scope) {
    const auto answer = ask(request_of(Operation::read, tunable, scope));
    if (!answer) return std::unexpected(answer.error());
    return answer->value;
}

Outcome Writer::write(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    return told(tunable, scope, outcome_of(exchange(write_request(Operation::write, tunable, scope, from, to))));
}

Outcome Writer::lower(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    return told(tunable, scope, outcome_of(exchange(write_request(Operation::lower, tunable, scope, from, to))));
}

Result<std::uint64_t> Writer::in_use(TunableId tunable, const Scope& scope) {
    const auto answer = ask(request_of(Operation::in_use, tunable, scope));
    if (!answer) return std::unexpected(answer.error());
    return answer->value;
}

Outcome Writer::outcome_of(const Result<Answer>& answer) {
    const int code = answer ? answer->code : answer.error().code;
    knows_outcome_ = code != no_answer;
    if (!answer)
        return {
            .kind = Outcome::Kind::failed, .value = 0, .error = answer.error().message, .is_tried = code != not_tried};
    return {.kind = static_cast<Outcome::Kind>(answer->kind),
            .value = answer->value,
            .error = error_of(*answer).message,
            .is_tried = code != not_tried};
}

Outcome Writer::told(TunableId tunable, const Scope& scope, Outcome outcome) const {
    if (told_ && outcome.kind == Outcome::Kind::written) told_(key_of(tunable, scope), outcome.value);
    return outcome;
}

void Writer::write(std::span<const Decision> decisions, const std::function<void(Outcome)>& made) {
    const auto send_one = [&](std::size_t i) -> Result<> {
        if (i == decisions.size()) return {};
        const Decision& decision = decisions[i];
        const Operation operation = decision.act == Decision::Act::give_back ? Operation::lower : Operation::write;
        return send(write_request(operation, decision.tunable, decision.scope, decision.from, decision.to));
    };
    auto sent = send_one(0);
    for (std::size_t i = 0; i < decisions.size(); ++i) {
        auto next = sent ? send_one(i + 1) : sent;
        const Decision& decision = decisions[i];
        made(told(decision.tunable, decision.scope, outcome_of(sent ? receive() : std::unexpected(sent.error()))));
        sent = std::move(next);
    }
}

Result<sys::Visit> Writer::visit(const NetnsId& netns, const sys::NetnsHint& hint, const sys::Wanted& wanted) {
    Request request{.operation = Operation::visit,
                    .netns_inode = netns.inode,
                    .netns_cookie = netns.cookie,
                    .netns_pid = hint.pid,
                    .netlink = wanted.socket,
                    .counters = wanted.counters ? 1U : 0U,
                    .timeouts = wanted.timeouts ? 1U : 0U,
                    .devices = wanted.devices ? 1U : 0U};
    if (hint.path.size() <= request.netns_path.size()) {
        request.netns_path_size = static_cast<std::uint32_t>(hint.path.size());
        std::ranges::copy(hint.path, request.netns_path.begin());
    }
    std::vector<sys::Fd> passed;
    const auto answer = ask(request, &passed);
    if (!answer) return std::unexpected(answer.error());
    sys::Visit visit{.id = {.cookie = answer->netns_cookie, .inode = netns.inode},
                     .user_ns_owner = answer->in_user_ns != 0 ? std::optional(answer->user_ns_owner) : std::nullopt,
                     .sysctls = answer->sysctls,
                     .socket = {},
                     .netstat = {},
                     .sockstat = {},
                     .counts = {},
                     .sysfs = {},
                     .timeouts = {}};
    if (answer->has_timeouts != 0) visit.timeouts = answer->timeouts;
    std::vector<sys::Fd*> expected;
    if (wanted.socket != sys::Netlink::none) expected.push_back(&visit.socket);
    if (wanted.counters) expected.insert(expected.end(), {&visit.netstat, &visit.sockstat});
    if (wanted.devices) expected.insert(expected.end(), {&visit.counts, &visit.sysfs});
    if (passed.size() != expected.size()) return failure("the writer did not pass on what was asked for");
    for (std::size_t i = 0; i < expected.size(); ++i) *expected[i] = std::move(passed[i]);
    return visit;
}

Result<std::vector<sys::LinkTarget>> Writer::namespaces(std::span<const pid_t> pids) {
    return targets({.operation = Operation::namespaces}, pids);
}

Result<std::vector<sys::LinkTarget>> Writer::descriptors(pid_t pid, std::span<const int> fds) {
    return targets({.operation = Operation::descriptors, .listener_pid = pid}, fds);
}

Result<std::vector<sys::LinkTarget>> Writer::targets(Request request, std::span<const std::int32_t> asked) {
    std::vector<sys::LinkTarget> targets;
    targets.reserve(asked.size());
    while (!asked.empty()) {
        const auto part = asked.first(std::min(asked.size(), most_asked));
        asked = asked.subspan(part.size());
        request.asked_count = static_cast<std::uint32_t>(part.size());
        std::ranges::copy(part, request.asked.begin());
        const auto answer = ask(request);
        if (!answer) return std::unexpected(answer.error());
        if (answer->found_count != part.size()) return failure("the writer did not say all that was asked for");
        targets.insert(targets.end(), answer->found.begin(),
                       answer->found.begin() + static_cast<std::ptrdiff_t>(part.size()));
    }
    return targets;
}

Result<sys::OpenSockets> Writer::sockets(pid_t pid, int from) {
    const auto answer = ask({.operation = Operation::sockets, .listener_pid = pid, .listener_fd = from});
    if (!answer) return std::unexpected(answer.error());
    if (answer->found_count > answer->found.size() || (answer->next >= 0 && answer->next <= from))
        return failure("the writer said what was not asked for");
    const auto end = answer->found.begin() + static_cast<std::ptrdiff_t>(answer->found_count);
    return sys::OpenSockets{.sockets = {answer->found.begin(), end},
                            .next = answer->next >= 0 ? std::optional(answer->next) : std::nullopt,
                            .looked_at = answer->looked_at};
}

Result<sys::Fd> Writer::conntrack_types() {
    std::vector<sys::Fd> types;
    const auto answer = ask({.operation = Operation::conntrack_types}, &types);
    if (!answer) return std::unexpected(answer.error());
    if (types.size() != 1) return failure("the writer passed no types on");
    return std::move(types.front());
}

Result<> Writer::nudge(const Scope& scope, std::uint32_t link_id) {
    Request request = request_of(Operation::nudge, TunableId{}, scope);
    request.nudge_link = link_id;
    const auto answer = ask(request);
    return answer ? Result<>() : std::unexpected(answer.error());
}

Result<Answer> Writer::ask(const Request& request, std::vector<sys::Fd>* passed) {
    auto answer = exchange(request, passed);
    if (answer && answer->kind != static_cast<std::uint32_t>(Outcome::Kind::written))
        return std::unexpected(error_of(*answer));
    return answer;
}

Result<Answer> Writer::exchange(const Request& request, std::vector<sys::Fd>* passed) {
    if (auto sent = send(request); !sent) return std::unexpected(sent.error());
    return receive(passed);
}

void Writer::set_patience(Nanoseconds patience) {
    const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(patience);
    const timeval longest{.tv_sec = whole.count() / 1'000'000, .tv_usec = whole.count() % 1'000'000};
    ::setsockopt(socket_.value(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
}

// That it has ended is seen by receive().
Result<> Writer::send(Request request) {
    take_late_answers();
    if (pid_ < 0) return failure("{}", ended_);
    if (late_) return std::unexpected(Error{fmt::format("not tried: {}", busy()), not_tried});
    request.sequence = ++sent_;
    if (::send(socket_.value(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request && errno != EPIPE &&
        errno != ECONNRESET)
        return system_failure(errno, "send to the writer");
    unanswered_.push_back(request);
    return {};
}

// What was sent and is not answered may yet be done.
Result<Answer> Writer::receive(std::vector<sys::Fd>* passed) {
    if (pid_ < 0) return std::unexpected(Error{ended_, no_answer});
    if (late_) return std::unexpected(Error{fmt::format("no answer yet: {}", busy()), no_answer});
    Answer answer;
    ssize_t size = 0;
    do size = receive_message(socket_.value(), answer, passed);
    while (size < 0 && errno == EINTR);
    if (is_answer(answer, size)) {
        if (!unanswered_.empty()) unanswered_.pop_front();
        return answer;
    }
    late_ = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (late_) return std::unexpected(Error{fmt::format("no answer in time: {}", busy()), no_answer});
    lose(size > 0 ? "gave no proper answer and " : "");
    return std::unexpected(Error{ended_, no_answer});
}

bool Writer::is_answer(const Answer& answer, std::int64_t size) const {
    return size == sizeof answer && answer.version == protocol_version &&
           answer.kind <= static_cast<std::uint32_t>(Outcome::Kind::failed) &&
           answer.sequence == (unanswered_.empty() ? 0 : unanswered_.front().sequence);
}

// Nobody waits for them any more, but for what was written.
void Writer::take_late_answers() {
    while (late_) {
        Answer answer;
        const ssize_t size = receive_message(socket_.value(), answer, nullptr, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (!is_answer(answer, size)) return lose(size > 0 ? "gave no proper answer and " : "");
        const Request request = unanswered_.front();
        unanswered_.pop_front();
        late_ = !unanswered_.empty();
        if (request.operation == Operation::write || request.operation == Operation::lower)
            (void)told(static_cast<TunableId>(request.tunable), scope_of(request), outcome_of(answer));
    }
}

bool Writer::catches_up(Nanoseconds longest) {
    const MonoTime deadline = sys::now().mono + longest;
    for (take_late_answers(); late_; take_late_answers()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - sys::now().mono).count();
        pollfd answered{.fd = socket_.value(), .events = POLLIN, .revents = 0};
        if (left <= 0 || ::poll(&answered, 1, static_cast<int>(left)) == 0) return false;
    }
    return pid_ >= 0;
}

std::string Writer::busy() const {
    return fmt::format("the writer is still busy with {}",
                       unanswered_.empty() ? std::string("its start") : described(unanswered_.front()));
}

void Writer::lose(std::string_view before) {
    late_ = false;
    ended_ = fmt::format("the writer process {}{}: nothing can be changed until the service is started again", before,
                         end());
}

std::string Writer::end() {
    if (pid_ < 0) return {};
    ::shutdown(socket_.value(), SHUT_RDWR); // whoever watches it learns of this; one that is closed says nothing
    ::kill(pid_, SIGKILL);                  // what it may have written is taken for ours
    return reap(std::exchange(pid_, -1));
}

} // namespace bpftune::actuators
