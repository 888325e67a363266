/* SPDX-License-Identifier: Apache-2.0 */
/* How many sockets of one kind are kept to be looked at: for each namespace, and for the node. */
#ifndef BPFTUNE_ABI_ROOM_H
#define BPFTUNE_ABI_ROOM_H

#include "bpf/abi/common.h"

struct room {
	__u64 look;   /* the run that counted them */
	__u64 census; /* the run that left some out */
	__u32 kept;   /* since then put aside, too */
	__u32 left_out;
};
ABI_SIZE(struct room, 24);

#endif
