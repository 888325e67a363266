// SPDX-License-Identifier: Apache-2.0
// What the writer answers to a request, whatever it says: whoever sends it may not be the service any more.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "actuators/protocol.hpp"
#include "sys/fd.hpp"

namespace bpftune::actuators {

using Serve = std::function<Answer(const Request&)>;
using Passed = std::vector<sys::Fd>; // go with the answer

// One about a tunable: read, write, lower, in_use.
Answer serve_tunable(const Request& request);

// One that may take long: about a tunable of a socket, or the descriptors of a process.
Answer serve_apart(const Request& request);

// Any. `size`: of the message, which may be another one than a request has. `apart` answers to those that may take long
// (actuators/listener_process.hpp).
Answer serve(const Request& request, std::size_t size, const Serve& apart, Passed& passed);

} // namespace bpftune::actuators
