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

DEFINE_PORT_FAILURES_MAP;

static __always_inline void sum_mibs(__u64 *sums, struct net *net)
{
	__u64 counters = (__u64)BPF_CORE_READ(net, mib.net_statistics) - anchor_base();
	__u32 zero = 0;

	for (__u32 cpu = 0; cpu < possible_cpus && cpu < MAX_CPUS; cpu++) {
		void *here = bpf_map_lookup_percpu_elem(&anchor, &zero, cpu);

		if (!here)
			break;

		__u64 of_cpu = counters + as_number(here);

		for (int i = 0; i < ABI_MIB_COUNT; i++) {
			__u64 value = 0;

			if (mib_index[i] < 0)
				continue;
			bpf_probe_read_kernel(&value, sizeof(value),
					      (void *)(of_cpu + mib_index[i] * sizeof(value)));
			sums[i] += value;
		}
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
	sum_mibs(record.mibs, net);
	failures = bpf_map_lookup_elem(&port_failures, &key);
	if (failures)
		record.ports_exhausted = failures->count;
	write_once(meta, key, &record, sizeof(record));
	return 0;
}

#endif
