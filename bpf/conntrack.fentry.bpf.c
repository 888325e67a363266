// SPDX-License-Identifier: GPL-2.0
/*
 * What conntrack itself does not count (inserts), and the moment at which its table is full. How
 * many were dropped or thrown out, the kernel counts.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/event_rates.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"

/* By netns_key(). Not per CPU: conntrack itself counts the entries of a namespace in one place. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct conntrack_use);
} uses SEC(".maps");

/* A namespace has one in `event_interval_ns` at most. */
static const struct rate_limits full_limits = {
	.of_netns = 200,
	.of_all = 1000,
	.in_any_case = 16,
};

static __always_inline struct conntrack_use *use_of(struct net *net)
{
	struct conntrack_use fresh = {};
	__u64 key = netns_key(net);

	return lookup_or_insert(&uses, &key, &fresh);
}

SEC("fentry/__nf_conntrack_hash_insert")
int BPF_PROG(insert, struct nf_conn *ct)
{
	struct conntrack_use *use = use_of(ct->ct_net.net);

	if (use)
		__sync_fetch_and_add(&use->inserts, 1);
	return 0;
}

/* Called where the table is full and nowhere else. */
SEC("fentry/early_drop")
int BPF_PROG(full, struct net *net)
{
	struct conntrack_use *use = use_of(net);
	struct conntrack_full_event *event;
	__u64 now = bpf_ktime_get_ns();

	if (!use || !event_is_due(&use->last_event, now) ||
	    !event_is_within(&full_limits, netns_key(net), ABI_CONNTRACK_FULL_EVENT, now))
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->kind = ABI_CONNTRACK_FULL_EVENT;
	event->unused = 0;
	event->time = now;
	fill_netns(&event->netns, net);
	submit_event(event);
	return 0;
}

char _license[] SEC("license") = "GPL";
