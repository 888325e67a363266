/* SPDX-License-Identifier: GPL-2.0 */
/* The TCP of one network namespace, read in whichever namespace the reader is. Once per run of an
 * iterator. */
#ifndef BPFTUNE_LIB_NETNS_RECORD_H
#define BPFTUNE_LIB_NETNS_RECORD_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/variations.h"
#include "bpf/abi/census.h"

#define MAX_CPUS 4096

/* Set before loading. An index of -1: this kernel has no such counter. */
const volatile __u32 possible_cpus = 1;
const volatile __s32 mib_index[ABI_MIB_COUNT];

DEFINE_PORT_FAILURES_MAP;

/* netns_key() → the run that has written its record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, __u64);
} visited SEC(".maps");

/* Says where per-CPU memory of each CPU is: not every kernel shows __per_cpu_of_cpu to BPF. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} anchor SEC(".maps");

/* The verifier bounds what is done with a pointer, and these have to go elsewhere: as a number, it
 * lets them. */
static __always_inline __u64 as_number(void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* Where the kernel keeps `anchor`, less the offset of any CPU. */
static __always_inline __u64 anchor_base(void)
{
	struct bpf_array *array = (void *)as_number(&anchor);

	return (__u64)BPF_CORE_READ(array, pptrs[0]);
}

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

static __always_inline bool is_visited(__u64 key, __u64 run)
{
	__u64 *last = bpf_map_lookup_elem(&visited, &key);

	return last && *last == run;
}

/*
 * To be the last that a program writes: only a record that was written for good is marked. The
 * kernel calls again with the same object if its buffer was full, and drops what was written for it
 * before.
 */
static __always_inline int write_netns(struct bpf_iter_meta *meta, struct net *net, __u32 pid)
{
	struct netns_record record = {.kind = ABI_NETNS_RECORD, .pid = pid};
	struct inet_timewait_death_row *row = death_row(net);
	__u64 run = meta->session_id;
	__u64 key = netns_key(net);
	struct port_failures *failures;

	if (is_visited(key, run))
		return 0;
	fill_netns(&record.netns, net);
	record.somaxconn = net->core.sysctl_somaxconn;
	record.max_syn_backlog = net->ipv4.sysctl_max_syn_backlog;
	record.syncookies = net->ipv4.sysctl_tcp_syncookies;
	record.time_wait_sockets = time_wait_sockets(row);
	record.time_wait_limit = BPF_CORE_READ(row, sysctl_max_tw_buckets);
	sum_mibs(record.mibs, net);
	failures = bpf_map_lookup_elem(&port_failures, &key);
	if (failures)
		record.ports_exhausted = failures->count;
	if (bpf_seq_write(meta->seq, &record, sizeof(record)) == 0)
		bpf_map_update_elem(&visited, &key, &run, BPF_ANY);
	return 0;
}

#endif
