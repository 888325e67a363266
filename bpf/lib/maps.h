/* SPDX-License-Identifier: GPL-2.0 */
/* Maps that several programs share: user space gives the second object the first one's. */
#ifndef BPFTUNE_LIB_MAPS_H
#define BPFTUNE_LIB_MAPS_H

#include "bpf/lib/kernel.h"
#include "bpf/abi/conntrack.h"
#include "bpf/abi/queues.h"

/*
 * LRU: no entry has to be taken out by hand. Listeners that were forgotten have an unknown wish,
 * which is what one that is older than this service has as well.
 */
#define MAX_LISTENERS 16384
#define MAX_NAMESPACES 8192
#define MAX_QUEUES 8192

/* What listen() was given, by socket cookie. */
#define DEFINE_ASKED_MAP                                                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, MAX_LISTENERS);                                                \
		__type(key, __u64);                                                                \
		__type(value, __u32);                                                              \
	} asked SEC(".maps")

/* Last ACKs that met a full accept queue, by socket cookie. */
#define DEFINE_LAST_ACK_OVERFLOWS_MAP                                                              \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, MAX_LISTENERS);                                                \
		__type(key, __u64);                                                                \
		__type(value, __u64);                                                              \
	} last_ack_overflows SEC(".maps")

/* By socket cookie. */
#define DEFINE_LISTENER_QUEUES_MAP                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, MAX_QUEUES);                                                   \
		__type(key, __u64);                                                                \
		__type(value, struct listener_queue);                                              \
	} listener_queues SEC(".maps")

/* By netns_key(). */
#define DEFINE_PORT_FAILURES_MAP                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, MAX_NAMESPACES);                                               \
		__type(key, __u64);                                                                \
		__type(value, struct port_failures);                                               \
	} port_failures SEC(".maps")

/* The entry of `key`, made as a copy of `fresh` if there is none. NULL: no memory. */
static __always_inline void *lookup_or_insert(void *map, const void *key, const void *fresh)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		return value;
	bpf_map_update_elem(map, key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

#endif
