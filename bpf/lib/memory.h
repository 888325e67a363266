/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who holds the memory that all TCP sockets of the node share, and all UDP sockets. The census,
 * which comes upon each socket that a process holds anyway, adds up what is in them, while user
 * space asks for it: where a pool is far from its limits nothing is done.
 */
#ifndef BPFTUNE_LIB_MEMORY_H
#define BPFTUNE_LIB_MEMORY_H

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"
#include "bpf/abi/census.h"

/* A socket with less than a page of its own is not worth a place in the list of those seen. */
#define LEAST_BYTES 4096

/* One of which for so long not this part of what is in it was read, or taken by the other end, does
 * not move: who reads a byte now and then would hold all of it for hours. */
#define STILL_NS (3 * 1000000000ULL)
#define LEAST_MOVED 16

/* Of every socket that held more: several descriptors may show it, in one process or more. */
struct memory_seen {
	__u64 census;
	__u64 mark;  /* what changes when it moves, as it was when it last did */
	__u64 moved; /* when that was last found changed */
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct memory_seen);
} memory_seen SEC(".maps");

/* By netns_key(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, __u64);
	__type(value, struct netns_memory);
} netns_memories SEC(".maps");

/* Set by user space before a census: whether it asks. */
__u32 memory_is_asked_for;
/* The last census that added up. */
__u64 memory_census;

/* As the kernel charges it to the pool, but for what a CPU has set aside. */
static __always_inline __s64 memory_of(const struct sock *sk)
{
	return (__s64)sk->sk_backlog.rmem_alloc.counter + sk->sk_wmem_queued + sk->sk_forward_alloc;
}

/* The datagram that a UDP socket hands out next. A reader takes all that wait into a queue of its
 * own, and from there one by one (net/ipv4/udp.c, __skb_recv_udp): while that lasts the first of
 * the other queue stays where it is. */
static __always_inline __u64 first_datagram(struct sock *sk)
{
	struct udp_sock *udp = (struct udp_sock *)sk;
	struct sk_buff *first = BPF_CORE_READ(udp, reader_queue.next);

	if (first == (void *)udp + bpf_core_field_offset(udp->reader_queue))
		first = sk->sk_receive_queue.next;
	return (__u64)first;
}

/* TCP: what was read, and what the other end has taken. UDP: the datagram that waits first. */
static __always_inline __u64 mark_of(struct sock *sk, bool tcp)
{
	struct tcp_sock *of_tcp;

	if (!tcp)
		return first_datagram(sk);
	of_tcp = bpf_skc_to_tcp_sock(sk);
	return of_tcp ? (__u64)of_tcp->copied_seq << 32 | of_tcp->snd_una : 0;
}

static __always_inline bool has_moved(__u64 before, __u64 mark, bool tcp, __u64 bytes)
{
	__u32 read = (mark >> 32) - (before >> 32), acked = mark - before;

	if (!tcp)
		return mark != before;
	return ((__u64)read + acked) * LEAST_MOVED >= bytes;
}

/* Whether it was found before in this census. */
static __always_inline bool see(struct memory_seen *seen, __u64 census, __u64 mark, bool tcp,
				__u64 bytes, __u64 now)
{
	if (seen->census == census)
		return true;
	if (!seen->census || has_moved(seen->mark, mark, tcp, bytes)) {
		seen->moved = now;
		seen->mark = mark;
	}
	seen->census = census;
	return false;
}

static __always_inline void count_memory(struct sock *sk, __u64 census)
{
	struct net *net = sk->__sk_common.skc_net.net;
	__u64 key = netns_key(net), now = bpf_ktime_get_ns();
	struct netns_memory fresh = {}, *of_netns;
	bool tcp = is_tcp(sk);
	__u32 pool = tcp ? ABI_MEMORY_OF_TCP : ABI_MEMORY_OF_UDP;
	__s64 bytes = memory_of(sk);
	struct memory_seen *seen;

	memory_census = census;
	if (bytes <= LEAST_BYTES || (!tcp && !is_udp(sk)))
		return;
	seen = bpf_sk_storage_get(&memory_seen, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!seen || see(seen, census, mark_of(sk, tcp), tcp, bytes, now))
		return;
	of_netns = lookup_or_insert(&netns_memories, &key, &fresh);
	if (!of_netns)
		return;
	if (of_netns->census != census) {
		*of_netns = fresh;
		of_netns->census = census;
		fill_netns(&of_netns->netns, net);
	}
	of_netns->held[pool] += bytes;
	if (now - seen->moved >= STILL_NS)
		of_netns->still[pool] += bytes;
	if (sk->__sk_common.skc_state == TCP_CLOSE_WAIT)
		of_netns->close_wait += bytes;
}

#endif
