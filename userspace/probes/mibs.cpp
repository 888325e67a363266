// SPDX-License-Identifier: Apache-2.0
#include "probes/mibs.hpp"

#include <algorithm>
#include <string_view>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "probes/types.hpp"

namespace bpftune::probes {
namespace {

// In the order of abi_mib, of abi_tcp_mib, of abi_udp_mib, and of abi_ip_mib.
constexpr std::array<std::string_view, ABI_MIB_COUNT> names{"LINUX_MIB_LISTENOVERFLOWS",
                                                            "LINUX_MIB_LISTENDROPS",
                                                            "LINUX_MIB_SYNCOOKIESSENT",
                                                            "LINUX_MIB_SYNCOOKIESRECV",
                                                            "LINUX_MIB_TIMEWAITED",
                                                            "LINUX_MIB_TIMEWAITKILLED",
                                                            "LINUX_MIB_TCPTIMEWAITOVERFLOW",
                                                            "LINUX_MIB_TCPREQQFULLDROP",
                                                            "LINUX_MIB_TCPDEFERACCEPTDROP",
                                                            "LINUX_MIB_TCPMEMORYPRESSURES",
                                                            "LINUX_MIB_TCPRCVQDROP",
                                                            "LINUX_MIB_TCPABORTONMEMORY",
                                                            "LINUX_MIB_TCPFASTOPENPASSIVE",
                                                            "LINUX_MIB_TCPFASTOPENPASSIVEFAIL",
                                                            "LINUX_MIB_TCPFASTOPENLISTENOVERFLOW",
                                                            "LINUX_MIB_TCPFASTOPENCOOKIEREQD"};

constexpr std::array<std::string_view, ABI_TCP_MIB_COUNT> snmp_tcp_names{"TCP_MIB_OUTSEGS", "TCP_MIB_RETRANSSEGS",
                                                                         "TCP_MIB_ACTIVEOPENS"};

constexpr std::array<std::string_view, ABI_UDP_MIB_COUNT> udp_names{"UDP_MIB_INDATAGRAMS", "UDP_MIB_RCVBUFERRORS",
                                                                    "UDP_MIB_MEMERRORS"};

constexpr std::array<std::string_view, ABI_IP_MIB_COUNT> ip_names{"IPSTATS_MIB_REASMTIMEOUT", "IPSTATS_MIB_REASMREQDS",
                                                                  "IPSTATS_MIB_REASMOKS", "IPSTATS_MIB_REASMFAILS"};

std::string_view name_at(const btf* types, __u32 offset) {
    const char* name = btf__name_by_offset(types, offset);
    return name == nullptr ? std::string_view() : name;
}

template <std::size_t count> void collect(const btf* types, const btf_type* type,
                                          const std::array<std::string_view, count>& wanted,
                                          std::array<int, count>& indices) {
    const struct btf_enum* values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
        const auto* const known = std::ranges::find(wanted, name_at(types, values[i].name_off));
        if (known != wanted.end() && values[i].val < ABI_MOST_MIBS)
            indices[static_cast<std::size_t>(known - wanted.begin())] = values[i].val;
    }
}

bool begins_with(const btf* types, const btf_type* type, std::string_view prefix) {
    return btf_is_enum(type) && btf_vlen(type) > 0 && name_at(types, btf_enum(type)[0].name_off).starts_with(prefix);
}

} // namespace

Result<MibIndices> mib_indices() {
    const Types types(btf__load_vmlinux_btf());
    if (!types) return system_failure(errno, "this kernel's BTF");
    MibIndices indices;
    indices.tcp.fill(-1);
    indices.snmp_tcp.fill(-1);
    indices.udp.fill(-1);
    indices.ip.fill(-1);
    for (__u32 id = 1; id < btf__type_cnt(types.get()); ++id) {
        const btf_type* type = btf__type_by_id(types.get(), id);
        if (begins_with(types.get(), type, "LINUX_MIB_")) collect(types.get(), type, names, indices.tcp);
        if (begins_with(types.get(), type, "TCP_MIB_")) collect(types.get(), type, snmp_tcp_names, indices.snmp_tcp);
        if (begins_with(types.get(), type, "UDP_MIB_")) collect(types.get(), type, udp_names, indices.udp);
        if (begins_with(types.get(), type, "IPSTATS_MIB_")) collect(types.get(), type, ip_names, indices.ip);
    }
    if (std::ranges::count(indices.tcp, -1) == ABI_MIB_COUNT) return failure("no LINUX_MIB_* in this kernel's BTF");
    return indices;
}

} // namespace bpftune::probes
