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

/* The same by a pointer that the verifier does not know. */
static __always_inline __u64 probed_net_cookie(struct net *net)
{
	if (bpf_core_field_exists(net->net_cookie))
		return BPF_CORE_READ(net, net_cookie);
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
 * Connections of all namespaces are in one table, but for those of namespaces that were made with
 * tcp_child_ehash_entries, since 6.1 (d1e5e6408b30 "tcp: Introduce optional per-netns ehash.").
 */
static __always_inline bool is_own_table(struct inet_hashinfo *table)
{
	return bpf_core_field_exists(table->pernet) && BPF_CORE_READ(table, pernet);
}

static __always_inline bool has_own_connections(struct inet_timewait_death_row *row)
{
	return is_own_table(BPF_CORE_READ(row, hashinfo));
}

/*
 * Ports that connect() and bind() choose from, the last in the upper half: a word since 6.8, two
 * ints before.
 */
struct local_ports___ints {
	int range[2];
} __attribute__((preserve_access_index));

struct netns_ipv4___ints {
	struct local_ports___ints ip_local_ports;
} __attribute__((preserve_access_index));

struct net___ints {
	struct netns_ipv4___ints ipv4;
} __attribute__((preserve_access_index));

static __always_inline __u32 local_ports(struct net *net)
{
	struct net___ints *other = (struct net___ints *)net;
	int range[2] = {};

	if (bpf_core_field_exists(net->ipv4.ip_local_ports.range))
		return net->ipv4.ip_local_ports.range;
	BPF_CORE_READ_INTO(&range, other, ipv4.ip_local_ports.range);
	return (__u32)range[0] | (__u32)range[1] << 16;
}

/*
 * Whether a socket has a range of its own (IP_LOCAL_PORT_RANGE), which came in 6.3 (91d0b78c5177
 * "inet: Add IP_LOCAL_PORT_RANGE socket option"): a word since 6.8, a struct before.
 */
struct inet_sock___halves {
	struct {
		__u16 lo;
		__u16 hi;
	} local_port_range;
} __attribute__((preserve_access_index));

static __always_inline bool has_own_ports(const struct sock *sk)
{
	struct inet_sock *inet = (struct inet_sock *)sk;
	struct inet_sock___halves *halves = (struct inet_sock___halves *)sk;

	if (bpf_core_field_exists(inet->local_port_range))
		return BPF_CORE_READ(inet, local_port_range) != 0;
	if (bpf_core_field_exists(halves->local_port_range.lo))
		return BPF_CORE_READ(halves, local_port_range.lo) ||
		       BPF_CORE_READ(halves, local_port_range.hi);
	return false;
}

/*
 * sk_drops is what sk_drops_read() adds up for TCP on every kernel: sk_drop_counters (6.18,
 * c51613fa276f "net: add sk->sk_drop_counters") is set for UDP and raw sockets only.
 */
static __always_inline __u32 socket_drops(struct sock *sk)
{
	return (__u32)sk->sk_drops.counter;
}

/* The same by a pointer that the verifier does not know. */
static __always_inline __u32 probed_socket_drops(struct sock *sk)
{
	return (__u32)BPF_CORE_READ(sk, sk_drops.counter);
}

/*
 * Of a UDP socket: what sk_drops_read() adds up, the two of sk_drop_counters since 6.18
 * (c51613fa276f, as above), sk_drops before.
 */
static __always_inline __u32 datagram_drops(struct sock *sk)
{
	struct numa_drop_counters *counters;

	if (!bpf_core_field_exists(sk->sk_drop_counters))
		return socket_drops(sk);
	counters = sk->sk_drop_counters;
	if (!counters)
		return socket_drops(sk);
	return (__u32)BPF_CORE_READ(counters, drops0.counter) +
	       (__u32)BPF_CORE_READ(counters, drops1.counter);
}

/* With CONFIG_IPV6 only. */
static __always_inline bool has_ipv6_address(const struct sock *sk)
{
	return bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr);
}

/*
 * IP_TRANSPARENT is a bit of inet_flags since 6.6 (4bd0623f04ee "inet: move inet->transparent to
 * inet->inet_flags"), a bit field of its own before.
 */
