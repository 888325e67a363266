/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Room for accept queues. Who connects to ever new addresses, or has ever new listeners, makes an
 * entry each time, and the map drops those of others for it, the least used first. So many are made
 * for one namespace in a second, and so many for all, that a queue which somebody comes to every
 * few seconds stays. What comes to the others is counted and, in their namespace, not known.
 */
#ifndef BPFTUNE_LIB_QUEUE_ROOM_H
#define BPFTUNE_LIB_QUEUE_ROOM_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/rate.h"
#include "bpf/abi/queues.h"

static const struct rate_limits queue_limits = {
	.of_netns = 1024,
	.of_all = 2048,
	.in_any_case = 16,
};

/* By netns_key(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct queue_rate);
} queue_rates SEC(".maps");

static struct rate queue_rate_of_all;
__u64 queues_made;
__u64 queues_left_out; /* what came to them */

static __always_inline bool may_make_queue(struct net *net)
{
	struct queue_rate fresh = {}, *of_netns;
	__u64 key = netns_key(net), now = bpf_ktime_get_ns();

	of_netns = lookup_or_insert(&queue_rates, &key, &fresh);
	if (of_netns &&
	    count_within_limits(&of_netns->rate, &queue_rate_of_all, &queue_limits, now)) {
		__sync_fetch_and_add(&queues_made, 1);
		return true;
	}
	__sync_fetch_and_add(&queues_left_out, 1);
	if (!of_netns)
		return false;
	fill_netns(&of_netns->left_out.netns, net);
	__sync_fetch_and_add(&of_netns->left_out.count, 1);
	return false;
}

#endif
