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
const volatile __s32 tcp_mib_index[ABI_TCP_MIB_COUNT];
const volatile __s32 udp_mib_index[ABI_UDP_MIB_COUNT];
const volatile __s32 ip_mib_index[ABI_IP_MIB_COUNT];

/* How many of each kind come before the last of these, with it. */
const volatile __u32 mibs_read;
const volatile __u32 tcp_mibs_read;
const volatile __u32 udp_mibs_read;
const volatile __u32 ip_mibs_read;

DEFINE_PORT_FAILURES_MAP;

/* Counters of one kind, of one CPU. */
struct mibs {
	__u64 values[ABI_MOST_MIBS];
};

/* The stack has no room for them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mibs);
} mibs_being_read SEC(".maps");

/*
 * Of one CPU, adds each counter whose index is known to its sum. All that come before the last of
 * them are read with them, for one long read takes a third of the time of many short ones.
 */
static __always_inline void add_mibs(__u64 *sums, struct mibs *mibs, __u64 of_cpu, __u32 read,
				     const volatile __s32 *index, int count)
{
	if (read > ABI_MOST_MIBS)
		return;
	bpf_probe_read_kernel(mibs, read * sizeof(mibs->values[0]), (void *)of_cpu);
	for (int i = 0; i < count; i++) {
		if (index[i] >= 0 && index[i] < ABI_MOST_MIBS)
			sums[i] += mibs->values[index[i]];
	}
}

/* With CONFIG_IPV6 only. */
static __always_inline struct udp_mib *udp_mibs_of_ipv6(struct net *net)
{
	if (bpf_core_field_exists(net->mib.udp_stats_in6))
		return BPF_CORE_READ(net, mib.udp_stats_in6);
	return NULL;
}

static __always_inline struct ipstats_mib *ip_mibs_of_ipv6(struct net *net)
{
	if (bpf_core_field_exists(net->mib.ipv6_statistics))
		return BPF_CORE_READ(net, mib.ipv6_statistics);
	return NULL;
}

static __always_inline void fill_fragments(struct netns_record *record, int version,
					   struct fqdir *fqdir)
{
	if (!fqdir)
		return;
	record->fragments[version].memory = BPF_CORE_READ(fqdir, mem.counter);
	record->fragments[version].limit = BPF_CORE_READ(fqdir, high_thresh);
	record->fragments_known |= 1 << version;
}

/* fqdir is a pointer since 5.3; the oldest kernel here is 5.10. IPv6's are not those of conntrack,
 * which has a table of its own (net/ipv6/netfilter/nf_conntrack_reasm.c). */
static __always_inline void fragments(struct netns_record *record, struct net *net)
{
	fill_fragments(record, 0, BPF_CORE_READ(net, ipv4.fqdir));
	if (bpf_core_field_exists(net->ipv6.fqdir))
		fill_fragments(record, 1, BPF_CORE_READ(net, ipv6.fqdir));
}

/* Where the counters of a namespace are on each CPU, less the CPU's offset; 0: it has none. */
struct mib_sums {
	struct netns_record *record;
	struct mibs *mibs;
	__u64 linux_mibs;
	__u64 tcp;
	__u64 udp;
	__u64 udp6;
	__u64 ip;
	__u64 ip6;
};

static long add_mibs_of_cpu(__u32 cpu, struct mib_sums *sums)
{
	struct netns_record *record = sums->record;
	struct mibs *mibs = sums->mibs;
	__u32 zero = 0;
	void *here = bpf_map_lookup_percpu_elem(&anchor, &zero, cpu);
	__u64 offset;

	if (!here)
		return 1;
	offset = as_number(here);
	add_mibs(record->mibs, mibs, sums->linux_mibs + offset, mibs_read, mib_index,
		 ABI_MIB_COUNT);
	add_mibs(record->tcp_mibs, mibs, sums->tcp + offset, tcp_mibs_read, tcp_mib_index,
		 ABI_TCP_MIB_COUNT);
	add_mibs(record->udp_mibs, mibs, sums->udp + offset, udp_mibs_read, udp_mib_index,
		 ABI_UDP_MIB_COUNT);
	if (sums->udp6)
		add_mibs(record->udp_mibs, mibs, sums->udp6 + offset, udp_mibs_read, udp_mib_index,
			 ABI_UDP_MIB_COUNT);
	add_mibs(record->fragments[0].mibs, mibs, sums->ip + offset, ip_mibs_read, ip_mib_index,
		 ABI_IP_MIB_COUNT);
	if (sums->ip6)
		add_mibs(record->fragments[1].mibs, mibs, sums->ip6 + offset, ip_mibs_read,
			 ip_mib_index, ABI_IP_MIB_COUNT);
	return 0;
}

