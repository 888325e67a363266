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
	ABI_CONNTRACK_FULL_EVENT = 5,
	ABI_SYSCTL_WRITE_EVENT = 6,
	ABI_EVENT_KINDS,
};

/* An accept queue has passed the share of its limit that the program was loaded with. By fentry
 * also each SYN that it drops, being full. */
struct pressure_event {
	__u32 kind;
	__u32 depth; /* with this arrival, if it is let in */
	__u64 time;
	struct abi_netns netns;
	struct abi_endpoint local; /* of the connection; by fentry of the listener */
	__u64 cookie;		   /* of the socket whose queue it is; 0: unknown */
	__u64 busy_since; /* an arrival last found the queue empty; the first one seen, if never; 0:
			   * before the first one seen */
	__u64 busy_arrivals; /* since then */
	__u32 limit;
	__u8 transparent; /* IP_TRANSPARENT: the listener may have another port */
	__u8 unused[3];
};
ABI_SIZE(struct pressure_event, 88);
ABI_OFFSET(struct pressure_event, netns, 16);
ABI_OFFSET(struct pressure_event, cookie, 56);
ABI_OFFSET(struct pressure_event, limit, 80);

struct listen_event {
	__u32 kind;
	__u32 unused;
	__u64 time;
	struct abi_listener listener;
};
ABI_SIZE(struct listen_event, 152);
ABI_OFFSET(struct listen_event, listener, 16);

struct ports_exhausted_event {
	__u32 kind;
	__u32 pid;
	__u64 time;
	struct abi_netns netns;
	__u8 comm[ABI_COMM_SIZE];
	struct abi_endpoint remote; /* whom it wanted to reach */
};
ABI_SIZE(struct ports_exhausted_event, 72);
ABI_OFFSET(struct ports_exhausted_event, comm, 32);
ABI_OFFSET(struct ports_exhausted_event, remote, 48);

struct backlog_drop_event {
	__u32 kind;
	__u32 cpu; /* that dropped; with RPS the full backlog may be another's */
	__u64 time;
};
ABI_SIZE(struct backlog_drop_event, 16);

struct conntrack_full_event {
	__u32 kind;
	__u32 unused;
	__u64 time;
	struct abi_netns netns;
};
ABI_SIZE(struct conntrack_full_event, 32);
ABI_OFFSET(struct conntrack_full_event, netns, 16);

#define ABI_SYSCTL_NAME_SIZE 64
#define ABI_SYSCTL_VALUE_SIZE 32

/* Somebody is about to write a sysctl: the kernel may still refuse it. */
struct sysctl_write_event {
	__u32 kind;
	__u32 pid;
	__u64 time;
	struct abi_netns netns; /* of the thread that writes */
	__u8 comm[ABI_COMM_SIZE];
	__u8 name[ABI_SYSCTL_NAME_SIZE];   /* below /proc/sys: "net/core/somaxconn" */
	__u8 value[ABI_SYSCTL_VALUE_SIZE]; /* what was written, cut if longer; ended by a NUL */
};
ABI_SIZE(struct sysctl_write_event, 144);
ABI_OFFSET(struct sysctl_write_event, netns, 16);
ABI_OFFSET(struct sysctl_write_event, comm, 32);
ABI_OFFSET(struct sysctl_write_event, name, 48);
ABI_OFFSET(struct sysctl_write_event, value, 112);

#endif
