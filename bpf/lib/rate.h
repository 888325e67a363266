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

/* What one namespace may have in an interval, and all of them; `in_any_case` of each, however many
 * the others have. */
struct rate_limits {
	__u64 of_netns, of_all, in_any_case;
};

static __always_inline bool count_within_limits(struct rate *of_netns, struct rate *of_all,
						const struct rate_limits *limits, __u64 now)
{
	return count_within(of_netns, limits->of_netns, now) &&
	       (of_netns->count <= limits->in_any_case ||
		count_within(of_all, limits->of_all, now));
}

#endif
