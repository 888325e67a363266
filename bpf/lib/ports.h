/* SPDX-License-Identifier: GPL-2.0 */
/* Connects that failed for want of a local port. */
#ifndef BPFTUNE_LIB_PORTS_H
#define BPFTUNE_LIB_PORTS_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/event_rates.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/variations.h"

DEFINE_PORT_FAILURES_MAP;

/* A namespace has one in `event_interval_ns` at most. */
static const struct rate_limits ports_limits = {
	.of_netns = 200,
	.of_all = 1000,
	.in_any_case = 16,
};

/* In the context of the process that called connect(). */
static __always_inline void note_port_failure(const struct sock *sk)
{
	struct net *net = sk->__sk_common.skc_net.net;
	struct port_failures fresh = {}, *failures;
	struct ports_exhausted_event *event;
	__u64 key = netns_key(net), now;

	failures = lookup_or_insert(&port_failures, &key, &fresh);
	if (!failures)
		return;
	__sync_fetch_and_add(&failures->count, 1);
	if (has_own_ports(sk))
		__sync_fetch_and_add(&failures->own_ports, 1);
	now = bpf_ktime_get_ns();
	if (!event_is_due(&failures->last_event, now) ||
	    !event_is_within(&ports_limits, key, ABI_PORTS_EXHAUSTED_EVENT, now))
		return;
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	event->kind = ABI_PORTS_EXHAUSTED_EVENT;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->time = now;
	fill_netns(&event->netns, net);
	fill_comm(&event->comm, bpf_get_current_task_btf());
	fill_remote(&event->remote, sk);
	submit_event(event);
}

#endif
