// SPDX-License-Identifier: Apache-2.0
// The kernel's types, read from its BTF.
#pragma once

#include <memory>

#include <bpf/btf.h>

namespace bpftune::probes {

struct FreeTypes {
    void operator()(btf* types) const { btf__free(types); }
};
using Types = std::unique_ptr<btf, FreeTypes>;

} // namespace bpftune::probes
