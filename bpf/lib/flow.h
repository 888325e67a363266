/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections that the size of a buffer may hold back. The census, which comes upon each socket of
 * the node anyway, puts those aside that one look does not acquit; the next looks are taken at
 * these alone. What is put aside is kept with the socket, so it ends with it.
 */
#ifndef BPFTUNE_LIB_FLOW_H
#define BPFTUNE_LIB_FLOW_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/room.h"
#include "bpf/abi/census.h"
#include "bpf/abi/flows.h"

/* Whoever has neither sent nor received for so long is held back by no buffer. */
#define IDLE_US 1000000

/* A buffer that would last for more than this has not filled by what comes in a round trip: no flow
 * is faster than 200 Gbit/s. On a fast network, where many flows have the largest buffer, it
 * acquits them.
 */
#define MOST_BYTES_A_US 25000

/* A handshake that lost a packet took at least this (TCP_TIMEOUT_INIT), and is the only round trip
 * that whoever only receives has measured by what it sent. */
#define LOST_IN_HANDSHAKE_US 1000000

#define NO_ROUND_TRIP ((__u32)~0U) /* include/net/tcp.h, tcp_min_rtt() before the first one */

/* A round trip within a data centre: what is lost there is sent again before anybody notices. */
#define LEAST_LOSSY_ROUND_TRIP_US 2000

/* So much was moved before losses say anything. */
#define LEAST_LOSSY_BYTES 65536

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow_record);
} flows SEC(".maps");

DEFINE_ROOM_MAPS(flow_rooms, flow_room_of_all);

struct flow_sizes {
	__u32 rcvbuf;
	__u32 sndbuf;
	__u32 rmem_max;
	__u32 wmem_max;
	__u32 window;
	__u32 widest; /* that its handshake allows */
	__u32 round_trip_us;
	__u8 locks;
};

static __always_inline __u32 least_round_trip(struct tcp_sock *tcp)
{
	__u32 measured = tcp->rtt_min.s[0].v, by_receiving = tcp->rcv_rtt_est.rtt_us >> 3;

	if (measured < LOST_IN_HANDSHAKE_US || by_receiving == 0 || by_receiving > measured)
		return measured;
	return by_receiving;
}

static __always_inline void read_sizes(struct flow_sizes *to, struct sock *sk, struct tcp_sock *tcp)
{
	struct net *net = sk->__sk_common.skc_net.net;

	to->rcvbuf = sk->sk_rcvbuf;
	to->sndbuf = sk->sk_sndbuf;
	to->rmem_max = net->ipv4.sysctl_tcp_rmem[2];
	to->wmem_max = net->ipv4.sysctl_tcp_wmem[2];
	to->widest = 65535U << BPF_CORE_READ_BITFIELD(tcp, rx_opt.rcv_wscale);
	to->window = tcp->window_clamp;
	if (to->window > to->widest)
		to->window = to->widest;
	to->round_trip_us = least_round_trip(tcp);
	to->locks = BPF_CORE_READ_BITFIELD(sk, sk_userlocks);
}

static __always_inline bool may_fill(__u32 size, __u64 moved, const struct flow_sizes *sizes)
{
	return moved / 2 >= size && size <= (__u64)sizes->round_trip_us * MOST_BYTES_A_US;
}

/* A window as wide as the handshake allows, with memory for all of it. */
static __always_inline bool is_widest(const struct flow_sizes *sizes)
{
	return sizes->window >= sizes->widest && sizes->rcvbuf >= sizes->widest;
}

/* Whether a size that does not grow any more may hold back what is received. */
static __always_inline bool may_hold_back_receiving(const struct flow_sizes *sizes,
						    struct tcp_sock *tcp)
{
	if (sizes->rcvbuf < sizes->rmem_max && !(sizes->locks & SOCK_RCVBUF_LOCK) &&
	    !is_widest(sizes))
		return false;
	return may_fill(sizes->window, tcp->bytes_received, sizes);
}

static __always_inline bool may_hold_back_sending(const struct flow_sizes *sizes,
						  struct tcp_sock *tcp)
{
	if (sizes->sndbuf < sizes->wmem_max && !(sizes->locks & SOCK_SNDBUF_LOCK))
		return false;
	return may_fill(sizes->sndbuf, tcp->bytes_acked, sizes);
}

static __always_inline bool is_idle(struct tcp_sock *tcp, __u64 now)
{
	return (__s64)(now / 1000 - tcp->tcp_mstamp) > IDLE_US;
}

static __always_inline bool may_be_held_back(const struct flow_sizes *sizes, struct tcp_sock *tcp)
{
	return sizes->round_trip_us != NO_ROUND_TRIP &&
	       (may_hold_back_receiving(sizes, tcp) || may_hold_back_sending(sizes, tcp));
}

