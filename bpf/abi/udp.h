/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets that drop what comes. */
#ifndef BPFTUNE_ABI_UDP_H
#define BPFTUNE_ABI_UDP_H

#include "bpf/abi/common.h"

#define ABI_UDP_LOOKS 8	      /* so many are remembered: one bit each */
#define ABI_UDP_LOOKS_AFTER 2 /* of those that find no more drops, after one that does */

/* Kept with the socket from one look to the next, and written by each. */
struct udp_record {
	__u64 kind;
	struct abi_netns netns;
	struct abi_endpoint local;
	__u64 cookie;
	__u64 inode;
	__u64 census;	    /* the run that last found it */
	__u64 looked;	    /* when; 0: not yet */
	__u64 lost_at;	    /* when it was last found to have dropped more; 0: it has not */
	__u64 drops;	    /* since the service began */
	__u64 drops_before; /* of these, those known when the census put it aside */
	__u32 counted;	    /* the kernel's count of them until the last look: wraps */
	__u32 most_dropped; /* between two looks since it began to drop, but for the first */
	__u32 queue;	    /* bytes that wait, with what the kernel counts beside them */
	__u32 rcvbuf;
	__u32 pid; /* of the process, the lowest that holds it, process 1 last */
	__s32 fd;
	__u8 comm[ABI_COMM_SIZE];
	__u32 left_out;	   /* descriptors of its namespace for which there was no room */
	__u8 looks;	   /* since it began to drop, and while it does: up to ABI_UDP_LOOKS */
	__u8 past_half;	   /* of these the last one in the lowest bit: whether the queue was */
	__u8 locked;	   /* its application has set the size */
	__u8 after_drops;  /* looks since the last one that found more drops, up to
			      ABI_UDP_LOOKS_AFTER + 1 */
	__u8 held_by_init; /* process 1 holds it as well */
	__u8 unused[7];
};
ABI_SIZE(struct udp_record, 160);
ABI_OFFSET(struct udp_record, cookie, 48);
ABI_OFFSET(struct udp_record, counted, 104);
ABI_OFFSET(struct udp_record, comm, 128);
ABI_OFFSET(struct udp_record, looks, 148);

#endif
