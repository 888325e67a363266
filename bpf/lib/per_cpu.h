/* SPDX-License-Identifier: GPL-2.0 */
/* Counters that the kernel keeps for each CPU, read by a program that runs on one of them. */
#ifndef BPFTUNE_LIB_PER_CPU_H
#define BPFTUNE_LIB_PER_CPU_H

#include "bpf/lib/kernel.h"

/* Set before loading. */
const volatile __u32 possible_cpus = 1;

/* Says where per-CPU memory of each CPU is: not every kernel shows __per_cpu_of_cpu to BPF. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} anchor SEC(".maps");

/* The verifier bounds what is done with a pointer, and these have to go elsewhere: as a number, it
 * lets them. */
static __always_inline __u64 as_number(void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* Where the kernel keeps `anchor`, less the offset of any CPU. */
static __always_inline __u64 anchor_base(void)
{
	struct bpf_array *array = (void *)as_number(&anchor);

	return (__u64)BPF_CORE_READ(array, pptrs[0]);
}

#endif
