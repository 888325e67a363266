/* SPDX-License-Identifier: GPL-2.0 */
/* What is remembered of an accept queue, and when it is under pressure: the same on every rung. */
#ifndef BPFTUNE_LIB_QUEUE_H
#define BPFTUNE_LIB_QUEUE_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/event_rates.h"
#include "bpf/lib/events.h"
#include "bpf/lib/net.h"
#include "bpf/abi/queues.h"

/* A queue that holds more than this many 1024ths of its limit is under pressure. */
const volatile __u32 pressure_per_1024 = 512;

/* One that fills its second half faster than this is full before anybody could have raised it: it
 * is told of as soon as a quarter waits. A few in an instant say nothing. (accept_queue.cpp has the
 * same.)
 */
const volatile __u64 fills_at_once_ns = 2 * 1000 * 1000;
#define FEWEST_AT_ONCE 16

/* A burst is told of as often as the limit doubles, and a queue that stays full once in
 * `event_interval_ns`: a namespace with three of them is within this. */
static const struct rate_limits pressure_limits = {
	.of_netns = 600,
	.of_all = 2000,
	.in_any_case = 16,
};

__u32 epoch; /* moved on by user space */

static __always_inline void begin_queue(struct queue_stats *queue, struct net *net)
{
	queue->busy_since = bpf_ktime_get_ns();
	queue->epochs[0].epoch = queue->epochs[1].epoch = epoch - 1;
	queue->netns_inode = net->ns.inum;
}

/* The slot of this epoch, in which somebody found the queue `found` deep. */
static __always_inline struct queue_epoch *note_found(struct queue_stats *queue, __u32 found,
						      __u64 arrivals_before)
{
	__u32 now = epoch;
	struct queue_epoch *slot = &queue->epochs[now & 1];

	if (slot->epoch != now) {
		slot->arrivals_before = arrivals_before;
		slot->peak = 0;
		slot->floor = found;
		slot->syn_peak = 0;
		slot->epoch = now;
	}
	if (slot->floor > found)
		slot->floor = found;
	return slot;
}

/* One more connection was put into the queue. */
static __always_inline void note_arrival(struct queue_stats *queue, __u32 found, __u32 limit)
{
	__u64 before = __sync_fetch_and_add(&queue->arrivals, 1);
	struct queue_epoch *slot = note_found(queue, found, before);

	queue->limit = limit;
	if (slot->peak < found + 1)
		slot->peak = found + 1;
	if (found == 0) {
		queue->busy_since = bpf_ktime_get_ns();
		queue->arrivals_before_busy = before;
	}
}

static __always_inline void send_pressure(const struct queue_stats *queue, struct net *net,
					  const struct abi_endpoint *local, __u64 cookie,
					  bool transparent, __u32 depth, __u64 now)
{
	struct pressure_event *event = reserve_event(sizeof(*event));

	if (!event)
		return;
	event->kind = ABI_PRESSURE_EVENT;
	event->depth = depth;
	event->time = now;
	fill_netns(&event->netns, net);
	event->local = *local;
	event->cookie = cookie;
	event->busy_since = queue->busy_since;
	event->busy_arrivals = queue->arrivals - queue->arrivals_before_busy;
	event->limit = queue->limit;
	event->transparent = transparent;
	event->unused[0] = event->unused[1] = event->unused[2] = 0;
	submit_event(event);
}

/* Whether `depth` connections, more than a quarter of the limit, came so fast. */
static __always_inline bool fills_at_once(const struct queue_stats *queue, __u32 depth, __u64 now)
{
	__u64 length = now - queue->busy_since;

	return depth >= FEWEST_AT_ONCE && length < fills_at_once_ns &&
	       queue->limit * length < (__u64)depth * 2 * fills_at_once_ns;
}

static __always_inline bool pressure_is_due(struct queue_stats *queue, __u32 depth, __u64 now)
{
	if ((__u64)depth * 1024 <= (__u64)queue->limit * pressure_per_1024)
		return fills_at_once(queue, depth, now) &&
		       event_is_due(&queue->last_early_event, now);
	/* Past half of a limit that was raised since is news, however soon; by less than a quarter
	 * none is (nor is one raised): else a listen() for each connection would be.
	 */
	if ((__u64)queue->limit * 4 < (__u64)queue->event_limit * 5)
		return event_is_due(&queue->last_event, now);
	queue->last_event = now;
	return true;
}

/* `depth` connections wait in `queue`. */
static __always_inline void check_pressure(struct queue_stats *queue, struct net *net,
					   const struct abi_endpoint *local, __u64 cookie,
					   bool transparent, __u32 depth)
{
	__u64 now;

	if ((__u64)depth * 4 <= queue->limit)
		return;
	now = bpf_ktime_get_ns();
	if (!pressure_is_due(queue, depth, now))
		return;
	queue->event_limit = queue->limit;
	if (!event_is_within(&pressure_limits, netns_key(net), ABI_PRESSURE_EVENT, now))
		return;
	send_pressure(queue, net, local, cookie, transparent, depth, now);
}

#endif
