// SPDX-License-Identifier: GPL-2.0
/*
 * Accept queues by the functions that fill them. They are called from other files of the kernel
 * than the one they are in, so that no compiler can have inlined them. (tcp_get_cookie_sock() also
 * from its own: the tests see whether it was, by IPv4.)
 *
 * The programs know the listener itself: unlike inet_sock_set_state, which shows its children, they
 * see a queue that is full before any connection gets into it, tell listeners that share a port
 * apart, and count the overflows of each. Three run for a connection that is accepted, one for one
 * that is opened.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/listening.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/ports.h"
#include "bpf/lib/queue.h"
#include "bpf/lib/queue_room.h"
#include "bpf/lib/variations.h"

DEFINE_LISTENER_QUEUES_MAP;

/* The request that this CPU has made a child of last, until the caller has been seen to return. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} parent SEC(".maps");

static __always_inline void remember_parent(struct request_sock *req)
{
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&parent, &zero);

	if (last)
		*last = (__u64)req;
}

static __always_inline bool forget_parent(struct request_sock *req)
{
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&parent, &zero);
	bool was_parent = last && *last == (__u64)req;

	if (last)
		*last = 0;
	return was_parent;
}

static __always_inline struct listener_queue *queue_of(struct sock *listener, __u64 cookie)
{
	struct listener_queue *queue = bpf_map_lookup_elem(&listener_queues, &cookie);
	struct net *net = listener->__sk_common.skc_net.net;

	if (queue)
		return queue;
	if (!may_make_queue(net))
		return NULL;

	struct listener_queue fresh = {};

	begin_queue(&fresh.stats, net);
	if (listener->sk_ack_backlog)
		fresh.stats.busy_since = 0; /* it was so before */
	fill_netns(&fresh.netns, net);
	fill_local(&fresh.local, listener);
	return lookup_or_insert(&listener_queues, &cookie, &fresh);
}

static __always_inline void note_overflow(struct listener_queue *queue, struct sock *listener,
					  __u64 cookie)
{
	__sync_fetch_and_add(&queue->overflows, 1);
	queue->stats.limit = listener->sk_max_ack_backlog;
	check_pressure(&queue->stats, listener->__sk_common.skc_net.net, &queue->local, cookie,
		       false, listener->sk_ack_backlog);
}

/*
 * A SYN for which the SYN queue has no place and no cookie may be sent is dropped before the kernel
 * looks at the accept queue. (One that reuses a TIME_WAIT is not, and is taken for one that is: it
 * is not worth a look at each SYN.)
 */
static __always_inline bool is_dropped_by_syn_queue(const struct sock *listener, __u32 half_open)
{
	return syn_queue_is_full(listener, half_open) &&
	       !listener->__sk_common.skc_net.net->ipv4.sysctl_tcp_syncookies;
}

/* Every SYN but one that is sent again. The kernel decides as soon as this returns: what it will
 * find is read last. */
SEC("fentry/tcp_conn_request")
int BPF_PROG(syn, void *rsk_ops, void *af_ops, struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct listener_queue *queue = queue_of(sk, cookie);
	struct queue_epoch *slot;
	__u32 half_open;

	if (!queue)
		return 0;
	half_open = syn_queue_length(sk);
	slot = note_found(&queue->stats, sk->sk_ack_backlog, queue->stats.arrivals);
	if (slot->syn_peak < half_open + 1)
		slot->syn_peak = half_open + 1;
	if (is_dropped_by_syn_queue(sk, half_open))
		return 0;
	if (sk->sk_ack_backlog > sk->sk_max_ack_backlog)
		note_overflow(queue, sk, cookie);
	return 0;
}

/* Once per completed handshake, by cookie or not, and per SYN of TCP Fast Open. What fails after
 * this (no memory, a handshake that two CPUs complete at once) is too rare to be told apart. */
