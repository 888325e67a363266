/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Room for sockets that the census puts aside: so many of a namespace, so that a tenant with many
 * does not keep those of others from being looked at, and so many of all. Two maps: one by
 * netns_key(), and one with a single place for the node.
 */
#ifndef BPFTUNE_LIB_ROOM_H
#define BPFTUNE_LIB_ROOM_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/abi/room.h"

#define MOST_KEPT 4096
#define MOST_KEPT_OF_NETNS 256

#define DEFINE_ROOM_MAPS(of_netns, of_all)                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, MAX_NAMESPACES);                                               \
		__type(key, __u64);                                                                \
		__type(value, struct room);                                                        \
	} of_netns SEC(".maps");                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, struct room);                                                        \
	} of_all SEC(".maps")

struct rooms {
	struct room *of_netns;
	struct room *of_all;
};

static __always_inline bool find_rooms(struct rooms *to, void *of_netns, void *of_all,
				       struct net *net)
{
	struct room fresh = {};
	__u64 key = netns_key(net);
	__u32 zero = 0;

	to->of_all = bpf_map_lookup_elem(of_all, &zero);
	to->of_netns = lookup_or_insert(of_netns, &key, &fresh);
	return to->of_all && to->of_netns;
}

/* After a look that found none of its namespace, it has none. */
static __always_inline void renew(struct room *room, __u64 look)
{
	if (room->look == look)
		return;
	room->look = look;
	room->kept = 0;
}

static __always_inline bool leave_out(struct room *room, __u64 census)
{
	if (room->census != census)
		room->left_out = 0;
	room->census = census;
	room->left_out++;
	return false;
}

static __always_inline bool make_room(struct rooms *rooms, __u64 census)
{
	renew(rooms->of_netns, rooms->of_all->look);
	if (rooms->of_netns->kept >= MOST_KEPT_OF_NETNS || rooms->of_all->kept >= MOST_KEPT)
		return leave_out(rooms->of_netns, census);
	rooms->of_netns->kept++;
	rooms->of_all->kept++;
	return true;
}

/* One that was found by a look; the first of a look finds the counts of the one before. */
static __always_inline void count(struct rooms *rooms, __u64 look)
{
	renew(rooms->of_all, look);
	renew(rooms->of_netns, look);
	rooms->of_all->kept++;
	rooms->of_netns->kept++;
}

/* Of one that this census found. */
static __always_inline __u32 left_out_beside(const struct rooms *rooms, __u64 census)
{
	return rooms->of_netns->census == census ? rooms->of_netns->left_out : 0;
}

/* Where none is left, nobody else says so. */
static __always_inline void end_look(void *of_all, __u64 look)
{
	__u32 zero = 0;
	struct room *room = bpf_map_lookup_elem(of_all, &zero);

	if (room)
		renew(room, look);
}

#endif
