/* SPDX-License-Identifier: GPL-2.0 */
/* The TCP of one network namespace, read in whichever namespace the reader is. Once per run of an
 * iterator. */
#ifndef BPFTUNE_LIB_NETNS_RECORD_H
#define BPFTUNE_LIB_NETNS_RECORD_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/per_cpu.h"
#include "bpf/lib/variations.h"
#include "bpf/lib/visited.h"
#include "bpf/abi/census.h"

/* Set before loading. An index of -1: this kernel has no such counter. */
const volatile __s32 mib_index[ABI_MIB_COUNT];
const volatile __s32 udp_mib_index[ABI_UDP_MIB_COUNT];

DEFINE_PORT_FAILURES_MAP;

/* Of one CPU, adds each counter whose index is known to its sum. */
static __always_inline void add_mibs(__u64 *sums, __u64 of_cpu, const volatile __s32 *index,
				     int count)
{
	for (int i = 0; i < count; i++) {
		__u64 value = 0;

		if (index[i] < 0)
			continue;
		bpf_probe_read_kernel(&value, sizeof(value),
				      (void *)(of_cpu + index[i] * sizeof(value)));
		sums[i] += value;
	}
}

/* With CONFIG_IPV6 only. */
static __always_inline struct udp_mib *udp_mibs_of_ipv6(struct net *net)
{
	if (bpf_core_field_exists(net->mib.udp_stats_in6))
		return BPF_CORE_READ(net, mib.udp_stats_in6);
	return NULL;
}

static __always_inline void sum_mibs(struct netns_record *record, struct net *net)
{
	__u64 base = anchor_base();
	__u64 tcp = (__u64)BPF_CORE_READ(net, mib.net_statistics) - base;
	__u64 udp = (__u64)BPF_CORE_READ(net, mib.udp_statistics) - base;
	struct udp_mib *ipv6 = udp_mibs_of_ipv6(net);
	__u64 udp6 = (__u64)ipv6 - base;
	__u32 zero = 0;

	for (__u32 cpu = 0; cpu < possible_cpus && cpu < MAX_CPUS; cpu++) {
		void *here = bpf_map_lookup_percpu_elem(&anchor, &zero, cpu);
		__u64 offset;

		if (!here)
			break;
		offset = as_number(here);
		add_mibs(record->mibs, tcp + offset, mib_index, ABI_MIB_COUNT);
		add_mibs(record->udp_mibs, udp + offset, udp_mib_index, ABI_UDP_MIB_COUNT);
		if (ipv6)
			add_mibs(record->udp_mibs, udp6 + offset, udp_mib_index, ABI_UDP_MIB_COUNT);
	}
}

/* To be the last that a program writes: see write_once(). */
static __always_inline int write_netns(struct bpf_iter_meta *meta, struct net *net, __u32 pid)
{
	struct netns_record record = {.kind = ABI_NETNS_RECORD, .pid = pid};
	struct inet_timewait_death_row *row = death_row(net);
	__u64 key = netns_key(net);
	struct port_failures *failures;

	if (is_visited(key, meta->session_id))
		return 0;
	fill_netns(&record.netns, net);
	record.somaxconn = net->core.sysctl_somaxconn;
	record.max_syn_backlog = net->ipv4.sysctl_max_syn_backlog;
	record.syncookies = net->ipv4.sysctl_tcp_syncookies;
	record.time_wait_sockets = time_wait_sockets(row);
	record.time_wait_limit = BPF_CORE_READ(row, sysctl_max_tw_buckets);
	record.rmem_default = net->ipv4.sysctl_tcp_rmem[1];
	record.rmem_max = net->ipv4.sysctl_tcp_rmem[2];
	record.wmem_default = net->ipv4.sysctl_tcp_wmem[1];
	record.wmem_max = net->ipv4.sysctl_tcp_wmem[2];
	record.local_ports = local_ports(net);
	sum_mibs(&record, net);
	failures = bpf_map_lookup_elem(&port_failures, &key);
	if (failures) {
		record.ports_exhausted = failures->count;
		record.own_ports_exhausted = failures->own_ports;
	}
	write_once(meta, key, &record, sizeof(record));
	return 0;
}

#endif
