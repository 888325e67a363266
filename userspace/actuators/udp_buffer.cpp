// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

#include <cerrno>

#include "actuators/socket.hpp"
#include "sys/inet_diag.hpp"
#include "sys/sockets.hpp"

namespace bpftune::actuators {

Result<ReceiveBuffer> ReceiveBuffer::fetch(const Scope& scope) {
    auto socket = fetch_socket(scope, sys::receives_datagrams_here);
    if (!socket) return std::unexpected(socket.error());
    const auto is_udp = sys::is_udp(socket->value());
    if (!is_udp) return std::unexpected(is_udp.error());
    if (!*is_udp) return failure("the socket is none of UDP");
    return ReceiveBuffer(std::move(*socket));
}

Result<std::uint64_t> ReceiveBuffer::value() const {
    const auto buffer = sys::receive_buffer(socket_.value());
    if (!buffer) return std::unexpected(buffer.error());
    return buffer->bytes;
}

Result<std::uint64_t> ReceiveBuffer::in_use() const {
    const auto buffer = sys::receive_buffer(socket_.value());
    if (!buffer) return std::unexpected(buffer.error());
    return buffer->in_use;
}

Result<> ReceiveBuffer::set(std::uint64_t bytes) const {
    const auto before = value();
    if (!before) return std::unexpected(before.error());
    if (bytes % 2 != 0 || *before % 2 != 0)
        return std::unexpected(
            Error{fmt::format("of {} and {} bytes one is odd: the kernel takes halves only", *before, bytes), ERANGE});
    return sys::set_receive_buffer(socket_.value(), bytes);
}

} // namespace bpftune::actuators
