/* SPDX-License-Identifier: GPL-2.0 */
/* The ring buffer of an object, and the count of what did not fit. */
#ifndef BPFTUNE_LIB_EVENTS_H
#define BPFTUNE_LIB_EVENTS_H

#include "bpf/lib/kernel.h"
#include "bpf/abi/events.h"

#define EVENT_BYTES (512 * 1024)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_BYTES);
} events SEC(".maps");

__u64 lost_events;

const volatile __u64 event_interval_ns = 5000000;

static __always_inline void *reserve_event(__u64 size)
{
	void *event = bpf_ringbuf_reserve(&events, size, 0);

	if (!event)
		__sync_fetch_and_add(&lost_events, 1);
	return event;
}

static __always_inline void submit_event(void *event)
{
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

/* One that can wait for the next tick, which drains the buffer: wakes nobody while there is room.
 */
static __always_inline void submit_event_without_haste(void *event)
{
	bool room = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < EVENT_BYTES / 8;

	bpf_ringbuf_submit(event, room ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

/* Whether an event is due: at most one per interval for each `last`. Two CPUs at once may send two.
 */
static __always_inline bool event_is_due(__u64 *last, __u64 now)
{
	if (*last && now - *last < event_interval_ns)
		return false;
	*last = now;
	return true;
}

#endif
