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

#include "actuators/protocol.hpp"
#include "actuators/writer_process.hpp"
#include "sys/sockets.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::actuators {
namespace {

constexpr timeval longest_wait{.tv_sec = 5, .tv_usec = 0};
constexpr int longest_end_ms = 1000; // a killed child that sits in the kernel must not hold the service

Error error_of(const Answer& answer) {
    const auto size = std::min<std::size_t>(answer.error_size, answer.error.size());
    return {.message = std::string(answer.error.data(), size), .code = answer.code};
}

Request write_request(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    Request request = request_of(Operation::write, tunable, scope);
    request.from = from;
    request.to = to;
    return request;
}

Outcome outcome_of(const Result<Answer>& answer) {
    if (!answer) return {.kind = Outcome::Kind::failed, .value = 0, .error = answer.error().message};
    return {
        .kind = static_cast<Outcome::Kind>(answer->kind), .value = answer->value, .error = error_of(*answer).message};
}

std::string describe(int status) {
    if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
    return fmt::format("ended with status {}", WEXITSTATUS(status));
}

// One message, whole or cut short; a descriptor that comes unasked is closed.
ssize_t receive_message(int socket, Answer& answer, sys::Fd* passed) {
    iovec place{.iov_base = &answer, .iov_len = sizeof answer};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket, &message, MSG_TRUNC | MSG_CMSG_CLOEXEC);
    const cmsghdr* header = size < 0 ? nullptr : CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) return size;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    sys::Fd received(fd);
    if (passed != nullptr) *passed = std::move(received);
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
    if (::setsockopt(ours.value(), SOL_SOCKET, SO_RCVTIMEO, &longest_wait, sizeof longest_wait) != 0)
        return system_failure(errno, "set the writer's time limit");
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return system_failure(errno, "fork the writer");
    if (pid == 0) run_writer_process(theirs.value(), inherit, parent);
    Writer writer(pid, std::move(ours));
    const auto ready = writer.receive();
    if (!ready) return std::unexpected(ready.error());
    if (ready->kind != static_cast<std::uint32_t>(Outcome::Kind::written))
        return with_context(error_of(*ready), "start the writer");
    return writer;
}

Writer::Writer(Writer&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)), ended_(std::move(other.ended_)) {}

Writer& Writer::operator=(Writer&& other) noexcept {
    if (this == &other) return *this;
    end();
    pid_ = std::exchange(other.pid_, -1);
    socket_ = std::move(other.socket_);
    ended_ = std::move(other.ended_);
    return *this;
}

Writer::~Writer() { end(); }

Result<std::uint64_t> Writer::read(TunableId tunable, const Scope& scope) {
    const auto answer = ask(request_of(Operation::read, tunable, scope));
    if (!answer) return std::unexpected(answer.error());
    return answer->value;
}

Outcome Writer::write(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    return outcome_of(exchange(write_request(tunable, scope, from, to)));
}

void Writer::write(std::span<const Decision> decisions, const std::function<void(Outcome)>& made) {
    const auto send_one = [&](std::size_t i) -> Result<> {
        if (i == decisions.size()) return {};
        const Decision& decision = decisions[i];
        return send(write_request(decision.tunable, decision.scope, decision.from, decision.to));
    };
    auto sent = send_one(0);
    for (std::size_t i = 0; i < decisions.size(); ++i) {
        auto next = sent ? send_one(i + 1) : sent;
        made(outcome_of(sent ? receive() : std::unexpected(sent.error())));
        sent = std::move(next);
    }
}

Result<sys::Visit> Writer::visit(const NetnsId& netns, pid_t hint, sys::Netlink protocol) {
    const Request request{.operation = Operation::visit,
                          .netns_inode = netns.inode,
                          .netns_cookie = netns.cookie,
                          .netns_pid = hint,
                          .netlink = protocol};
    sys::Fd socket;
    const auto answer = ask(request, &socket);
    if (!answer) return std::unexpected(answer.error());
    if (protocol != sys::Netlink::none && !socket) return failure("the writer passed no socket on");
    return sys::Visit{.id = {.cookie = answer->netns_cookie, .inode = netns.inode},
                      .sysctls = answer->sysctls,
                      .socket = std::move(socket)};
}

Result<sys::Fd> Writer::conntrack_types() {
    sys::Fd types;
    const auto answer = ask({.operation = Operation::conntrack_types}, &types);
    if (!answer) return std::unexpected(answer.error());
    if (!types) return failure("the writer passed no types on");
    return types;
}

Result<Answer> Writer::ask(const Request& request, sys::Fd* passed) {
    auto answer = exchange(request, passed);
    if (answer && answer->kind != static_cast<std::uint32_t>(Outcome::Kind::written))
        return std::unexpected(error_of(*answer));
    return answer;
}

Result<Answer> Writer::exchange(const Request& request, sys::Fd* passed) {
    if (auto sent = send(request); !sent) return std::unexpected(sent.error());
    return receive(passed);
}

// That it has ended is seen by receive().
Result<> Writer::send(const Request& request) {
    if (pid_ < 0) return failure("{}", ended_);
    if (::send(socket_.value(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request && errno != EPIPE &&
        errno != ECONNRESET)
        return system_failure(errno, "send to the writer");
    return {};
}

Result<Answer> Writer::receive(sys::Fd* passed) {
    if (pid_ < 0) return failure("{}", ended_);
    Answer answer;
    ssize_t size = 0;
    do size = receive_message(socket_.value(), answer, passed);
    while (size < 0 && errno == EINTR);
    if (size == sizeof answer && answer.version == protocol_version &&
        answer.kind <= static_cast<std::uint32_t>(Outcome::Kind::failed))
        return answer;
    const bool late = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    const std::string_view before = late ? "gave no answer for 5 s and " : size > 0 ? "gave no proper answer and " : "";
    ended_ = fmt::format("the writer process {}{}: nothing can be changed until the service is started again", before,
                         end());
    return failure("{}", ended_);
}

std::string Writer::end() {
    if (pid_ < 0) return {};
    ::shutdown(socket_.value(), SHUT_RDWR); // whoever watches it learns of this; one that is closed says nothing
    ::kill(pid_, SIGKILL);                  // what it may have written is taken for ours
    return reap(std::exchange(pid_, -1));
}

} // namespace bpftune::actuators
