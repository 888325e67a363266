/* SPDX-License-Identifier: GPL-2.0 */
/* So many in an interval of a second: of one namespace, and of all. */
#ifndef BPFTUNE_LIB_RATE_H
#define BPFTUNE_LIB_RATE_H

#include "bpf/lib/kernel.h"
#include "bpf/abi/common.h"

#define RATE_INTERVAL_NS 1000000000ULL

/* Several CPUs at once may count one too few. */
static __always_inline bool count_within(struct rate *rate, __u64 most, __u64 now)
{
	if (now - rate->interval_begin >= RATE_INTERVAL_NS) {
		rate->interval_begin = now;
		rate->count = 0;
	}
	return rate->count++ < most;
}

#endif
