// SPDX-License-Identifier: Apache-2.0
// BPF objects by their skeletons: loaded, attached, gone with the pointer.
#pragma once

#include <cerrno>
#include <cstddef>
#include <memory>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/result.hpp"
#include "probes/libbpf_log.hpp"

namespace bpftune::probes {

template <class Skeleton> struct Destroy {
    void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <class Skeleton> using Object = std::unique_ptr<Skeleton, Destroy<Skeleton>>;

// `configure` sets read-only data and shares maps before the kernel sees the object.
template <class Skeleton, class Configure> Result<Object<Skeleton>> attach(Configure configure) {
    const LibbpfLog log;
    Object<Skeleton> object(Skeleton::open());
    if (!object) return failure("{}", refusal(log.text(), errno));
    configure(*object);
    if (const int error = Skeleton::load(object.get())) return failure("{}", refusal(log.text(), -error));
    if (const int error = Skeleton::attach(object.get())) return failure("{}", refusal(log.text(), -error));
    return object;
}

// Everything that one run of an attached iterator writes.
Result<std::vector<std::byte>> run_iterator(const bpf_link* link);

} // namespace bpftune::probes
