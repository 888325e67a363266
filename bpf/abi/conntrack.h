/* SPDX-License-Identifier: Apache-2.0 */
/* What one network namespace does to the conntrack table: one map entry each, by cookie, or by
 * inode where there is none. */
#ifndef BPFTUNE_ABI_CONNTRACK_H
#define BPFTUNE_ABI_CONNTRACK_H

#include "bpf/abi/common.h"

struct conntrack_use {
	__u64 inserts;
	__u64 last_event;
};
ABI_SIZE(struct conntrack_use, 16);

#endif