enum { INET_FLAGS_TRANSPARENT = 15 }; /* include/net/inet_sock.h: an enum without a name */

struct inet_sock___bits {
	__u8 transparent : 1;
} __attribute__((preserve_access_index));

static __always_inline bool is_transparent(const struct sock *sk)
{
	struct inet_sock *inet = (struct inet_sock *)sk;
	struct inet_sock___bits *bits = (struct inet_sock___bits *)sk;

	if (bpf_core_field_exists(inet->inet_flags))
		return BPF_CORE_READ(inet, inet_flags) >> INET_FLAGS_TRANSPARENT & 1;
	if (bpf_core_field_exists(bits->transparent))
		return BPF_CORE_READ_BITFIELD_PROBED(bits, transparent);
	return false;
}

/*
 * An MPTCP listener (Go's default since 1.24) takes connections on its first subflow, a TCP socket
 * that no process holds: what is asked of the one happens at the other (net/mptcp/protocol.c,
 * mptcp_listen). Has to be read with care: the pointer is not one that the verifier knows. With
 * CONFIG_MPTCP only, which came in 5.6 (f870fa0b5768 "mptcp: Add MPTCP socket stubs").
 */
static __always_inline struct sock *first_subflow(struct sock *sk)
{
	struct mptcp_sock *mptcp = (struct mptcp_sock *)sk;

	if (sk->sk_protocol != IPPROTO_MPTCP || !bpf_core_field_exists(mptcp->first))
		return NULL;
	return BPF_CORE_READ(mptcp, first);
}

static __always_inline bool is_subflow(const struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	return bpf_core_field_exists(tcp->is_mptcp) && BPF_CORE_READ(tcp, is_mptcp);
}

/*
 * Why a packet was dropped, the tracepoint kfree_skb tells since 5.17 (c504e5c2f964 "net: skb:
 * introduce kfree_skb_reason()"), which socket it was for since 6.11 (c53795d48ee8 "net: add rx_sk
 * to trace_kfree_skb"). A program that asks for more than there is, or for a reason without a name,
 * is refused: no CPU_BACKLOG before 5.18 (44f0bd40803c "net: dev: use kfree_skb_reason() for
 * enqueue_to_backlog()"), no TCP_LISTEN_OVERFLOW before 6.15 (a11a791ca81e "tcp: add four drop
 * reasons to tcp_check_req()").
 */
static __always_inline bool is_backlog_drop(enum skb_drop_reason reason)
{
	return reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_CPU_BACKLOG);
}

static __always_inline bool is_listen_overflow(enum skb_drop_reason reason)
{
	return reason ==
	       bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW);
}

/*
 * One byte until 2c2f08d31d2f ("tcp: extend TCP flags to allow AE bit/ACE field"), two since.
 */
static __always_inline __u32 tcp_flags(struct tcp_skb_cb *segment)
{
	return BPF_CORE_READ_BITFIELD_PROBED(segment, tcp_flags);
}

/*
 * What the function returned that an fexit program is attached to. libbpf's macro looks for it
 * behind the arguments, whose number changes: tcp_check_req() has one more since e34100c2ecbb
 * ("tcp: add a drop_reason pointer to tcp_check_req()"), tcp_get_cookie_sock() one less since
 * efce3d1fdff5 ("tcp: Don't initialise tp->tsoffset in tcp_get_cookie_sock()."). Needs 5.17.
 */
static __always_inline __u64 result_of(void *ctx)
{
	__u64 result = 0;

	bpf_get_func_ret(ctx, &result);
	return result;
}

/*
 * ">=" before 3479c7549fb1 ("tcp/dccp: allow a connection when sk_max_ack_backlog is zero"), which
 * is in 6.1 and 6.12 as well.
 */
static __always_inline bool syn_queue_is_full(const struct sock *listener, __u32 half_open)
{
	return half_open > listener->sk_max_ack_backlog;
}

/*
 * A hash chain may be too long since 5.15 (d7e7747ac5c2 "netfilter: refuse insertion if chain has
 * grown too large").
 */
static __always_inline __u32 probed_chain_too_long(struct ip_conntrack_stat *stat)
{
	if (bpf_core_field_exists(stat->chaintoolong))
		return BPF_CORE_READ(stat, chaintoolong);
	return 0;
}

#endif
