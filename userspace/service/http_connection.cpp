// SPDX-License-Identifier: Apache-2.0
#include "service/http_connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace bpftune::service {
namespace {

constexpr std::size_t taken_at_once = 4096;
// The body of a POST that is refused may still be on its way, and to close before it is read would reset what was sent.
constexpr std::size_t most_after_request = std::size_t{64} * 1024;

iovec part_of(std::string_view text, std::size_t from) {
    text.remove_prefix(std::min(from, text.size()));
    return {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
}

} // namespace

std::size_t HttpConnection::take(char* into, std::size_t most) {
    const ssize_t size = ::recv(socket_.value(), into, most, 0);
    ended_ = size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
    return size > 0 ? static_cast<std::size_t>(size) : 0;
}

bool HttpConnection::receive() {
    std::array<char, taken_at_once> chunk{};
    const std::size_t known = in_.size();
    in_.append(chunk.data(), take(chunk.data(), chunk.size()));
    return in_.size() > known && is_whole(in_, known);
}

void HttpConnection::answer(const HttpResponse& response, bool with_body, MonoTime now) {
    static const auto nothing = std::make_shared<const std::string>();
    head_ = head_of(response);
    body_ = with_body ? response.body : nothing;
    answered_ = true;
    in_ = {};
    send(now);
}

void HttpConnection::go_on(MonoTime now) {
    if (is_sending()) return send(now);
    std::array<char, taken_at_once> chunk{};
    unread_ += take(chunk.data(), chunk.size());
    ended_ |= unread_ > most_after_request;
}

void HttpConnection::send(MonoTime now) {
    std::array parts{part_of(head_, sent_), part_of(*body_, sent_ - std::min(sent_, head_.size()))};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t size = ::sendmsg(socket_.value(), &message, MSG_NOSIGNAL);
    ended_ = size < 0 && errno != EAGAIN && errno != EINTR;
    if (size > 0) {
        sent_ += static_cast<std::size_t>(size);
        last_sent_ = now;
    }
    if (!is_sending()) ::shutdown(socket_.value(), SHUT_WR); // the client closes first
}

} // namespace bpftune::service
