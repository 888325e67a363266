/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who holds connections whose other end has closed: an application that leaks them never closes its
 * own. The census walks one process after the other, each with all of its descriptors.
 */
#ifndef BPFTUNE_LIB_CLOSE_WAIT_H
#define BPFTUNE_LIB_CLOSE_WAIT_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/abi/census.h"

/* By netns_key(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct netns_close_wait);
} close_waits SEC(".maps");

/* The last census. */
__u64 last_census;

static __always_inline void count_close_wait(struct sock *sk, struct task_struct *task,
					     __u64 census)
{
	struct net *net = sk->__sk_common.skc_net.net;
	struct netns_close_wait fresh = {}, *found;
	__u64 key = netns_key(net);

	found = lookup_or_insert(&close_waits, &key, &fresh);
	if (!found)
		return;
	if (found->census != census) {
		*found = fresh;
		found->census = census;
		fill_netns(&found->netns, net);
	}
	if (found->pid_now != (__u32)task->tgid) {
		found->pid_now = task->tgid;
		found->now = 0;
	}
	found->now++;
	if (found->now <= found->most)
		return;
	found->most = found->now;
	if (found->pid == (__u32)task->tgid)
		return;
	found->pid = task->tgid;
	fill_comm(&found->comm, task);
}

#endif
