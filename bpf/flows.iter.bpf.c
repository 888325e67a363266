// SPDX-License-Identifier: GPL-2.0
/* Another look at the flows that the census put aside: what has held them back since the last one.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/lib/room.h"

/* Two looks that are closer say little. Set before loading. */
const volatile __u64 least_between_looks_us = 200 * 1000;

static __always_inline __u32 receiving_held_by(const struct flow_record *flow,
					       const struct flow_sizes *sizes)
{
	if (flow->received_in_round_trip * 2 < sizes->window)
		return 0;
	if (sizes->locks & SOCK_RCVBUF_LOCK)
		return ABI_HELD_BY_OWN_RCVBUF;
	if (is_widest(sizes))
		return ABI_HELD_BY_WINDOW_SCALE;
	return sizes->rcvbuf >= sizes->rmem_max ? ABI_HELD_BY_RMEM : 0;
}

static __always_inline __u32 sending_held_by(const struct flow_record *flow,
					     const struct flow_sizes *sizes)
{
	if (flow->acked_in_round_trip * 10 < (__u64)sizes->sndbuf * 6)
		return 0;
	if (sizes->locks & SOCK_SNDBUF_LOCK)
		return ABI_HELD_BY_OWN_SNDBUF;
	return sizes->sndbuf >= sizes->wmem_max ? ABI_HELD_BY_WMEM : 0;
}

/* Whoever was held back is looked at for so long after, so that it is seen what a raise made of it.
 */
#define FOLLOWED_NS (10 * 1000000000ULL)

/* Whoever was not held back in so many looks in a row gives its place to another until the next
 * census that finds it.
 */
#define MOST_QUIET 8

static __always_inline bool is_followed(const struct flow_record *flow, __u64 now)
{
	return flow->held && now - flow->held < FOLLOWED_NS;
}

/* The rate at a limit that held it back, once that is raised. Of one that is lowered, or raised
 * while something else held it back, nothing can be told.
 */
static __always_inline __u64 rate_before(__u64 known, __u32 looked, __u32 now, bool was_held,
					 __u64 rate)
{
	if (now == looked)
		return known;
	return now > looked && was_held ? rate : 0;
}

static __always_inline void note_raise(struct flow_record *flow, const struct flow_sizes *sizes)
{
	flow->received_before =
		rate_before(flow->received_before, flow->rmem_looked, sizes->rmem_max,
			    flow->held_by & ABI_HELD_BY_RMEM, flow->received_per_second);
	flow->acked_before = rate_before(flow->acked_before, flow->wmem_looked, sizes->wmem_max,
					 flow->held_by & ABI_HELD_BY_WMEM, flow->acked_per_second);
	flow->changed =
		sizes->rmem_max != flow->rmem_looked || sizes->wmem_max != flow->wmem_looked;
}

/* A congestion control that takes each loss for a full queue is held back by those that are none:
 * where what it sends did not have to wait, by the time of a round trip, and it had more to send
 * all the while. Of a short round trip that time tells nothing, and what is lost is soon sent
 * again; a flow may be followed for its buffers all the same.
 */
#define LOSS_WINDOW_NS 1000000000ULL
#define LEAST_LOST 2
#define LEAST_LOST_OF 1000

static __always_inline bool is_queued(const struct flow_sizes *sizes, struct tcp_sock *tcp)
{
	__u32 least = sizes->round_trip_us;

	return tcp->srtt_us >> 3 > least + least / 4 + 1000;
}

static __always_inline void note_lost(struct flow_record *flow, const struct flow_sizes *sizes,
				      struct tcp_sock *tcp, __u64 now)
{
	__u64 ns = now - flow->loss_window;
	__u32 lost = tcp->total_retrans - flow->loss_retransmitted;
	__u32 sent = tcp->data_segs_out - flow->loss_segments;

	if (is_queued(sizes, tcp) || !is_unsent(sizes, tcp))
		flow->queued = true;
	if (ns < LOSS_WINDOW_NS || ns < 4000 * (__u64)sizes->round_trip_us)
		return;
	flow->losing = is_far(sizes) && !flow->queued && lost >= LEAST_LOST &&
		       lost * LEAST_LOST_OF >= sent;
	flow->lossy_per_second =
		flow->losing ? (flow->acked - flow->loss_acked) * 1000000 / (ns / 1000) : 0;
	begin_loss_window(flow, tcp, now);
}

/* Its rate by the one that it had, once it has another. */
static __always_inline void note_congestion(struct flow_record *flow, struct tcp_sock *tcp,
					    __u64 now)
{
	if (flow->congestion_now == flow->congestion_looked)
		return;
	flow->congestion_looked = flow->congestion_now;
	flow->lossy_before = flow->losing ? flow->lossy_per_second : 0;
	flow->losing = false;
	flow->changed = true;
	begin_loss_window(flow, tcp, now);
}

static __always_inline __u32 sending_lost(const struct flow_record *flow, struct tcp_sock *tcp)
{
	if (!flow->losing)
		return 0;
	if (BPF_CORE_READ_BITFIELD(&tcp->inet_conn, icsk_ca_setsockopt) && !flow->switched)
		return ABI_HELD_BY_LOSS_OF_OWN;
	return ABI_HELD_BY_LOSS;
}

