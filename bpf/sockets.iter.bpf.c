// SPDX-License-Identifier: GPL-2.0
/*
 * How many TCP sockets each network namespace has in which state: what `ss -ta` lists in each of
 * them, but for listeners. All namespaces share one table of connections (tcp_hashinfo.ehash),
 * which has those that no process holds as well: closed before all was sent, in TIME_WAIT, not
 * accepted yet. It is walked as the kernel does without a lock: under RCU, and a chain that does
 * not end as its own was left in the middle (include/linux/rculist_nulls.h).
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/variations.h"
#include "bpf/abi/census.h"

/* The walk goes by parts, between which others may run: one for each of these. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ABI_SOCKET_PARTS);
	__type(key, __u32);
	__type(value, __u32);
} parts SEC(".maps");

/* By the address of struct net. User space takes out those of earlier walks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct netns_sockets);
} sockets_of SEC(".maps");

/* Most buckets are empty: so many are read at once. */
#define GROUP 64

struct group {
	__u64 first[GROUP]; /* sockets of their chains, or what marks the end of one */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct group);
} group_being_read SEC(".maps");

/* No chain is as long where the kernel chose the size of the table. */
#define MOST_IN_CHAIN 65536

struct part {
	struct group *group;
	__u64 ehash;
	__u64 walk;
	__u64 missed;
	__u32 first_group;
	__u32 bucket; /* the first of the group */
};

struct chain {
	__u64 at;
	__u64 walk;
	__u64 missed;
};

/* net/ipv4/tcp_minisocks.c, tcp_time_wait(): a socket in FIN_WAIT2 that needs no more of its memory
 * is in TIME_WAIT with that as its state. */
static __always_inline __u32 state_of(struct sock_common *sk)
{
	struct inet_timewait_sock *waiting = (void *)sk;
	__u32 state = BPF_CORE_READ(sk, skc_state);

	return state == TCP_TIME_WAIT ? BPF_CORE_READ(waiting, tw_substate) : state;
}

static __always_inline struct netns_sockets *sockets_of_netns(struct net *net, __u64 walk)
{
	__u64 key = (__u64)net;
	struct netns_sockets *found = bpf_map_lookup_elem(&sockets_of, &key);
	struct netns_sockets fresh = {.walk = walk};

	if (found && found->walk == walk)
		return found;
	probe_netns(&fresh.netns, net);
	bpf_map_update_elem(&sockets_of, &key, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&sockets_of, &key);
}

static long count_socket(__u32 i, struct chain *chain)
{
	struct sock_common *sk =
		(void *)chain->at - bpf_core_field_offset(struct sock_common, skc_nulls_node);
	__u64 next = (__u64)BPF_CORE_READ(sk, skc_nulls_node.next);
	struct netns_sockets *of_netns =
		sockets_of_netns(BPF_CORE_READ(sk, skc_net.net), chain->walk);

	if (of_netns)
		of_netns->by_state[state_of(sk) & (ABI_TCP_STATES - 1)]++;
	else
		chain->missed++;
	chain->at = next;
	return next & 1;
}

static long count_bucket(__u32 i, struct part *part)
{
	struct group *group = part->group;
	__u64 end = (__u64)(part->bucket + i) << 1 | 1; /* NULLS_MARKER() */
	struct chain chain = {.walk = part->walk};

	chain.at = group->first[i & (GROUP - 1)];
	if (chain.at == end)
		return 0;
	if (!(chain.at & 1))
		bpf_loop(MOST_IN_CHAIN, count_socket, &chain, 0);
	part->missed += chain.missed + (chain.at != end);
	return 0;
}

/* What an empty bucket has instead of a socket is odd. */
static __always_inline bool is_empty(const struct group *group)
{
	__u64 all = 1;

#pragma clang loop unroll(full)
	for (int i = 0; i < GROUP; i++)
		all &= group->first[i];
	return all;
}

static long count_group(__u32 i, struct part *part)
{
	struct group *group = part->group;

	part->bucket = (part->first_group + i) * GROUP;
	if (bpf_probe_read_kernel(group, sizeof(*group),
				  (void *)(part->ehash + (__u64)part->bucket * sizeof(__u64)))) {
		part->missed++;
		return 1;
	}
	if (!is_empty(group))
		bpf_loop(GROUP, count_bucket, part, 0);
	return 0;
}

/* As many groups in each part but the last ones. */
static __always_inline void count_part(struct part *part, struct inet_hashinfo *table, __u32 number)
{
	__u32 groups = (BPF_CORE_READ(table, ehash_mask) + 1) / GROUP;
	__u32 in_part = (groups + ABI_SOCKET_PARTS - 1) / ABI_SOCKET_PARTS;

	if (is_own_table(table) || !groups ||
	    bpf_core_type_size(struct inet_ehash_bucket) != sizeof(__u64)) {
		part->missed = 1;
		return;
	}
	part->ehash = (__u64)BPF_CORE_READ(table, ehash);
	part->first_group = number * in_part;
	if (part->first_group >= groups)
		return;
	if (in_part > groups - part->first_group)
		in_part = groups - part->first_group;
	bpf_loop(in_part, count_group, part, 0);
}

SEC("iter/bpf_map_elem")
int count_sockets(struct bpf_iter__bpf_map_elem *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sockets_record record = {};
	struct part part = {};
	__u32 *key = ctx->key, number, zero = 0;

	if (!key)
		return 0;
	number = *key;
	record.walk = part.walk = ctx->meta->session_id;
	part.group = bpf_map_lookup_elem(&group_being_read, &zero);
	if (!part.group)
		return 0;
	count_part(&part, BPF_CORE_READ(death_row(task->nsproxy->net_ns), hashinfo), number);
	record.missed = part.missed;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char _license[] SEC("license") = "GPL";
