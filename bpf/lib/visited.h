/* SPDX-License-Identifier: GPL-2.0 */
/* What makes an iterator tell of each network namespace once in a run, however many threads are in
 * it. */
#ifndef BPFTUNE_LIB_VISITED_H
#define BPFTUNE_LIB_VISITED_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"

/* netns_key() → the run that has written its record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, __u64);
} visited SEC(".maps");

static __always_inline bool is_visited(__u64 key, __u64 run)
{
	__u64 *last = bpf_map_lookup_elem(&visited, &key);

	return last && *last == run;
}

/*
 * To be the last that a program writes: only a record that was written for good is marked. The
 * kernel calls again with the same object if its buffer was full, and drops what was written for it
 * before.
 */
static __always_inline void write_once(struct bpf_iter_meta *meta, __u64 key, void *record,
				       __u32 size)
{
	__u64 run = meta->session_id;

	if (bpf_seq_write(meta->seq, record, size) == 0)
		bpf_map_update_elem(&visited, &key, &run, BPF_ANY);
}

#endif
