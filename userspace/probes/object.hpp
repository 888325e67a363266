// SPDX-License-Identifier: Apache-2.0
// BPF objects by their skeletons: loaded, attached, gone with the pointer.
#pragma once

#include <cerrno>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>

#include "core/result.hpp"
#include "probes/libbpf_log.hpp"
#include "sys/capabilities.hpp"

namespace bpftune::probes {

template <class Skeleton> struct Destroy {
    void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <class Skeleton> using Object = std::unique_ptr<Skeleton, Destroy<Skeleton>>;

// How an object is opened. Its programs name types of the kernel proper, some of which older kernels lack. libbpf then
// goes on to look for them in the modules, which takes CAP_SYS_ADMIN (bpf_btf_get_fd_by_id() in kernel/bpf/syscall.c):
// without it the object would be refused, so it is told where all of them are.
inline bpf_object_open_opts open_options() {
    bpf_object_open_opts options{};
    options.sz = sizeof(options);
    if (!sys::has_capability(CAP_SYS_ADMIN)) options.btf_custom_path = "/sys/kernel/btf/vmlinux";
    return options;
}

// `configure` sets read-only data and shares maps before the kernel sees the object.
template <class Skeleton, class Configure> Result<Object<Skeleton>> attach(Configure configure) {
    const LibbpfLog log;
    const bpf_object_open_opts options = open_options();
    Object<Skeleton> object(Skeleton::open(&options));
    if (!object) return failure("{}", refusal(log.text(), errno));
    configure(*object);
    if (const int error = Skeleton::load(object.get())) return failure("{}", refusal(log.text(), -error));
    if (const int error = Skeleton::attach(object.get())) return failure("{}", refusal(log.text(), -error));
    return object;
}

// A program that the others of its object can do without.
struct Dispensable {
    const char* name;
    const char* sees;
};

// attach(), with as many of the dispensable programs as this kernel takes. `unseen`: what the others would have seen.
// Takes several attempts only where one is refused.
template <class Skeleton, class Configure> Result<Object<Skeleton>>
attach_most(std::span<const Dispensable> dispensable, Configure configure, std::string& unseen) {
    std::vector<bool> wanted(dispensable.size(), true);
    const auto attempt = [&] {
        return attach<Skeleton>([&](Skeleton& object) {
            configure(object);
            for (std::size_t i = 0; i < dispensable.size(); ++i)
                bpf_program__set_autoload(bpf_object__find_program_by_name(object.obj, dispensable[i].name), wanted[i]);
        });
    };
    if (auto all = attempt()) return all;
    wanted.assign(wanted.size(), false);
    auto object = attempt();
    if (!object) return object;
    for (std::size_t i = 0; i < dispensable.size(); ++i) {
        wanted[i] = true;
        if (auto with_it = attempt()) {
            object = std::move(with_it);
        } else {
            wanted[i] = false;
            unseen += (unseen.empty() ? "" : ", ") + std::string(dispensable[i].sees);
        }
    }
    return object;
}

// After so many bytes the kernel may do something else: as many as one record has, where all of them take long.
constexpr std::size_t seq_buffer = std::size_t{32} << 10; // the kernel's own buffer for one read

// Hands over what one run of an attached iterator writes. `take` gets some of it, says how many bytes are whole
// records, and gets the others again with what comes next. Error: also one of `take`, or some bytes are left.
using TakeRecords = std::function<Result<std::size_t>(std::span<const std::byte>)>;
Result<> run_iterator(const bpf_link* link, std::size_t at_once, const TakeRecords& take);

// All of it.
Result<std::vector<std::byte>> run_iterator(const bpf_link* link, std::size_t at_once = seq_buffer);

} // namespace bpftune::probes
