// SPDX-License-Identifier: Apache-2.0
// A sysctl of the whole machine, changed for the time of a test; one test at a time.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "netns/lock.hpp"
#include "sys/files.hpp"

namespace bpftune::testing {

class HostSysctl {
public:
    HostSysctl(std::string path, std::uint64_t value) : path_(std::move(path)) {
        original_ = sys::read_number(path_).value();
        must(sys::write_file(path_, std::to_string(value)).has_value(), "set " + path_);
    }
    HostSysctl(const HostSysctl&) = delete;
    HostSysctl& operator=(const HostSysctl&) = delete;
    ~HostSysctl() { static_cast<void>(sys::write_file(path_, std::to_string(original_))); }

private:
    HostLock lock_;
    std::string path_;
    std::uint64_t original_ = 0;
};

} // namespace bpftune::testing
