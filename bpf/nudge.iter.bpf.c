// SPDX-License-Identifier: GPL-2.0
/* Lets connections that tcp_rmem held back have what it was raised to. The kernel grows a receive
 * buffer by what comes within a round trip, and more than the old buffer lets in does not come:
 * many would stay as they are. Asking for more at once (SO_RCVLOWAT) grows it (net/ipv4/tcp.c,
 * tcp_set_rcvlowat), locks nothing, and is taken back at once. The socket is locked meanwhile, so
 * no reader sees it.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/flow.h"

#define SOL_SOCKET 1
#define SO_RCVLOWAT 18

/* A socket is asked for at most half of the buffer. */
static __always_inline int wanted(const struct flow_sizes *sizes)
{
	return sizes->rmem_max / 2;
}

SEC("iter/tcp")
int nudge_flows(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct flow_sizes sizes;
	struct flow_record *flow;
	struct tcp_sock *tcp;
	int before, more;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	flow = bpf_sk_storage_get(&flows, common, NULL, 0);
	if (!flow || !(flow->held_by & ABI_HELD_BY_RMEM))
		return 0;
	read_sizes(&sizes, (struct sock *)tcp, tcp);
	if (sizes.locks & SOCK_RCVBUF_LOCK)
		return 0;
	before = ((struct sock *)tcp)->sk_rcvlowat;
	more = wanted(&sizes);
	bpf_setsockopt(common, SOL_SOCKET, SO_RCVLOWAT, &more, sizeof(more));
	bpf_setsockopt(common, SOL_SOCKET, SO_RCVLOWAT, &before, sizeof(before));
	return 0;
}

char _license[] SEC("license") = "GPL";
