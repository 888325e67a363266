// SPDX-License-Identifier: Apache-2.0
// The policy's min: a value that is below it is raised to it without any loss, and takes along what follows it and what
// would bind without it, in the proportion that they had.
#pragma once

namespace bpftune::controller {

class Gate;

void minimum_rule(Gate& gate);

} // namespace bpftune::controller
