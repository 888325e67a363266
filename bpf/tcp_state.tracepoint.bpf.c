// SPDX-License-Identifier: GPL-2.0
/*
 * What changes of TCP state tell: sockets that begin to listen, the accept queue that each new
 * connection meets, connects that found no local port. One program for all, and first of all the
 * two states: the tracepoint fires ten times in the life of a loopback connection.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/listening.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/ports.h"
#include "bpf/lib/queue.h"
#include "bpf/lib/queue_room.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_QUEUES);
	__type(key, struct queue_key);
	__type(value, struct queue_stats);
} queues SEC(".maps");

static __always_inline struct queue_stats *queue_of(const struct queue_key *key, struct net *net)
{
	struct queue_stats *queue = bpf_map_lookup_elem(&queues, key);

	if (queue)
		return queue;
	if (!may_make_queue(net))
		return NULL;

	struct queue_stats fresh = {};

	begin_queue(&fresh, net);
	return lookup_or_insert(&queues, key, &fresh);
}

/*
 * `child` is a clone of its listener: it carries the depth that it met (itself not counted) and the
 * limit. Only a clone has no process yet; a socket that has one was opened actively (a simultaneous
 * open), or accepted before the handshake was over (TCP Fast Open), and says nothing of a queue.
 */
static __always_inline void on_arrival(const struct sock *child)
{
	struct net *net = child->__sk_common.skc_net.net;
	struct queue_key key;
	struct queue_stats *queue;

	if (child->sk_socket || !is_tcp(child))
		return;
	key.netns = netns_key(net);
	fill_local(&key.local, child);
	key.transparent = is_transparent(child);
	queue = queue_of(&key, net);
	if (!queue)
		return;
	note_arrival(queue, child->sk_ack_backlog, child->sk_max_ack_backlog);
	check_pressure(queue, net, &key.local, 0, key.transparent, child->sk_ack_backlog + 1);
}

/*
 * connect() gives up with a socket that never had a port: a refused, timed out or closed one keeps
 * inet_sport when its skc_num is taken away. (Not seen: a socket that had a port in an earlier
 * connect().)
 */
static __always_inline void on_failed_connect(const struct sock *sk)
{
	if (sk->__sk_common.skc_num || BPF_CORE_READ((struct inet_sock *)sk, inet_sport) ||
	    !is_tcp(sk))
		return;
	note_port_failure(sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int from, int to)
{
	if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED)
		on_arrival(sk);
	else if (to == TCP_LISTEN)
		note_listening(sk); /* an unbound socket gets its port only after this */
	else if (from == TCP_LISTEN)
		forget_listening(sk);
	else if (from == TCP_SYN_SENT && to == TCP_CLOSE)
		on_failed_connect(sk);
	return 0;
}

char _license[] SEC("license") = "GPL";