/* What is moved wholly at the new limits: from the look on that first finds them. */
static __always_inline void note_since(struct flow_record *flow, __u64 now)
{
	__u64 us = (now - flow->raised) / 1000;

	if (flow->changed) {
		flow->raised = now;
		flow->received_then = flow->received;
		flow->acked_then = flow->acked;
		flow->received_since = flow->acked_since = 0;
	} else if (flow->raised && us) {
		flow->received_since = (flow->received - flow->received_then) * 1000000 / us;
		flow->acked_since = (flow->acked - flow->acked_then) * 1000000 / us;
	}
}

/* What was moved since the last look. */
static __always_inline void note_rates(struct flow_record *flow, struct tcp_sock *tcp, __u64 us)
{
	__u64 received = tcp->bytes_received - flow->received;
	__u64 acked = tcp->bytes_acked - flow->acked;

	flow->received += received;
	flow->acked += acked;
	flow->received_per_second = received * 1000000 / us;
	flow->acked_per_second = acked * 1000000 / us;
	flow->received_in_round_trip = received * flow->round_trip_us / us;
	flow->acked_in_round_trip = acked * flow->round_trip_us / us;
}

/* A window comes at once in each round trip: one look takes two of these. Whoever loses packets
 * meanwhile, or gets them out of order, is held back by the network.
 */
static __always_inline void take_look(struct flow_record *flow, const struct flow_sizes *sizes,
				      struct tcp_sock *tcp, __u64 now)
{
	__u64 us = (now - flow->looked) / 1000;
	bool unread, unsent, lost, retransmitted;

	if (us < least_between_looks_us || us < 2 * (__u64)sizes->round_trip_us)
		return;
	unread = is_unread(sizes, tcp);
	unsent = is_unsent(sizes, tcp);
	lost = tcp->rcv_ooopack != flow->out_of_order;
	retransmitted = tcp->total_retrans != flow->retransmitted;
	note_raise(flow, sizes);
	note_sizes(flow, sizes);
	note_losses(flow, tcp);
	note_rates(flow, tcp, us);
	note_congestion(flow, tcp, now);
	note_lost(flow, sizes, tcp, now);
	note_since(flow, now);
	flow->held_by = 0;
	if (!unread && !flow->unread && !lost)
		flow->held_by |= receiving_held_by(flow, sizes);
	if (!unsent && !flow->unsent && !retransmitted)
		flow->held_by |= sending_held_by(flow, sizes);
	flow->held_by |= sending_lost(flow, tcp);
	if (flow->held_by & (ABI_HELD_BY_RMEM | ABI_HELD_BY_WMEM | ABI_HELD_BY_LOSS))
		flow->held = now;
	flow->quiet = flow->held_by ? 0 : flow->quiet + 1;
	flow->unread = unread;
	flow->unsent = unsent;
	flow->looked = now;
	flow->decided = true;
}

/* connect(AF_UNSPEC) ends a connection and counts from 0: the socket may have its next one. */
static __always_inline bool is_another(const struct flow_record *flow, struct tcp_sock *tcp)
{
	return tcp->bytes_received < flow->received || tcp->bytes_acked < flow->acked;
}

/* Nothing more is to be learned of it for now. */
static __always_inline bool is_done(const struct flow_record *flow, const struct flow_sizes *sizes,
				    struct tcp_sock *tcp, __u64 now)
{
	if (is_idle(tcp, now) || is_another(flow, tcp))
		return true;
	if (is_followed(flow, now))
		return false;
	return flow->quiet >= MOST_QUIET ||
	       (!may_be_held_back(sizes, tcp) && !may_be_losing(sizes, tcp));
}

SEC("iter/bpf_sk_storage_map")
int look_at_flows(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct flow_record *flow = ctx->value;
	struct sock *sk = ctx->sk;
	struct flow_sizes sizes;
	struct tcp_sock *tcp;
	struct rooms rooms;
	__u64 now;

	if (!sk || !flow) {
		end_look(&flow_room_of_all, ctx->meta->session_id);
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	now = bpf_ktime_get_ns();
	read_sizes(&sizes, sk, tcp);
	if (sk->__sk_common.skc_state != TCP_ESTABLISHED || is_done(flow, &sizes, tcp, now)) {
		bpf_sk_storage_delete(&flows, sk);
		return 0;
	}
	flow->rmem_max = sizes.rmem_max;
	flow->wmem_max = sizes.wmem_max;
	flow->congestion_now = congestion_of(tcp);
	bpf_core_read(flow->congestion, sizeof(flow->congestion),
		      &tcp->inet_conn.icsk_ca_ops->name);
	take_look(flow, &sizes, tcp, now);
	if (find_rooms(&rooms, &flow_rooms, &flow_room_of_all, sk->__sk_common.skc_net.net)) {
		count(&rooms, ctx->meta->session_id);
		flow->left_out = left_out_beside(&rooms, flow->census);
	}
	bpf_seq_write(ctx->meta->seq, flow, sizeof(*flow));
	return 0;
}

char _license[] SEC("license") = "GPL";
