// SPDX-License-Identifier: Apache-2.0
#include "kube/cri_relay.hpp"

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace bpftune::kube {
namespace {

bool is_passing(int error) { return error == EAGAIN || error == EINTR; }

// One direction. What was read is written before more is read.
class Way {
public:
    Way(const sys::Fd& from, const sys::Fd& to) : from_(from), to_(to) {}
    [[nodiscard]] bool is_empty() const { return begin_ == end_; }

    // How many bytes came; nothing: one of the sides has ended.
    std::optional<std::size_t> move(bool has_come) {
        std::size_t received = 0;
        if (is_empty() && has_come) {
            const ssize_t size = ::recv(from_.value(), bytes_.data(), bytes_.size(), 0);
            if (size == 0 || (size < 0 && !is_passing(errno))) return std::nullopt;
            received = size < 0 ? 0 : static_cast<std::size_t>(size);
            begin_ = 0;
            end_ = received;
        }
        if (is_empty()) return received;
        const ssize_t size = ::send(to_.value(), bytes_.data() + begin_, end_ - begin_, MSG_NOSIGNAL);
        if (size < 0 && !is_passing(errno)) return std::nullopt;
        begin_ += size < 0 ? 0 : static_cast<std::size_t>(size);
        return received;
    }

private:
    const sys::Fd& from_;
    const sys::Fd& to_;
    std::array<char, std::size_t{64} << 10> bytes_{}; // no memory is asked for in that thread: nobody catches there
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// One that nothing is awaited of is left out: poll would go on telling that its peer has gone.
pollfd await(const sys::Fd& socket, bool input, bool output) {
    const auto events = static_cast<short>((input ? POLLIN : 0) | (output ? POLLOUT : 0));
    return {.fd = events == 0 ? -1 : socket.value(), .events = events, .revents = 0};
}

} // namespace

Result<std::unique_ptr<CriRelay>> CriRelay::start(sys::Fd outer, std::size_t most) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
        return system_failure(errno, "no socket to reach it by");
    return std::unique_ptr<CriRelay>(new CriRelay(std::move(outer), sys::Fd(pair[0]), sys::Fd(pair[1]), most));
}

CriRelay::CriRelay(sys::Fd outer, sys::Fd near, sys::Fd inner, std::size_t most)
    : outer_(std::move(outer)), near_(std::move(near)), inner_(std::move(inner)), most_(most),
      thread_([this] { run(); }) {}

CriRelay::~CriRelay() {
    ::shutdown(outer_.value(), SHUT_RDWR);
    ::shutdown(near_.value(), SHUT_RDWR);
    thread_.join();
}

void CriRelay::run() {
    Way down(outer_, near_);
    Way up(near_, outer_);
    while (!has_exceeded_) {
        std::array<pollfd, 2> both{await(outer_, down.is_empty(), !up.is_empty()),
                                   await(near_, up.is_empty(), !down.is_empty())};
        if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) break;
        const auto received = down.move(both[0].revents != 0);
        if (!received || !up.move(both[1].revents != 0)) break;
        has_exceeded_ = (received_ += *received) > most_;
    }
    ::shutdown(outer_.value(), SHUT_RDWR);
    ::shutdown(near_.value(), SHUT_RDWR);
}

} // namespace bpftune::kube
