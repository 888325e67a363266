// SPDX-License-Identifier: GPL-2.0
/*
 * What changes of TCP state tell: sockets that begin to listen, the accept queue that each new
 * connection meets, connects that found no local port. One program for all, and first of all the
 * two states: the tracepoint fires ten times in the life of a loopback connection.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/syscall.h"

/* A queue that holds more than this many 1024ths of its limit is under pressure. */
const volatile __u32 pressure_per_1024 = 512;

__u32 epoch; /* moved on by user space */

DEFINE_ASKED_MAP;
DEFINE_PORT_FAILURES_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_QUEUES);
	__type(key, struct queue_key);
	__type(value, struct queue_stats);
} queues SEC(".maps");

static __always_inline void send_pressure(const struct queue_key *key,
					  const struct queue_stats *queue, struct net *net,
					  __u32 depth, __u64 now)
{
	struct pressure_event *event = reserve_event(sizeof(*event));

	if (!event)
		return;
	event->kind = ABI_PRESSURE_EVENT;
	event->depth = depth;
	event->time = now;
	fill_netns(&event->netns, net);
	event->local = key->local;
	event->busy_since = queue->busy_since;
	event->busy_arrivals = queue->arrivals - queue->arrivals_before_busy;
	event->limit = queue->limit;
	event->unused = 0;
	submit_event(event);
}

static __always_inline void note_depth(struct queue_stats *queue, __u32 found,
				       __u64 arrivals_before)
{
	__u32 now = epoch;
	struct queue_epoch *slot = &queue->epochs[now & 1];

	if (slot->epoch != now) {
		slot->arrivals_before = arrivals_before;
		slot->peak = 0;
		slot->floor = found;
		slot->epoch = now;
	}
	if (slot->peak < found + 1)
		slot->peak = found + 1;
	if (slot->floor > found)
		slot->floor = found;
}

static __always_inline struct queue_stats *queue_of(const struct queue_key *key, struct net *net)
{
	struct queue_stats *queue = bpf_map_lookup_elem(&queues, key);

	if (queue)
		return queue;

	struct queue_stats fresh = {};

	fresh.busy_since = bpf_ktime_get_ns();
	fresh.epochs[0].epoch = fresh.epochs[1].epoch = epoch - 1;
	fresh.netns_inode = net->ns.inum;
	bpf_map_update_elem(&queues, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&queues, key);
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
	__u64 before, now;
	__u32 found, limit;

	if (child->sk_socket || !is_tcp(child))
		return;
	key.netns = netns_key(net);
	fill_local(&key.local, child);
	queue = queue_of(&key, net);
	if (!queue)
		return;

	found = child->sk_ack_backlog;
	limit = child->sk_max_ack_backlog;
	before = __sync_fetch_and_add(&queue->arrivals, 1);
	queue->limit = limit;
	note_depth(queue, found, before);
	if (found == 0) {
		queue->busy_since = bpf_ktime_get_ns();
		queue->arrivals_before_busy = before;
	}
	if ((__u64)(found + 1) * 1024 <= (__u64)limit * pressure_per_1024)
		return;
	now = bpf_ktime_get_ns();
	if (event_is_due(&queue->last_event, now))
		send_pressure(&key, queue, net, found + 1, now);
}

/* In the context of the process that called listen(). An unbound socket gets its port only after
 * this. */
static __always_inline void on_listen(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct listen_event *event;
	struct abi_listener *listener;
	__u32 backlog;
	__s32 fd = -1;
	bool known = false;

	if (!is_tcp(sk))
		return;

	__u64 cookie = bpf_get_socket_cookie(sk);

	known = listen_arguments(task, &fd, &backlog);
	if (known)
		bpf_map_update_elem(&asked, &cookie, &backlog, BPF_ANY);
	/* The census knows the MPTCP socket that a process holds; this one is within it. */
	if (is_subflow(sk))
		return;
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = ABI_LISTEN_EVENT;
	event->time = bpf_ktime_get_ns();
	listener = &event->listener;
	fill_listener(listener, sk);
	fill_process(listener, task);
	listener->inode = BPF_CORE_READ((struct socket_alloc *)sk->sk_socket, vfs_inode.i_ino);
	listener->fd = fd;
	listener->asked_known = known;
	listener->asked = known ? backlog : 0;
	submit_event(event);
}

/*
 * connect() gives up with a socket that never had a port: a refused, timed out or closed one keeps
 * inet_sport when its skc_num is taken away. (Not seen: a socket that had a port in an earlier
 * connect().)
 */
static __always_inline void on_failed_connect(const struct sock *sk)
{
	struct net *net = sk->__sk_common.skc_net.net;
	struct port_failures fresh = {}, *failures;
	struct ports_exhausted_event *event;
	__u64 key, now;

	if (sk->__sk_common.skc_num || BPF_CORE_READ((struct inet_sock *)sk, inet_sport) ||
	    !is_tcp(sk))
		return;
	key = netns_key(net);
	failures = lookup_or_insert(&port_failures, &key, &fresh);
	if (!failures)
		return;
	__sync_fetch_and_add(&failures->count, 1);
	now = bpf_ktime_get_ns();
	if (!event_is_due(&failures->last_event, now))
		return;
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	event->kind = ABI_PORTS_EXHAUSTED_EVENT;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->time = now;
	fill_netns(&event->netns, net);
	fill_comm(&event->comm, bpf_get_current_task_btf());
	submit_event(event);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int from, int to)
{
	if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED)
		on_arrival(sk);
	else if (to == TCP_LISTEN)
		on_listen(sk);
	else if (from == TCP_SYN_SENT && to == TCP_CLOSE)
		on_failed_connect(sk);
	return 0;
}

char _license[] SEC("license") = "GPL";
