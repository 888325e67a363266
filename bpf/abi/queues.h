/* SPDX-License-Identifier: Apache-2.0 */
/* The accept queues as those saw them that arrived: one map entry per local endpoint, or, where the
 * listener is known, per listener. */
#ifndef BPFTUNE_ABI_QUEUES_H
#define BPFTUNE_ABI_QUEUES_H

#include "bpf/abi/common.h"

struct queue_key {
	__u64 netns; /* the cookie; the inode where there is none */
	struct abi_endpoint local;
	__u64 transparent; /* 1: with IP_TRANSPARENT, which each connection has from its listener */
};
ABI_SIZE(struct queue_key, 40);
ABI_OFFSET(struct queue_key, local, 8);

struct queue_epoch {
	__u64 arrivals_before;
	__u32 epoch;
	__u32 peak;	/* depth with the arrival itself */
	__u32 floor;	/* depth that an arrival found */
	__u32 syn_peak; /* half-open connections with the SYN that came; 0: none came, or not seen
			 */
};
ABI_SIZE(struct queue_epoch, 24);

/*
 * User space moves the epoch on, then reads the slot of the one before: no arrival is between two
 * readings. Several CPUs may write: `arrivals` is exact, the rest may miss what another CPU saw in
 * the same instant.
 */
struct queue_stats {
	__u64 arrivals;
	__u64 busy_since;
	__u64 arrivals_before_busy;
	__u64 last_event;
	__u64 last_early_event;	      /* before the queue was half full */
	struct queue_epoch epochs[2]; /* by the lowest bit of the epoch */
	__u32 limit;		      /* that the last arrival saw */
	__u32 event_limit;	      /* that the last event told of */
	__u32 netns_inode;
	__u32 unused;
};
ABI_SIZE(struct queue_stats, 104);
ABI_OFFSET(struct queue_stats, epochs, 40);
ABI_OFFSET(struct queue_stats, limit, 88);

/* By the socket's cookie. */
struct listener_queue {
	struct queue_stats stats;
	struct abi_netns netns;
	struct abi_endpoint local;
	__u64 overflows; /* SYNs and last ACKs that found the queue full */
};
ABI_SIZE(struct listener_queue, 152);
ABI_OFFSET(struct listener_queue, overflows, 144);

/* What came to queues that no entry was made for, of one namespace. */
struct queues_left_out {
	struct abi_netns netns;
	__u64 count;
};
ABI_SIZE(struct queues_left_out, 24);

/* By netns_key(), with how many were made in this second before it. */
struct queue_rate {
	struct rate rate;
	struct queues_left_out left_out;
};
ABI_SIZE(struct queue_rate, 40);

/* Connects that failed for want of a local port, per namespace (key as above). */
struct port_failures {
	__u64 count;
	__u64 own_ports; /* of these, of sockets that have a range of their own */
	__u64 last_event;
};
ABI_SIZE(struct port_failures, 24);

#endif
