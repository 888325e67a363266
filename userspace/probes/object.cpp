// SPDX-License-Identifier: Apache-2.0
#include "probes/object.hpp"

#include <unistd.h>

#include "sys/fd.hpp"

namespace bpftune::probes {

Result<std::vector<std::byte>> run_iterator(const bpf_link* link, std::size_t at_once) {
    const sys::Fd run(bpf_iter_create(bpf_link__fd(link)));
    if (!run) return system_failure(errno, "start a BPF iterator");
    std::vector<std::byte> records;
    while (true) {
        const std::size_t before = records.size();
        records.resize(before + at_once);
        const ssize_t count = ::read(run.value(), records.data() + before, at_once);
        const int error = errno;
        records.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
        if (count == 0) return records;
        // EAGAIN: the kernel takes a breath after a million objects without output.
        if (count < 0 && error != EAGAIN && error != EINTR) return system_failure(error, "read a BPF iterator");
    }
}

} // namespace bpftune::probes
