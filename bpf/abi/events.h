/* SPDX-License-Identifier: Apache-2.0 */
/* What comes through the ring buffers. Each begins with its kind; times are bpf_ktime_get_ns(),
 * CLOCK_MONOTONIC. */
#ifndef BPFTUNE_ABI_EVENTS_H
#define BPFTUNE_ABI_EVENTS_H

#include "bpf/abi/common.h"

enum abi_event_kind {
	ABI_PRESSURE_EVENT = 1,
	ABI_LISTEN_EVENT = 2,
	ABI_PORTS_EXHAUSTED_EVENT = 3,
	ABI_BACKLOG_DROP_EVENT = 4,
};

/* An accept queue has passed the share of its limit that the program was loaded with. */
struct pressure_event {
	__u32 kind;
	__u32 depth; /* with this arrival */
	__u64 time;
	struct abi_netns netns;
	struct abi_endpoint local;
	__u64 busy_since; /* an arrival last found the queue empty; the first one seen, if never */
	__u64 busy_arrivals; /* since then */
	__u32 limit;
	__u32 unused;
};
ABI_SIZE(struct pressure_event, 80);
ABI_OFFSET(struct pressure_event, netns, 16);
ABI_OFFSET(struct pressure_event, busy_since, 56);
ABI_OFFSET(struct pressure_event, limit, 72);

struct listen_event {
	__u32 kind;
	__u32 unused;
	__u64 time;
	struct abi_listener listener;
};
ABI_SIZE(struct listen_event, 128);
ABI_OFFSET(struct listen_event, listener, 16);

struct ports_exhausted_event {
	__u32 kind;
	__u32 pid;
	__u64 time;
	struct abi_netns netns;
	__u8 comm[ABI_COMM_SIZE];
};
ABI_SIZE(struct ports_exhausted_event, 48);
ABI_OFFSET(struct ports_exhausted_event, comm, 32);

struct backlog_drop_event {
	__u32 kind;
	__u32 cpu; /* that dropped; with RPS the full backlog may be another's */
	__u64 time;
};
ABI_SIZE(struct backlog_drop_event, 16);

#endif
