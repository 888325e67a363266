/* SPDX-License-Identifier: Apache-2.0 */
/* The conntrack table as one network namespace fills it. */
#ifndef BPFTUNE_ABI_CONNTRACK_H
#define BPFTUNE_ABI_CONNTRACK_H

#include "bpf/abi/common.h"

/* One map entry each, by cookie, or by inode where there is none. */
struct conntrack_use {
	__u64 inserts;
	__u64 last_event;
};
ABI_SIZE(struct conntrack_use, 16);

/* What the iterator writes, one after another. Counters are summed over all CPUs, each of which
 * wraps at 32 bits. */
struct conntrack_record {
	struct abi_netns netns;
	__u64 entries;
	__u64 drops;
	__u64 early_drops;
	__u64 insert_failed;
	__u64 chain_too_long;
};
ABI_SIZE(struct conntrack_record, 56);
ABI_OFFSET(struct conntrack_record, entries, 16);

#endif
