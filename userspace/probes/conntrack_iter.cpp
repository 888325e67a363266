// SPDX-License-Identifier: Apache-2.0
#include "probes/conntrack_iter.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "bpf/abi/conntrack.h"
#include "probes/decode.hpp"
#include "probes/types.hpp"
#include "sys/module_types.hpp"

namespace bpftune::probes {
namespace {

// Offsets in struct nf_conntrack_net.
struct Layout {
    __u32 count = 0;
    __u32 sysctl_header = 0;
};

Result<__u32> offset_of(const btf* types, const btf_type* type, std::string_view name) {
    const btf_member* members = btf_members(type);
    for (__u32 i = 0; i < btf_vlen(type); ++i)
        if (name == btf__name_by_offset(types, members[i].name_off)) return btf_member_bit_offset(type, i) / 8;
    return failure("struct nf_conntrack_net has no {}", name);
}

// Built in, the type is among the kernel's, else among its module's, which are numbered on from there. Before 5.13 the
// count was elsewhere.
Result<Layout> layout() {
    const Types kernel(btf__load_vmlinux_btf());
    if (!kernel) return system_failure(errno, "this kernel's BTF");
    const Types module(btf__load_module_btf(sys::conntrack_module, kernel.get()));
    const btf* types = module ? module.get() : kernel.get();
    const int id = btf__find_by_name_kind(types, "nf_conntrack_net", BTF_KIND_STRUCT);
    if (id < 0) return failure("no BTF has struct nf_conntrack_net");
    const btf_type* type = btf__type_by_id(types, static_cast<__u32>(id));
    const auto count = offset_of(types, type, "count");
    if (!count) return std::unexpected(count.error());
    const auto header = offset_of(types, type, "sysctl_header");
    if (!header) return std::unexpected(header.error());
    return Layout{.count = *count, .sysctl_header = *header};
}

ConntrackTable table_of(const conntrack_record& record) {
    return {.netns = netns_id(record.netns),
            .stat = {.entries = record.entries,
                     .insert_failed = record.insert_failed,
                     .drop = record.drops,
                     .early_drop = record.early_drops,
                     .chain_too_long = record.chain_too_long}};
}

} // namespace

Result<ConntrackIter> ConntrackIter::attach() {
    const auto where = layout();
    if (!where) return std::unexpected(where.error());
    auto object = probes::attach<conntrack_iter>([&](conntrack_iter& conntrack) {
        conntrack.rodata->possible_cpus = static_cast<__u32>(std::max(libbpf_num_possible_cpus(), 1));
        conntrack.rodata->count_offset = where->count;
        conntrack.rodata->sysctl_header_offset = where->sysctl_header;
    });
    if (!object) return std::unexpected(object.error());
    ConntrackIter iter(std::move(*object));
    const auto tables = iter.read();
    if (!tables) return std::unexpected(tables.error());
    if (tables->empty()) return failure("where this kernel keeps the number of entries is not found");
    return iter;
}

Result<std::vector<ConntrackTable>> ConntrackIter::read() const {
    const auto records = run_iterator(object_->links.tables);
    if (!records) return std::unexpected(records.error());
    std::vector<ConntrackTable> tables(records->size() / sizeof(conntrack_record));
    for (std::size_t i = 0; i < tables.size(); ++i) {
        conntrack_record record{};
        std::memcpy(&record, records->data() + i * sizeof record, sizeof record);
        tables[i] = table_of(record);
    }
    return tables;
}

} // namespace bpftune::probes
