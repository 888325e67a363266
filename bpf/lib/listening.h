/* SPDX-License-Identifier: GPL-2.0 */
/* A socket that begins to listen, and what its application asked for. */
#ifndef BPFTUNE_LIB_LISTENING_H
#define BPFTUNE_LIB_LISTENING_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/rate.h"
#include "bpf/lib/syscall.h"

DEFINE_ASKED_MAP;

/* Whoever calls listen() without end costs no more than this: the census finds what is withheld,
 * and `asked` has its wish. More than any node has to see. */
#define LISTEN_EVENTS_OF_NETNS 3000
#define LISTEN_EVENTS_OF_ALL 6000

/* By netns_key(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct rate);
} listen_counts SEC(".maps");

static struct rate listen_count_of_all;
__u64 withheld_events;

static __always_inline bool may_announce(struct net *net, __u64 now)
{
	struct rate fresh = {}, *of_netns;
	__u64 key = netns_key(net);

	of_netns = lookup_or_insert(&listen_counts, &key, &fresh);
	return of_netns && count_within(of_netns, LISTEN_EVENTS_OF_NETNS, now) &&
	       count_within(&listen_count_of_all, LISTEN_EVENTS_OF_ALL, now);
}

/* In the context of the process that called listen(). */
static __always_inline void note_listening(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct listen_event *event;
	struct abi_listener *listener;
	__u32 backlog;
	__s32 fd = -1;
	bool known = false;

	if (!is_tcp(sk))
		return;

	__u64 cookie = bpf_get_socket_cookie(sk), now = bpf_ktime_get_ns();

	known = listen_arguments(task, &fd, &backlog);
	if (known)
		bpf_map_update_elem(&asked, &cookie, &backlog, BPF_ANY);
	/* The census knows the MPTCP socket that a process holds; this one is within it. */
	if (is_subflow(sk))
		return;
	if (!may_announce(sk->__sk_common.skc_net.net, now)) {
		__sync_fetch_and_add(&withheld_events, 1);
		return;
	}
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = ABI_LISTEN_EVENT;
	event->time = now;
	listener = &event->listener;
	fill_listener(listener, sk);
	fill_process(listener, task);
	listener->inode = BPF_CORE_READ((struct socket_alloc *)sk->sk_socket, vfs_inode.i_ino);
	listener->fd = fd;
	listener->asked_known = known;
	listener->asked = known ? backlog : 0;
	submit_event_without_haste(event);
}

/* Leaves the room to those that stay. */
static __always_inline void forget_listening(struct sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);

	bpf_map_delete_elem(&asked, &cookie);
}

#endif
