// SPDX-License-Identifier: GPL-2.0
/* Lets connections that tcp_rmem held back have what it was raised to. The kernel grows a receive
 * buffer by what comes within a round trip, and more than the old buffer lets in does not come:
 * many would stay as they are. Asking for more at once (SO_RCVLOWAT) grows it (net/ipv4/tcp.c,
 * tcp_set_rcvlowat), locks nothing, and is taken back at once. The socket is locked meanwhile, so
 * no reader sees it.
 *
 * Where the raise was taken back, they keep the buffer: the kernel makes none smaller. But they
 * announce no more of it than the old one let them (TCP_WINDOW_CLAMP), until they are raised again.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/flow.h"

#define SOL_SOCKET 1
#define SO_RCVLOWAT 18
#define SOL_TCP 6
#define TCP_WINDOW_CLAMP 10
#define TCP_CONGESTION 13

/* A socket is asked for at most half of the buffer. */
static __always_inline void grow(struct sock_common *common, struct sock *sk,
				 const struct flow_sizes *sizes)
{
	int before = sk->sk_rcvlowat, more = sizes->rmem_max / 2;

	bpf_setsockopt(common, SOL_SOCKET, SO_RCVLOWAT, &more, sizeof(more));
	bpf_setsockopt(common, SOL_SOCKET, SO_RCVLOWAT, &before, sizeof(before));
}

/* The window is the same part of any buffer. */
static __always_inline void hold(struct sock_common *common, const struct flow_sizes *sizes)
{
	int window = (__u64)sizes->window * sizes->rmem_max / sizes->rcvbuf;

	bpf_setsockopt(common, SOL_TCP, TCP_WINDOW_CLAMP, &window, sizeof(window));
}

/* What the census has put aside of it. NULL: nothing, or it is no TCP socket. */
static __always_inline struct flow_record *flow_of(struct sock_common *common,
						   struct tcp_sock **tcp)
{
	*tcp = common ? bpf_skc_to_tcp_sock(common) : NULL;
	return *tcp ? bpf_sk_storage_get(&flows, common, NULL, 0) : NULL;
}

SEC("iter/tcp")
int nudge_flows(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct flow_sizes sizes;
	struct flow_record *flow;
	struct tcp_sock *tcp;

	flow = flow_of(common, &tcp);
	if (!flow)
		return 0;
	read_sizes(&sizes, (struct sock *)tcp, tcp);
	if (sizes.locks & SOCK_RCVBUF_LOCK)
		return 0;
	if (sizes.rcvbuf > sizes.rmem_max && flow->received_before)
		hold(common, &sizes);
	else if (sizes.rcvbuf <= sizes.rmem_max && flow->held_by & ABI_HELD_BY_RMEM)
		grow(common, (struct sock *)tcp, &sizes);
	return 0;
}

/* Lets connections that losses held back have the congestion control that their namespace has now,
 * and takes it from them where that was put back. Never where the application has chosen.
 */
SEC("iter/tcp")
int switch_flows(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_congestion_ops *wanted;
	struct flow_record *flow;
	struct tcp_sock *tcp;
	char name[ABI_CONGESTION_SIZE] = {};

	flow = flow_of(common, &tcp);
	if (!flow || (!flow->switched && !(flow->held_by & ABI_HELD_BY_LOSS)))
		return 0;
	wanted = BPF_CORE_READ(common, skc_net.net, ipv4.tcp_congestion_control);
	if ((__u64)wanted == congestion_of(tcp))
		return 0;
	bpf_core_read(name, sizeof(name), &wanted->name);
	if (bpf_setsockopt(common, SOL_TCP, TCP_CONGESTION, name, sizeof(name)) == 0)
		flow->switched = true;
	return 0;
}

char _license[] SEC("license") = "GPL";
