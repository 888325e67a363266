// SPDX-License-Identifier: Apache-2.0
#include "actuators/nudge.hpp"

#include <array>
#include <cerrno>

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actuators/object.hpp"
#include "sys/fd.hpp"

namespace bpftune::actuators {
namespace {

sys::Fd bpf(bpf_cmd command, bpf_attr& attributes) {
    return sys::Fd(static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes)));
}

Result<> run_to_the_end(const sys::Fd& iterator) {
    std::array<char, 4096> nothing{};
    ssize_t size = 0;
    do size = ::read(iterator.value(), nothing.data(), nothing.size());
    while (size > 0 || (size < 0 && (errno == EINTR || errno == EAGAIN)));
    return size == 0 ? Result<>() : system_failure(errno, "run the iterator that nudges connections");
}

} // namespace

Result<> nudge(const Scope& scope, std::uint32_t link_id) {
    const auto inside = enter(scope);
    if (!inside) return std::unexpected(inside.error());
    bpf_attr by_id{};
    by_id.link_id = link_id;
    const sys::Fd link = bpf(BPF_LINK_GET_FD_BY_ID, by_id);
    if (!link) return system_failure(errno, "find what nudges connections");
    bpf_attr over{};
    over.iter_create.link_fd = static_cast<__u32>(link.value());
    const sys::Fd iterator = bpf(BPF_ITER_CREATE, over);
    if (!iterator) return system_failure(errno, "open what nudges connections");
    return run_to_the_end(iterator);
}

} // namespace bpftune::actuators
