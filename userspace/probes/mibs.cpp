// SPDX-License-Identifier: Apache-2.0
#include "probes/mibs.hpp"

#include <algorithm>
#include <string_view>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "probes/types.hpp"

namespace bpftune::probes {
namespace {

// In the order of abi_mib.
constexpr std::array<std::string_view, ABI_MIB_COUNT> names{
    "LINUX_MIB_LISTENOVERFLOWS",     "LINUX_MIB_LISTENDROPS",     "LINUX_MIB_SYNCOOKIESSENT",
    "LINUX_MIB_SYNCOOKIESRECV",      "LINUX_MIB_TIMEWAITED",      "LINUX_MIB_TIMEWAITKILLED",
    "LINUX_MIB_TCPTIMEWAITOVERFLOW", "LINUX_MIB_TCPREQQFULLDROP", "LINUX_MIB_TCPDEFERACCEPTDROP"};

std::string_view name_at(const btf* types, __u32 offset) {
    const char* name = btf__name_by_offset(types, offset);
    return name == nullptr ? std::string_view() : name;
}

void collect(const btf* types, const btf_type* type, MibIndices& indices) {
    const struct btf_enum* values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
        const auto* const known = std::ranges::find(names, name_at(types, values[i].name_off));
        if (known != names.end()) indices[static_cast<std::size_t>(known - names.begin())] = values[i].val;
    }
}

bool is_mib_enum(const btf* types, const btf_type* type) {
    return btf_is_enum(type) && btf_vlen(type) > 0 &&
           name_at(types, btf_enum(type)[0].name_off).starts_with("LINUX_MIB_");
}

} // namespace

Result<MibIndices> mib_indices() {
    const Types types(btf__load_vmlinux_btf());
    if (!types) return system_failure(errno, "this kernel's BTF");
    MibIndices indices;
    indices.fill(-1);
    for (__u32 id = 1; id < btf__type_cnt(types.get()); ++id) {
        const btf_type* type = btf__type_by_id(types.get(), id);
        if (is_mib_enum(types.get(), type)) collect(types.get(), type, indices);
    }
    if (std::ranges::count(indices, -1) == ABI_MIB_COUNT) return failure("no LINUX_MIB_* in this kernel's BTF");
    return indices;
}

} // namespace bpftune::probes
