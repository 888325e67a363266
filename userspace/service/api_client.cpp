// SPDX-License-Identifier: Apache-2.0
#include "service/api_client.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/time.h>

namespace bpftune::service {
namespace {

timeval to_timeval(Nanoseconds time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    return {.tv_sec = seconds.count(),
            .tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds).count()};
}

std::unexpected<Error> no_answer(const std::filesystem::path& path, Nanoseconds patience) {
    return failure("{}: the service gave no answer within {} s: it is stopped or very busy", path.string(),
                   Seconds(patience).count());
}

} // namespace

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.empty() || text.size() >= sizeof(address.sun_path))
        return failure("'{}' is no path for a socket: at most {} bytes", text, sizeof(address.sun_path) - 1);
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

Result<sys::Fd> connect_to_api(const std::filesystem::path& path, Nanoseconds patience) {
    const auto address = address_of(path);
    if (!address) return std::unexpected(address.error());
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_failure(errno, "socket");
    const timeval timeout = to_timeval(patience);
    ::setsockopt(socket.value(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    ::setsockopt(socket.value(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (::connect(socket.value(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0) return socket;
    if (errno == EAGAIN) return no_answer(path, patience); // so many wait already
    return system_failure(errno, "connect to {}", path.string());
}

bool no_service(const Error& error) { return error.code == ENOENT || error.code == ECONNREFUSED; }

Result<sys::Fd> begin_to_ask(const std::filesystem::path& path, const std::string& line, Nanoseconds patience) {
    auto socket = connect_to_api(path, patience);
    if (!socket) return socket;
    const std::string request = line + "\n";
    if (::send(socket->value(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return system_failure(errno, "send to {}", path.string());
    return socket;
}

Result<std::string> ask(const std::filesystem::path& path, const std::string& line, Nanoseconds patience) {
    const auto socket = begin_to_ask(path, line, patience);
    if (!socket) return std::unexpected(socket.error());
    std::string answer;
    std::array<char, 65536> chunk{};
    while (answer.empty() || answer.back() != '\n') {
        const ssize_t count = ::recv(socket->value(), chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EAGAIN) return no_answer(path, patience);
        if (count < 0) return system_failure(errno, "read from {}", path.string());
        if (count == 0) return failure("{}: the service closed the connection without an answer", path.string());
        answer.append(chunk.data(), static_cast<std::size_t>(count));
    }
    answer.pop_back();
    return answer;
}

} // namespace bpftune::service
