// SPDX-License-Identifier: GPL-2.0
/* Another look at the UDP sockets that the census put aside: what each has dropped since the last
 * one, and whether its queue is more than half full. */
#include "bpf/lib/kernel.h"
#include "bpf/lib/net.h"
#include "bpf/lib/room.h"
#include "bpf/lib/udp.h"

/* Two looks that are closer count as one. Set before loading. */
const volatile __u64 least_between_looks_ns = 100 * 1000000ULL;

/* Whoever has dropped nothing for so long begins anew when it does again: how full its queue was
 * before says nothing of that. */
#define CALM_NS (3 * 1000000000ULL)

/* Whoever has dropped nothing for so long gives its place to others. */
#define FOLLOWED_NS (60 * 1000000000ULL)

static __always_inline void note_drops(struct udp_record *udp, __u32 drops, __u64 now)
{
	__u32 more = drops - udp->counted;

	udp->counted = drops;
	udp->drops += more;
	if (!more) {
		if (udp->after_drops <= ABI_UDP_LOOKS_AFTER)
			udp->after_drops++;
		return;
	}
	udp->after_drops = 0;
	if (now - udp->lost_at > CALM_NS) {
		udp->looks = udp->past_half = 0;
		udp->most_dropped = 0;
	}
	/* Before the first look they are of however many bursts. */
	if (udp->looked && more > udp->most_dropped)
		udp->most_dropped = more;
	udp->lost_at = now;
}

static __always_inline void take_look(struct udp_record *udp, struct sock *sk, __u64 now)
{
	__u32 queue = sk->sk_backlog.rmem_alloc.counter, rcvbuf = sk->sk_rcvbuf;

	note_drops(udp, datagram_drops(sk), now);
	udp->queue = queue;
	udp->looked = now;
	/* Once nothing comes any more every queue is empty, that of a slow reader too. */
	if (udp->after_drops > ABI_UDP_LOOKS_AFTER)
		return;
	udp->past_half = udp->past_half << 1 | (queue > rcvbuf / 2);
	if (udp->looks < ABI_UDP_LOOKS)
		udp->looks++;
}

static __always_inline void stop_looking(struct udp_record *udp, struct sock *sk)
{
	struct udp_counted *known = bpf_sk_storage_get(&udp_counts, sk, NULL, 0);

	if (known) {
		known->drops = udp->drops;
		known->counted = udp->counted;
	}
	bpf_sk_storage_delete(&udp_sockets, sk);
}

SEC("iter/bpf_sk_storage_map")
int look_at_udp(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct udp_record *udp = ctx->value;
	struct sock *sk = ctx->sk;
	struct rooms rooms;
	__u64 now;

	if (!sk || !udp) {
		end_look(&udp_room_of_all, ctx->meta->session_id);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (now - udp->looked >= least_between_looks_ns)
		take_look(udp, sk, now);
	if (now - udp->lost_at > FOLLOWED_NS && !is_held(udp->cookie)) {
		stop_looking(udp, sk);
		return 0;
	}
	udp->rcvbuf = sk->sk_rcvbuf;
	udp->locked = (BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_RCVBUF_LOCK) != 0;
	if (find_rooms(&rooms, &udp_rooms, &udp_room_of_all, sk->__sk_common.skc_net.net)) {
		count(&rooms, ctx->meta->session_id);
		udp->left_out = left_out_beside(&rooms, udp->census);
	}
	bpf_seq_write(ctx->meta->seq, udp, sizeof(*udp));
	return 0;
}

char _license[] SEC("license") = "GPL";
