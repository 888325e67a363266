// SPDX-License-Identifier: Apache-2.0
#include "service/boot.hpp"

#include "sys/files.hpp"

namespace bpftune::service {

Result<std::string> boot_id() {
    auto text = sys::read_file("/proc/sys/kernel/random/boot_id");
    while (text && !text->empty() && text->back() == '\n') text->pop_back();
    return text;
}

} // namespace bpftune::service
