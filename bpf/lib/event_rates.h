/* SPDX-License-Identifier: GPL-2.0 */
/* Whoever causes events without end costs no more than so many. The next tick or census finds what
 * a withheld one told of. */
#ifndef BPFTUNE_LIB_EVENT_RATES_H
#define BPFTUNE_LIB_EVENT_RATES_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/rate.h"
#include "bpf/abi/events.h"

struct event_source {
	__u64 netns; /* netns_key() */
	__u64 kind;  /* enum abi_event_kind */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, struct event_source);
	__type(value, struct rate);
} event_rates SEC(".maps");

static struct rate event_rates_of_all[ABI_EVENT_KINDS];
__u64 withheld_events;

static __always_inline bool event_is_within(const struct rate_limits *limits, __u64 netns,
					    enum abi_event_kind kind, __u64 now)
{
	struct event_source source = {.netns = netns, .kind = kind};
	struct rate fresh = {}, *of_netns;

	of_netns = lookup_or_insert(&event_rates, &source, &fresh);
	if (of_netns && count_within_limits(of_netns, &event_rates_of_all[kind], limits, now))
		return true;
	__sync_fetch_and_add(&withheld_events, 1);
	return false;
}

#endif
