// SPDX-License-Identifier: Apache-2.0
// The writer: the one process that enters namespaces, fetches descriptors and writes. It is single-threaded, so setns()
// needs no care; it takes a closed set of typed requests, checks identity and bounds itself, and answers with what it
// read back.
#pragma once

#include <cstdint>
#include <span>

#include <sys/types.h>

#include "core/change.hpp"
#include "core/result.hpp"

namespace bpftune::actuators {

class Writer {
public:
    // Forks. Call it before any thread is started and before capabilities are given up. `inherit`: descriptors that
    // the child keeps (the instance lock, so that no other instance starts while it lives); it closes all others.
    // The child ends with this process, also when that is killed.
    static Result<Writer> start(std::span<const int> inherit = {});

    Writer(Writer&&) noexcept;
    Writer& operator=(Writer&&) noexcept;
    ~Writer(); // ends the child and waits for it

    // The value now. Error code ESTALE: the namespace or socket is gone.
    Result<std::uint64_t> read(TunableId tunable, const Scope& scope);

    // Sets `to` if the value is `from` and the object is still the one that `scope` names; reads back.
    Outcome write(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to);

    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    Writer(pid_t pid, int socket);
    pid_t pid_ = -1;
    int socket_ = -1;
};

} // namespace bpftune::actuators
