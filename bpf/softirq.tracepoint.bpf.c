// SPDX-License-Identifier: GPL-2.0
/* Packets dropped because a CPU's backlog was full (net.core.netdev_max_backlog). How many,
 * softnet_stat says. */
#include "bpf/lib/kernel.h"
#include "bpf/lib/events.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last_event SEC(".maps");

SEC("tp_btf/kfree_skb")
int BPF_PROG(backlog_drop, struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	struct backlog_drop_event *event;
	__u64 now, *last;
	__u32 zero = 0;

	if (reason != bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_CPU_BACKLOG))
		return 0;
	last = bpf_map_lookup_elem(&last_event, &zero);
	now = bpf_ktime_get_ns();
	if (!last || !event_is_due(last, now))
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->kind = ABI_BACKLOG_DROP_EVENT;
	event->cpu = bpf_get_smp_processor_id();
	event->time = now;
	submit_event(event);
	return 0;
}

char _license[] SEC("license") = "GPL";
