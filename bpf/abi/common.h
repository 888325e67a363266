/* SPDX-License-Identifier: Apache-2.0 */
/* Structs that BPF programs write and user space reads: fixed width, host byte order unless said.
 */
#ifndef BPFTUNE_ABI_COMMON_H
#define BPFTUNE_ABI_COMMON_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#ifdef __cplusplus
#define ABI_ASSERT(condition) static_assert(condition, #condition)
#else
#define ABI_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define ABI_SIZE(type, size) ABI_ASSERT(sizeof(type) == (size))
#define ABI_OFFSET(type, field, offset) ABI_ASSERT(__builtin_offsetof(type, field) == (offset))

#define ABI_COMM_SIZE 16       /* TASK_COMM_LEN; raw bytes of the process, ended by a NUL */
#define ABI_CONGESTION_SIZE 16 /* of the name of a congestion control (TCP_CA_NAME_MAX) */

struct abi_netns {
	__u64 cookie; /* 0: this kernel has none */
	__u32 inode;
	__u32 unused;
};
ABI_SIZE(struct abi_netns, 16);
ABI_OFFSET(struct abi_netns, inode, 8);

/* bpf/lib/rate.h */
struct rate {
	__u64 interval_begin;
	__u64 count; /* in it */
};
ABI_SIZE(struct rate, 16);

/* IPv4 as ::ffff:a.b.c.d, also that of an IPv6 socket that talks IPv4; "::" is the wildcard of
 * IPv6. */
struct abi_endpoint {
	__u8 address[16]; /* network byte order */
	__u16 port;
	__u16 unused[3];
};
ABI_SIZE(struct abi_endpoint, 24);
ABI_OFFSET(struct abi_endpoint, port, 16);

struct abi_listener {
	struct abi_netns netns;
	struct abi_endpoint local;
	__u64 cookie;
	__u64 inode; /* of the socket */
	__u64 last_ack_overflows;
	__u64 overflows;    /* if overflows_known */
	__u64 queue_cookie; /* of the socket that takes its connections: another one with MPTCP */
	__u32 pid;	    /* of the process, not the thread */
	__s32 fd;	    /* -1: unknown */
	__u8 comm[ABI_COMM_SIZE]; /* of the thread group's leader */
	__u32 queue;		  /* sk_ack_backlog */
	__u32 limit;		  /* sk_max_ack_backlog */
	__u32 drops;		  /* sk_drops: wraps */
	__u32 asked;		  /* if asked_known: what listen() was given */
	__u8 asked_known;
	__u8 reuseport;
	__u8 overflows_known;
	__u8 transparent; /* IP_TRANSPARENT */
	__u8 defers;	  /* TCP_DEFER_ACCEPT */
	__u8 unused[3];
	__u32 syn_queue;      /* handshakes under way, cookies not counted */
	__u32 fastopen_queue; /* requests that may wait which came with a SYN; 0: it takes none */
};
ABI_SIZE(struct abi_listener, 136);
ABI_OFFSET(struct abi_listener, local, 16);
ABI_OFFSET(struct abi_listener, cookie, 40);
ABI_OFFSET(struct abi_listener, overflows, 64);
ABI_OFFSET(struct abi_listener, pid, 80);
ABI_OFFSET(struct abi_listener, comm, 88);
ABI_OFFSET(struct abi_listener, queue, 104);
ABI_OFFSET(struct abi_listener, asked_known, 120);
ABI_OFFSET(struct abi_listener, syn_queue, 128);

#endif
