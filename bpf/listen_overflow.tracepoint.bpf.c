// SPDX-License-Identifier: GPL-2.0
/*
 * Last ACKs of handshakes that met a full accept queue, by listener. Each of them was counted in
 * sk_drops twice: this is what has to be taken from sk_drops for the listener's part of
 * ListenOverflows.
 *
 * rx_sk is there since 6.12 (c53795d48ee8 "net: add rx_sk to trace_kfree_skb"); older kernels
 * refuse the program.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"

DEFINE_LAST_ACK_OVERFLOWS_MAP;

SEC("tp_btf/kfree_skb")
int BPF_PROG(listen_overflow, struct sk_buff *skb, void *location, enum skb_drop_reason reason,
	     struct sock *rx_sk)
{
	__u64 cookie, zero = 0, *count;

	if (reason != bpf_core_enum_value(enum skb_drop_reason,
					  SKB_DROP_REASON_TCP_LISTEN_OVERFLOW) ||
	    !rx_sk)
		return 0;
	cookie = bpf_get_socket_cookie(rx_sk);
	count = lookup_or_insert(&last_ack_overflows, &cookie, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
