/* SPDX-License-Identifier: GPL-2.0 */
/* A socket that begins to listen, and what its application asked for. */
#ifndef BPFTUNE_LIB_LISTENING_H
#define BPFTUNE_LIB_LISTENING_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/event_rates.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/syscall.h"

DEFINE_ASKED_MAP;

/* More than any node has to see. Of what is withheld `asked` has the wish. */
static const struct rate_limits listen_limits = {
	.of_netns = 3000,
	.of_all = 6000,
	.in_any_case = 16,
};

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
	if (!event_is_within(&listen_limits, netns_key(sk->__sk_common.skc_net.net),
			     ABI_LISTEN_EVENT, now))
		return;
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
