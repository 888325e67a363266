/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UDP sockets that drop what comes. The census, which comes upon each socket of the node anyway,
 * puts those aside whose count of drops has grown; the next looks are taken at these alone. What
 * is known of one is kept with the socket, so it ends with it.
 */
#ifndef BPFTUNE_LIB_UDP_H
#define BPFTUNE_LIB_UDP_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/room.h"
#include "bpf/abi/census.h"
#include "bpf/abi/udp.h"

#define INIT_PROCESS 1

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct udp_record);
} udp_sockets SEC(".maps");

/* Of every socket that has dropped anything since it was made, looked at or not. */
struct udp_counted {
	__u64 drops;
	__u32 counted;
	__u32 known;
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct udp_counted);
} udp_counts SEC(".maps");

/* By cookie: whose buffer the service has set. They are looked at whether they drop or not. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_KEPT);
	__type(key, __u64);
	__type(value, __u8);
} udp_held SEC(".maps");

DEFINE_ROOM_MAPS(udp_rooms, udp_room_of_all);

static __always_inline bool is_held(__u64 cookie)
{
	return bpf_map_lookup_elem(&udp_held, &cookie) != NULL;
}

/* What a socket dropped before the first census is no news; one that has dropped nothing by then
 * counts from 0.
 */
static __u64 first_census;

static __always_inline void begin_census(__u64 census)
{
	if (!first_census)
		first_census = census;
}

static __always_inline void begin_looks(struct udp_record *udp, struct sock *sk,
					const struct udp_counted *known, __u32 drops)
{
	udp->kind = ABI_UDP_RECORD;
	fill_netns(&udp->netns, sk->__sk_common.skc_net.net);
	fill_local(&udp->local, sk);
	udp->cookie = bpf_get_socket_cookie(sk);
	udp->drops = udp->drops_before = known->drops;
	udp->counted = known->counted;
	if (drops != known->counted)
		udp->lost_at = bpf_ktime_get_ns();
}

static __always_inline struct udp_counted *counted_of(struct sock *sk, __u32 drops, __u64 census)
{
	struct udp_counted *known =
		bpf_sk_storage_get(&udp_counts, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!known || known->known) /* NULL: its filters take all of its memory for options */
		return known;
	known->known = true;
	if (census == first_census)
		known->counted = drops;
	return known;
}

static __always_inline struct udp_record *begin_udp(struct sock *sk, __u32 drops, __u64 census)
{
	struct udp_counted *known = counted_of(sk, drops, census);
	struct udp_record *udp;
	struct rooms rooms;
	bool held;

	if (!known)
		return NULL;
	held = is_held(bpf_get_socket_cookie(sk));
	if (known->counted == drops && !held)
		return NULL;
	if (!find_rooms(&rooms, &udp_rooms, &udp_room_of_all, sk->__sk_common.skc_net.net))
		return NULL;
	if (!make_room(&rooms, census) && !held)
		return NULL;
	udp = bpf_sk_storage_get(&udp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (udp)
		begin_looks(udp, sk, known, drops);
	return udp;
}

/* Processes come by their numbers: the first in a census is the lowest. But where that is process
 * 1, which is systemd and keeps what it opened for others, the next one serves the socket.
 */
static __always_inline void note_udp_holder(struct udp_record *udp,
					    const struct bpf_iter__task_file *ctx,
					    struct task_struct *task, struct file *file)
{
	bool is_known = udp->census == ctx->meta->session_id;

	if (is_known && (udp->pid != INIT_PROCESS || task->tgid == INIT_PROCESS))
		return;
	udp->held_by_init = is_known;
	udp->census = ctx->meta->session_id;
	udp->inode = file->f_inode->i_ino;
	udp->pid = task->tgid;
	udp->fd = ctx->fd;
	fill_comm(&udp->comm, task);
}

/* One that has never dropped anything costs no more than the reading of that. */
static __always_inline void put_udp_aside(struct sock *sk, const struct bpf_iter__task_file *ctx,
					  struct task_struct *task, struct file *file)
{
	__u64 census = ctx->meta->session_id;
	__u32 drops = datagram_drops(sk);
	struct udp_record *udp;

	if (!drops)
		return;
	udp = bpf_sk_storage_get(&udp_sockets, sk, NULL, 0);
	if (!udp)
		udp = begin_udp(sk, drops, census);
	if (udp)
		note_udp_holder(udp, ctx, task, file);
}

#endif
