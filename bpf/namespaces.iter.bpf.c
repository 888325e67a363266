// SPDX-License-Identifier: GPL-2.0
/* Every network namespace that a thread is in. All threads are asked: a container runtime may move
 * just one. */
#include "bpf/lib/kernel.h"
#include "bpf/lib/netns_record.h"

SEC("iter/task")
int namespaces(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct nsproxy *nsproxy;
	struct net *net;

	if (!task)
		return 0;
	nsproxy = task->nsproxy;
	if (!nsproxy)
		return 0;
	net = nsproxy->net_ns;
	if (!net)
		return 0;
	return write_netns(ctx->meta, net, task->pid);
}

char _license[] SEC("license") = "GPL";