/* By bpf_loop(): the verifier looks at one CPU, however many there are. */
static __always_inline void sum_mibs(struct netns_record *record, struct mibs *mibs,
				     struct net *net)
{
	__u64 base = anchor_base();
	struct udp_mib *udp6 = udp_mibs_of_ipv6(net);
	struct ipstats_mib *ip6 = ip_mibs_of_ipv6(net);
	struct mib_sums sums = {
		.record = record,
		.mibs = mibs,
		.linux_mibs = (__u64)BPF_CORE_READ(net, mib.net_statistics) - base,
		.tcp = (__u64)BPF_CORE_READ(net, mib.tcp_statistics) - base,
		.udp = (__u64)BPF_CORE_READ(net, mib.udp_statistics) - base,
		.udp6 = udp6 ? (__u64)udp6 - base : 0,
		.ip = (__u64)BPF_CORE_READ(net, mib.ip_statistics) - base,
		.ip6 = ip6 ? (__u64)ip6 - base : 0,
	};

	bpf_loop(possible_cpus, add_mibs_of_cpu, &sums, 0);
}

/* The stack has no room for a record. One reader of these iterators runs at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct netns_record);
} netns_being_read SEC(".maps");

static __always_inline struct netns_record *empty_netns_record(void)
{
	__u32 zero = 0;
	struct netns_record *record = bpf_map_lookup_elem(&netns_being_read, &zero);

	if (record)
		__builtin_memset(record, 0, sizeof(*record));
	return record;
}

/* To be the last that a program writes: see write_once(). */
static __always_inline int write_netns(struct bpf_iter_meta *meta, struct net *net, __u32 pid)
{
	struct netns_record *record;
	struct mibs *mibs;
	struct inet_timewait_death_row *row = death_row(net);
	__u64 key = netns_key(net);
	struct port_failures *failures;
	__u32 zero = 0;

	if (is_visited(key, meta->session_id))
		return 0;
	record = empty_netns_record();
	mibs = bpf_map_lookup_elem(&mibs_being_read, &zero);
	if (!record || !mibs)
		return 0;
	record->kind = ABI_NETNS_RECORD;
	record->pid = pid;
	fill_netns(&record->netns, net);
	record->somaxconn = net->core.sysctl_somaxconn;
	record->max_syn_backlog = net->ipv4.sysctl_max_syn_backlog;
	record->syncookies = net->ipv4.sysctl_tcp_syncookies;
	record->fastopen = net->ipv4.sysctl_tcp_fastopen;
	record->time_wait_sockets = time_wait_sockets(row);
	record->time_wait_limit = BPF_CORE_READ(row, sysctl_max_tw_buckets);
	record->rmem_default = net->ipv4.sysctl_tcp_rmem[1];
	record->rmem_max = net->ipv4.sysctl_tcp_rmem[2];
	record->wmem_default = net->ipv4.sysctl_tcp_wmem[1];
	record->wmem_max = net->ipv4.sysctl_tcp_wmem[2];
	record->local_ports = local_ports(net);
	record->tw_reuse = net->ipv4.sysctl_tcp_tw_reuse;
	if (bpf_core_field_exists(net->ipv4.sysctl_tcp_tw_reuse_delay))
		record->tw_reuse_delay = net->ipv4.sysctl_tcp_tw_reuse_delay;
	BPF_CORE_READ_INTO(&record->congestion, net, ipv4.tcp_congestion_control, name);
	fragments(record, net);
	/* The node's own user namespace alone has no parent. */
	record->in_user_ns = BPF_CORE_READ(net, user_ns, parent) != NULL;
	record->user_ns_owner = BPF_CORE_READ(net, user_ns, owner.val);
	record->own_connections = has_own_connections(row);
	record->mem_errors_known = udp_mib_index[ABI_UDP_MIB_MEMERRORS] >= 0;
	record->tcp_mibs_known = tcp_mib_index[ABI_TCP_MIB_OUTSEGS] >= 0 &&
				 tcp_mib_index[ABI_TCP_MIB_RETRANSSEGS] >= 0 &&
				 tcp_mib_index[ABI_TCP_MIB_ACTIVEOPENS] >= 0;
	sum_mibs(record, mibs, net);
	failures = bpf_map_lookup_elem(&port_failures, &key);
	if (failures) {
		record->ports_exhausted = failures->count;
		record->own_ports_exhausted = failures->own_ports;
	}
	write_once(meta, key, record, sizeof(*record));
	return 0;
}

#endif
