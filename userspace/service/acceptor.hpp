// SPDX-License-Identifier: Apache-2.0
// Takes connections off a listening socket. One descriptor is kept for when the process has no other left: what has to
// be answered then still is, one connection after the other.
#pragma once

#include "sys/fd.hpp"

namespace bpftune::service {

class Acceptor {
public:
    Acceptor() = default;
    explicit Acceptor(sys::Fd listener); // which does not block

    // The next connection, which does not block; none: errno is accept()'s.
    [[nodiscard]] sys::Fd accept();
    // Whether `error` of accept() only says that nobody waits, or no longer.
    static bool nobody_waits(int error);
    // Whether the kept descriptor is in use, or somebody else was sooner: to end a connection makes room for the next.
    [[nodiscard]] bool is_out_of_descriptors() const { return !spare_; }
    // Closes a connection; its descriptor is kept if none is, at once: no other thread can take it meanwhile.
    void end(sys::Fd connection);
    // To be called now and then: keeps one again, if there is one.
    void keep_one();

    [[nodiscard]] const sys::Fd& listener() const { return listener_; }

private:
    sys::Fd listener_;
    sys::Fd spare_;
};

} // namespace bpftune::service