static __always_inline bool is_far(const struct flow_sizes *sizes)
{
	return sizes->round_trip_us >= LEAST_LOSSY_ROUND_TRIP_US &&
	       sizes->round_trip_us != NO_ROUND_TRIP;
}

/* Whether packets that are lost may hold it back. */
static __always_inline bool may_be_losing(const struct flow_sizes *sizes, struct tcp_sock *tcp)
{
	return is_far(sizes) && tcp->total_retrans && tcp->bytes_acked >= LEAST_LOSSY_BYTES;
}

/* A quarter of the window waits to be read: who is behind is the application. */
static __always_inline bool is_unread(const struct flow_sizes *sizes, struct tcp_sock *tcp)
{
	return tcp->rcv_nxt - tcp->copied_seq >= sizes->window / 4;
}

/* A tenth of the buffer waits to be sent: it is the network, or the other side, that takes no more.
 */
static __always_inline bool is_unsent(const struct flow_sizes *sizes, struct tcp_sock *tcp)
{
	return (__u64)(tcp->write_seq - tcp->snd_nxt) * 10 >= sizes->sndbuf;
}

static __always_inline void note_sizes(struct flow_record *flow, const struct flow_sizes *sizes)
{
	flow->round_trip_us = sizes->round_trip_us;
	flow->window = sizes->window;
	flow->widest = sizes->widest;
	flow->rcvbuf = sizes->rcvbuf;
	flow->sndbuf = sizes->sndbuf;
	flow->rmem_max = flow->rmem_looked = sizes->rmem_max;
	flow->wmem_max = flow->wmem_looked = sizes->wmem_max;
}

static __always_inline void note_losses(struct flow_record *flow, struct tcp_sock *tcp)
{
	flow->retransmitted = tcp->total_retrans;
	flow->out_of_order = tcp->rcv_ooopack;
}

static __always_inline __u64 congestion_of(struct tcp_sock *tcp)
{
	return (__u64)tcp->inet_conn.icsk_ca_ops;
}

static __always_inline void begin_loss_window(struct flow_record *flow, struct tcp_sock *tcp,
					      __u64 now)
{
	flow->loss_window = now;
	flow->loss_acked = flow->acked;
	flow->loss_retransmitted = tcp->total_retrans;
	flow->loss_segments = tcp->data_segs_out;
	flow->queued = false;
}

static __always_inline void take_first_look(struct flow_record *flow,
					    const struct flow_sizes *sizes, struct sock *sk,
					    struct tcp_sock *tcp)
{
	flow->kind = ABI_FLOW_RECORD;
	fill_netns(&flow->netns, sk->__sk_common.skc_net.net);
	fill_local(&flow->local, sk);
	fill_remote(&flow->remote, sk);
	flow->cookie = bpf_get_socket_cookie(sk);
	flow->received = tcp->bytes_received;
	flow->acked = tcp->bytes_acked;
	note_losses(flow, tcp);
	note_sizes(flow, sizes);
	flow->unread = is_unread(sizes, tcp);
	flow->unsent = is_unsent(sizes, tcp);
	flow->looked = bpf_ktime_get_ns();
	flow->congestion_looked = congestion_of(tcp);
	begin_loss_window(flow, tcp, flow->looked);
}

/* When this census began. It comes upon many sockets, and takes milliseconds. */
static __always_inline __u64 begin_of(__u64 census)
{
	static __u64 last, begin;

	if (last != census)
		begin = bpf_ktime_get_ns();
	last = census;
	return begin;
}

static __always_inline void put_aside(struct sock *sk, struct task_struct *task, __s32 fd,
				      __u64 census)
{
	struct flow_sizes sizes;
	struct flow_record *flow;
	struct tcp_sock *tcp;
	struct rooms rooms;

	if (!is_tcp(sk))
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || is_idle(tcp, begin_of(census)))
		return;
	read_sizes(&sizes, sk, tcp);
	if (!may_be_held_back(&sizes, tcp) &&
	    !(may_be_losing(&sizes, tcp) && is_unsent(&sizes, tcp)))
		return;
	flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
	if (!flow) {
		if (!find_rooms(&rooms, &flow_rooms, &flow_room_of_all,
				sk->__sk_common.skc_net.net) ||
		    !make_room(&rooms, census))
			return;
		flow = bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (!flow) /* its application's filters take all of its memory for options */
			return;
		take_first_look(flow, &sizes, sk, tcp);
	}
	/* Processes come by their numbers: the first in a census is the lowest. */
	if (flow->census == census)
		return;
	flow->census = census;
	flow->pid = task->tgid;
	flow->fd = fd;
	fill_comm(&flow->comm, task);
}

#endif
