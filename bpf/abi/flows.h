/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that the size of a buffer may hold back. */
#ifndef BPFTUNE_ABI_FLOWS_H
#define BPFTUNE_ABI_FLOWS_H

#include "bpf/abi/common.h"

/* What held a flow back between its last two looks. */
enum abi_held_by {
	ABI_HELD_BY_RMEM = 1,	       /* the largest value of tcp_rmem */
	ABI_HELD_BY_WMEM = 2,	       /* of tcp_wmem */
	ABI_HELD_BY_OWN_RCVBUF = 4,    /* SO_RCVBUF of its application */
	ABI_HELD_BY_OWN_SNDBUF = 8,    /* SO_SNDBUF */
	ABI_HELD_BY_WINDOW_SCALE = 16, /* what its handshake allowed, whatever the buffer */
	ABI_HELD_BY_LOSS = 32,	       /* packets are lost where none has to wait */
	ABI_HELD_BY_LOSS_OF_OWN = 64   /* the same, by a congestion control of its own */
};

/* Kept with the socket from one look to the next, and written by each. */
struct flow_record {
	__u64 kind;
	struct abi_netns netns;
	struct abi_endpoint local;
	struct abi_endpoint remote;
	__u64 cookie;
	__u64 census;	/* the run that last found it */
	__u64 looked;	/* when the last look was taken that counts */
	__u64 received; /* bytes until then */
	__u64 acked;
	__u64 received_per_second; /* between the last two looks */
	__u64 acked_per_second;
	__u64 received_in_round_trip; /* bytes, by the least round trip */
	__u64 acked_in_round_trip;
	__u64 received_before; /* a second, at the smaller tcp_rmem that held it back; 0: unknown */
	__u64 acked_before;    /* the same of tcp_wmem */
	__u64 received_since; /* a second, on the average since the raise was first seen; 0: unknown
			       */
	__u64 acked_since;
	__u64 raised;	     /* when that was */
	__u64 received_then; /* bytes until then */
	__u64 acked_then;
	__u64 held; /* when a look last found it held back by any of them; 0: never */
	/* What was lost, and moved, is told of a second or more: since when, and by then. */
	__u64 loss_window;
	__u64 loss_acked;
	__u64 lossy_per_second;	 /* bytes, in the last of them; 0: none was lost without a queue */
	__u64 lossy_before;	 /* the same by the congestion control before; 0: unknown */
	__u64 congestion_looked; /* which it was at the last look that counts: its address */
	__u64 congestion_now;	 /* the same of now */
	__u8 congestion[ABI_CONGESTION_SIZE]; /* its name */
	__u32 loss_retransmitted;
	__u32 loss_segments;
	__u32 pid; /* of the process, the lowest that holds it */
	__s32 fd;
	__u8 comm[ABI_COMM_SIZE];
	__u32 round_trip_us; /* the least */
	__u32 window;	     /* the most that its receive buffer may announce */
	__u32 widest;	     /* that its handshake allows */
	__u32 rcvbuf;
	__u32 sndbuf;
	__u32 rmem_max; /* of its namespace, now */
	__u32 wmem_max;
	__u32 rmem_looked; /* as it was at the last look that counts */
	__u32 wmem_looked;
	__u32 retransmitted; /* packets, until the last look */
	__u32 out_of_order;
	__u32 held_by;	/* enum abi_held_by */
	__u32 left_out; /* flows of its namespace for which there was no room */
	__u8 decided;	/* two looks were taken */
	__u8 unread;	/* at the last look: its application is behind with reading */
	__u8 unsent;	/* its application has written more than may be sent */
	__u8 changed;	/* tcp_rmem or tcp_wmem did between the last two looks */
	__u8 quiet;	/* looks in a row in which it was not held back */
	__u8 losing;	/* in the last window that ended */
	__u8 queued;	/* in this window, packets had to wait, or it had none to send */
	__u8 switched;	/* its congestion control is the one of its namespace, by us */
	__u8 unused[4];
};
ABI_SIZE(struct flow_record, 368);
ABI_OFFSET(struct flow_record, local, 24);
ABI_OFFSET(struct flow_record, cookie, 72);
ABI_OFFSET(struct flow_record, received_per_second, 112);
ABI_OFFSET(struct flow_record, loss_window, 208);
ABI_OFFSET(struct flow_record, pid, 280);
ABI_OFFSET(struct flow_record, round_trip_us, 304);
ABI_OFFSET(struct flow_record, decided, 356);

#endif
