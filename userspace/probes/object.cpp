// SPDX-License-Identifier: Apache-2.0
#include "probes/object.hpp"

#include <algorithm>

#include <unistd.h>

#include "sys/fd.hpp"

namespace bpftune::probes {

Result<> run_iterator(const bpf_link* link, std::size_t at_once, const TakeRecords& take) {
    const sys::Fd run(bpf_iter_create(bpf_link__fd(link)));
    if (!run) return system_failure(errno, "start a BPF iterator");
    std::vector<std::byte> records(at_once);
    std::size_t left = 0; // of these, at the beginning
    while (true) {
        const ssize_t count = ::read(run.value(), records.data() + left, records.size() - left);
        // EAGAIN: the kernel takes a breath after a million objects without output.
        if (count < 0 && errno != EAGAIN && errno != EINTR) return system_failure(errno, "read a BPF iterator");
        if (count < 0) continue;
        if (count == 0) break;
        const auto here = std::span(records).first(left + static_cast<std::size_t>(count));
        const auto taken = take(here);
        if (!taken) return std::unexpected(taken.error());
        left = here.size() - *taken;
        std::ranges::copy(here.last(left), records.begin());
    }
    if (left > 0) return failure("a BPF iterator wrote {} bytes that are no record", left);
    return {};
}

Result<std::vector<std::byte>> run_iterator(const bpf_link* link, std::size_t at_once) {
    std::vector<std::byte> records;
    const auto done = run_iterator(link, at_once, [&](std::span<const std::byte> more) {
        records.insert(records.end(), more.begin(), more.end());
        return more.size();
    });
    if (!done) return std::unexpected(done.error());
    return records;
}

} // namespace bpftune::probes