SEC("fentry/tcp_create_openreq_child")
int BPF_PROG(arrival, struct sock *sk, struct request_sock *req)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct listener_queue *queue = queue_of(sk, cookie);
	__u32 found = sk->sk_ack_backlog;

	remember_parent(req);
	if (!queue)
		return 0;
	note_arrival(&queue->stats, found, sk->sk_max_ack_backlog);
	check_pressure(&queue->stats, sk->__sk_common.skc_net.net, &queue->local, cookie, false,
		       found + 1);
	return 0;
}

static __always_inline void note_lost_ack(struct sock *listener)
{
	__u64 cookie = bpf_get_socket_cookie(listener);
	struct listener_queue *queue = queue_of(listener, cookie);

	if (queue)
		note_overflow(queue, listener, cookie);
}

/*
 * Whether the kernel would have made a connection of this: what tcp_check_req() asks before it
 * does, but for time stamps. (Those are parsed anew each time; an ACK that only they forbid is
 * taken for an overflow.)
 */
static __always_inline bool is_last_ack(struct sock *listener, struct sk_buff *skb,
					struct request_sock *req)
{
	struct tcp_request_sock *request = (struct tcp_request_sock *)req;
	struct tcp_skb_cb *segment = (struct tcp_skb_cb *)skb->cb;
	__u32 seq = BPF_CORE_READ(segment, seq), end = BPF_CORE_READ(segment, end_seq);
	__u32 expected = BPF_CORE_READ(request, rcv_nxt);
	bool in_window = seq == expected || (__s32)(end - expected) > 0;
	bool is_bare = end == BPF_CORE_READ(request, rcv_isn) + 1;

	if ((tcp_flags(segment) & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_ACK)) != TCPHDR_ACK)
		return false;
	return in_window && !(is_bare && is_deferred(listener, req));
}

/*
 * The last ACK of a handshake without a cookie, and all that comes for one meanwhile. Where it
 * leads to no child, and none was even begun, the accept queue was full: tcp_v4_syn_recv_sock()
 * asks for nothing else before it. Whether it is full now says less: accept() may just have made
 * room.
 */
SEC("fexit/tcp_check_req")
int BPF_PROG(last_ack, struct sock *sk, struct sk_buff *skb, struct request_sock *req,
	     __u8 fastopen)
{
	bool begun = forget_parent(req);

	if (!result_of(ctx) && !begun && !fastopen && is_last_ack(sk, skb, req))
		note_lost_ack(sk);
	return 0;
}

/* The last ACK that brings back a valid cookie. */
SEC("fexit/tcp_get_cookie_sock")
int BPF_PROG(last_ack_with_cookie, struct sock *sk, struct sk_buff *skb, struct request_sock *req)
{
	bool begun = forget_parent(req);

	if (!result_of(ctx) && !begun)
		note_lost_ack(sk);
	return 0;
}

SEC("fexit/inet_csk_listen_start")
int BPF_PROG(listen_start, struct sock *sk)
{
	if ((int)result_of(ctx) == 0)
		note_listening(sk);
	return 0;
}

SEC("fentry/inet_csk_listen_stop")
int BPF_PROG(listen_stop, struct sock *sk)
{
	forget_listening(sk);
	return 0;
}

/* A socket that has a port fails with the same error if its connection exists already. */
static __always_inline void on_connect(struct sock *sk, int error)
{
	if (error == -EADDRNOTAVAIL && !sk->__sk_common.skc_num && is_tcp(sk))
		note_port_failure(sk);
}

SEC("fexit/inet_hash_connect")
int BPF_PROG(connect_v4, void *death_row, struct sock *sk, int error)
{
	on_connect(sk, error);
	return 0;
}

SEC("fexit/inet6_hash_connect")
int BPF_PROG(connect_v6, void *death_row, struct sock *sk, int error)
{
	on_connect(sk, error);
	return 0;
}

char _license[] SEC("license") = "GPL";
