// SPDX-License-Identifier: GPL-2.0
/*
 * What is thrown away, and for whom: last ACKs that met a full accept queue, by listener, and
 * packets that met a full CPU backlog (how many, softnet_stat says). One program for both, since
 * the tracepoint fires several times in the life of a healthy connection.
 *
 * Each last ACK that overflows is counted in sk_drops twice: what is counted here has to be taken
 * from sk_drops for the listener's part of ListenOverflows.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/variations.h"

DEFINE_LAST_ACK_OVERFLOWS_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last_event SEC(".maps");

static __always_inline void on_backlog_drop(void)
{
	struct backlog_drop_event *event;
	__u64 now, *last;
	__u32 zero = 0;

	last = bpf_map_lookup_elem(&last_event, &zero);
	now = bpf_ktime_get_ns();
	if (!last || !event_is_due(last, now))
		return;
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	event->kind = ABI_BACKLOG_DROP_EVENT;
	event->cpu = bpf_get_smp_processor_id();
	event->time = now;
	submit_event(event);
}

static __always_inline void on_listen_overflow(struct sock *listener)
{
	__u64 cookie = bpf_get_socket_cookie(listener), zero = 0;
	__u64 *count = lookup_or_insert(&last_ack_overflows, &cookie, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Where the kernel says which socket a packet was for, and that its accept queue was full. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(drops_by_listener, struct sk_buff *skb, void *location, enum skb_drop_reason reason,
	     struct sock *rx_sk)
{
	if (is_backlog_drop(reason))
		on_backlog_drop();
	else if (rx_sk && is_listen_overflow(reason))
		on_listen_overflow(rx_sk);
	return 0;
}

/* Elsewhere. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(drops_of_backlog, struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	if (is_backlog_drop(reason))
		on_backlog_drop();
	return 0;
}

char _license[] SEC("license") = "GPL";
