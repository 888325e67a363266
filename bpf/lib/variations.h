/* SPDX-License-Identifier: GPL-2.0 */
/* Where kernels differ, and since when. */
#ifndef BPFTUNE_LIB_VARIATIONS_H
#define BPFTUNE_LIB_VARIATIONS_H

#include "bpf/lib/kernel.h"

/*
 * net->net_cookie is a plain number since 5.12 (3d368ab87cf6 "net: initialize net->net_cookie at
 * netns setup"). Before, it was an atomic64_t that stayed 0 until somebody asked: CO-RE takes that
 * for absent.
 */
static __always_inline __u64 net_cookie(struct net *net)
{
	if (bpf_core_field_exists(net->net_cookie))
		return net->net_cookie;
	return 0;
}

/*
 * The time-wait sockets of a namespace: tw_refcount, less the one that the namespace itself holds,
 * since 5.19; tw_count before (fbb8295248e1 "tcp: allocate tcp_death_row outside of struct
 * netns_ipv4"). That commit also made tcp_death_row a pointer, which e9bd0cca09d1 ("tcp: Don't
 * allocate tcp_death_row outside of struct netns_ipv4.") took back in 6.1.
 */
struct inet_timewait_death_row___counted {
	atomic_t tw_count;
} __attribute__((preserve_access_index));

struct netns_ipv4___pointer {
	struct inet_timewait_death_row *tcp_death_row;
} __attribute__((preserve_access_index));

struct net___pointer {
	struct netns_ipv4___pointer ipv4;
} __attribute__((preserve_access_index));

static __always_inline struct inet_timewait_death_row *death_row(struct net *net)
{
	struct net___pointer *other = (struct net___pointer *)net;

	/* A pointer and a struct of one name are two fields to CO-RE. */
	if (bpf_core_field_exists(other->ipv4.tcp_death_row))
		return BPF_CORE_READ(other, ipv4.tcp_death_row);
	return (void *)net + bpf_core_field_offset(struct net, ipv4.tcp_death_row);
}

static __always_inline __u32 time_wait_sockets(struct inet_timewait_death_row *row)
{
	struct inet_timewait_death_row___counted *counted = (void *)row;

	if (bpf_core_field_exists(row->tw_refcount))
		return BPF_CORE_READ(row, tw_refcount.refs.counter) - 1;
	return BPF_CORE_READ(counted, tw_count.counter);
}

/*
 * sk_drops is what sk_drops_read() adds up for TCP on every kernel: sk_drop_counters (6.18, "net:
 * add sk->sk_drop_counters") is set for UDP and raw sockets only.
 */
static __always_inline __u32 socket_drops(struct sock *sk)
{
	return (__u32)sk->sk_drops.counter;
}

#endif
