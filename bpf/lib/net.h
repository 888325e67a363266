/* SPDX-License-Identifier: GPL-2.0 */
/* Namespaces and sockets in the words of the ABI. */
#ifndef BPFTUNE_LIB_NET_H
#define BPFTUNE_LIB_NET_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/variations.h"
#include "bpf/abi/common.h"

/* The cookie; the inode where there is none. */
static __always_inline __u64 netns_key(struct net *net)
{
	__u64 cookie = net_cookie(net);

	return cookie ? cookie : net->ns.inum;
}

static __always_inline void fill_netns(struct abi_netns *to, struct net *net)
{
	to->cookie = net_cookie(net);
	to->inode = net->ns.inum;
	to->unused = 0;
}

/* Where the namespace is known by a pointer that the verifier does not know. */
static __always_inline void probe_netns(struct abi_netns *to, struct net *net)
{
	to->cookie = probed_net_cookie(net);
	to->inode = BPF_CORE_READ(net, ns.inum);
	to->unused = 0;
}

static __always_inline void fill_local(struct abi_endpoint *to, const struct sock *sk)
{
	__be32 *words = (__be32 *)to->address;

	if (sk->__sk_common.skc_family == AF_INET6 && has_ipv6_address(sk)) {
		words[0] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		words[1] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		words[2] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		words[3] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	} else {
		words[0] = 0;
		words[1] = 0;
		words[2] = __builtin_bswap32(0xffff);
		words[3] = sk->__sk_common.skc_rcv_saddr;
	}
	to->port = sk->__sk_common.skc_num;
	to->unused[0] = to->unused[1] = to->unused[2] = 0;
}

/* The other end. */
static __always_inline void fill_remote(struct abi_endpoint *to, const struct sock *sk)
{
	__be32 *words = (__be32 *)to->address;

	if (sk->__sk_common.skc_family == AF_INET6 && has_ipv6_address(sk)) {
		words[0] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0];
		words[1] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1];
		words[2] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2];
		words[3] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	} else {
		words[0] = 0;
		words[1] = 0;
		words[2] = __builtin_bswap32(0xffff);
		words[3] = sk->__sk_common.skc_daddr;
	}
	to->port = __builtin_bswap16(sk->__sk_common.skc_dport);
	to->unused[0] = to->unused[1] = to->unused[2] = 0;
}

/* Of a listener: connections whose handshake is under way, cookies not counted. */
static __always_inline __u32 syn_queue_length(struct sock *listener)
{
	struct inet_connection_sock *csk = (struct inet_connection_sock *)listener;

	return BPF_CORE_READ(csk, icsk_accept_queue.qlen.counter);
}

/* TCP_DEFER_ACCEPT; in SYN-ACKs that are sent again. */
static __always_inline __u8 deferred_rounds(struct sock *listener)
{
	struct inet_connection_sock *csk = (struct inet_connection_sock *)listener;

	return BPF_CORE_READ(csk, icsk_accept_queue.rskq_defer_accept);
}

/* Of a listener that takes requests with the SYN: how many of these may wait. */
static __always_inline __u32 fastopen_queue_of(struct sock *listener)
{
	struct inet_connection_sock *csk = (struct inet_connection_sock *)listener;

	return BPF_CORE_READ(csk, icsk_accept_queue.fastopenq.max_qlen);
}

/* All of a listener but its inode and who holds it. */
static __always_inline void fill_listener(struct abi_listener *to, struct sock *sk)
{
	fill_netns(&to->netns, sk->__sk_common.skc_net.net);
	fill_local(&to->local, sk);
	to->cookie = to->queue_cookie = bpf_get_socket_cookie(sk);
	to->queue = sk->sk_ack_backlog;
	to->limit = sk->sk_max_ack_backlog;
	to->drops = socket_drops(sk);
	to->reuseport = BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_reuseport);
	to->transparent = is_transparent(sk);
	to->defers = deferred_rounds(sk) != 0;
	to->syn_queue = syn_queue_length(sk);
	to->fastopen_queue = fastopen_queue_of(sk);
}

/* After fill_listener() for the MPTCP socket. */
static __always_inline void fill_queue_of_subflow(struct abi_listener *to, struct sock *subflow)
{
	to->queue = BPF_CORE_READ(subflow, sk_ack_backlog);
	to->limit = BPF_CORE_READ(subflow, sk_max_ack_backlog);
	to->drops = probed_socket_drops(subflow);
	to->queue_cookie = BPF_CORE_READ(subflow, __sk_common.skc_cookie.counter);
	to->defers = deferred_rounds(subflow) != 0;
	to->syn_queue = syn_queue_length(subflow);
	to->fastopen_queue = fastopen_queue_of(subflow);
}

/* TCP_DEFER_ACCEPT: a handshake counts as completed when data comes, or after some time. */
static __always_inline bool is_deferred(struct sock *listener, struct request_sock *req)
{
	return BPF_CORE_READ_BITFIELD(req, num_timeout) < deferred_rounds(listener);
}

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6) && sk->sk_protocol == IPPROTO_TCP;
}

/* Not a raw socket for the packets of UDP. */
static __always_inline bool is_udp(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6) && sk->sk_protocol == IPPROTO_UDP &&
	       sk->sk_type == SOCK_DGRAM;
}

/* The name of the process, which is that of its first thread. */
static __always_inline void fill_comm(__u8 (*to)[ABI_COMM_SIZE], struct task_struct *task)
{
	BPF_CORE_READ_STR_INTO(to, task, group_leader, comm);
}

static __always_inline void fill_process(struct abi_listener *to, struct task_struct *task)
{
	to->pid = task->tgid;
	fill_comm(&to->comm, task);
}

#endif
