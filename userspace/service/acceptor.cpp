// SPDX-License-Identifier: Apache-2.0
#include "service/acceptor.hpp"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace bpftune::service {

Acceptor::Acceptor(sys::Fd listener) : listener_(std::move(listener)) { keep_one(); }

sys::Fd Acceptor::accept() {
    const auto next = [&] {
        return sys::Fd(::accept4(listener_.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    };
    sys::Fd socket = next();
    if (socket || !spare_ || (errno != EMFILE && errno != ENFILE)) return socket;
    spare_.reset();
    return next();
}

bool Acceptor::nobody_waits(int error) { return error == EAGAIN || error == EINTR || error == ECONNABORTED; }

void Acceptor::end(sys::Fd connection) {
    if (spare_ || ::dup3(listener_.value(), connection.value(), O_CLOEXEC) < 0) return;
    spare_ = std::move(connection);
}

void Acceptor::keep_one() {
    if (!spare_) spare_ = sys::Fd(::fcntl(listener_.value(), F_DUPFD_CLOEXEC, 0));
}

} // namespace bpftune::service
