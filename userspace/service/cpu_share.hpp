// SPDX-License-Identifier: Apache-2.0
// How long a thread is to rest so that it takes no more than a share of one core, whatever it is asked to do. Pure.
#pragma once

#include "core/time.hpp"

namespace bpftune::service {

class CpuShare {
public:
    // `share`: of one core, above 0. `burst`: CPU time that it may take at one go after it was idle.
    CpuShare(double share, Nanoseconds burst, MonoTime now) : share_(share), burst_(burst), left_(burst), at_(now) {}

    // `used`: CPU time of the thread since it began, as of `now`. Zero: it may go on.
    [[nodiscard]] Nanoseconds rest(Nanoseconds used, MonoTime now);

private:
    double share_;
    Nanoseconds burst_;
    Nanoseconds left_; // below zero: to be made up for
    Nanoseconds used_{};
    MonoTime at_;
};

} // namespace bpftune::service
