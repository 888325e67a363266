// SPDX-License-Identifier: GPL-2.0
/* Every descriptor of a listening TCP socket on the node, and each namespace that one of them
 * belongs to. On the way, connections that a buffer may hold back and UDP sockets that drop are put
 * aside to be looked at, and what sockets hold of the node's memory is added up, and who leaves
 * connections open that the other end has closed. */
#include "bpf/lib/kernel.h"
#include "bpf/lib/close_wait.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/memory.h"
#include "bpf/lib/net.h"
#include "bpf/lib/netns_record.h"
#include "bpf/lib/udp.h"

DEFINE_ASKED_MAP;
DEFINE_LAST_ACK_OVERFLOWS_MAP;
DEFINE_LISTENER_QUEUES_MAP;

/* Whether listener_queues is somebody's who fills it. Set before loading. */
const volatile bool overflows_are_counted;

/* Whether a listener without a queue may have had one, or should have. Set before each census. */
bool queues_may_be_missing;

/* Whether somebody looks at the flows that are put aside. Set before loading. */
const volatile bool flows_are_looked_at;

/* The same of UDP sockets. */
const volatile bool udp_is_looked_at;

/* Whether this kernel keeps what is known of a socket with it. Set before loading. */
const volatile bool memory_is_looked_at;

static __always_inline void fill_learned(struct abi_listener *listener)
{
	__u64 cookie = listener->queue_cookie;
	struct listener_queue *queue = bpf_map_lookup_elem(&listener_queues, &cookie);
	__u64 *overflows = bpf_map_lookup_elem(&last_ack_overflows, &cookie);
	__u32 *wish = bpf_map_lookup_elem(&asked, &cookie);

	if (overflows)
		listener->last_ack_overflows = *overflows;
	listener->overflows_known = overflows_are_counted && (queue || !queues_may_be_missing);
	if (queue)
		listener->overflows = queue->overflows;
	if (wish) {
		listener->asked_known = true;
		listener->asked = *wish;
	}
}

SEC("iter/task_file")
int listeners(struct bpf_iter__task_file *ctx)
{
	struct listener_record record = {.kind = ABI_LISTENER_RECORD};
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk, *subflow;

	begin_census(ctx->meta->session_id);
	last_census = ctx->meta->session_id;
	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	if (memory_is_looked_at && memory_is_asked_for)
		count_memory(sk, ctx->meta->session_id);
	if (udp_is_looked_at && is_udp(sk)) {
		put_udp_aside(sk, ctx, task, file);
		return 0;
	}
	if (sk->__sk_common.skc_state == TCP_CLOSE_WAIT && is_tcp(sk)) {
		count_close_wait(sk, task, ctx->meta->session_id);
		return 0;
	}
	if (flows_are_looked_at && sk->__sk_common.skc_state == TCP_ESTABLISHED) {
		put_aside(sk, task, ctx->fd, ctx->meta->session_id);
		return 0;
	}
	if (sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	subflow = first_subflow(sk);
	if (!subflow && !is_tcp(sk))
		return 0;
	fill_listener(&record.listener, sk);
	fill_process(&record.listener, task);
	if (subflow)
		fill_queue_of_subflow(&record.listener, subflow);
	fill_learned(&record.listener);
	record.listener.inode = file->f_inode->i_ino;
	record.listener.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return write_netns(ctx->meta, sk->__sk_common.skc_net.net, 0);
}

char _license[] SEC("license") = "GPL";
