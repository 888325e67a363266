// SPDX-License-Identifier: GPL-2.0
/*
 * Who writes a sysctl of those that user space watches, in any network namespace. Runs for every
 * access to /proc/sys of the processes below its cgroup, refuses none, and tells of attempts: it
 * comes before the handler, which may refuse the value.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/event_rates.h"
#include "bpf/lib/events.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/net.h"

#define MAX_WATCHED 64
/* In one interval: a file for sysctl(8) that sets a name several times is seen whole. */
#define WRITES_AT_ONCE 4

static const struct rate_limits write_limits = {
	.of_netns = 500,
	.of_all = 2000,
	.in_any_case = 64,
};

struct sysctl_name {
	__u8 text[ABI_SYSCTL_NAME_SIZE]; /* below /proc/sys, filled with zeros */
};

struct written_key {
	__u64 netns;
	__u64 sysctl;
};

struct written {
	__u64 interval_begin;
	__u64 events; /* in it */
};

/* Filled by user space: each with a number of its own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_WATCHED);
	__type(key, struct sysctl_name);
	__type(value, __u64);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_NAMESPACES);
	__type(key, struct written_key);
	__type(value, struct written);
} written SEC(".maps");

const volatile __u32 own_pid; /* of the process whose writes are no news */

/* Two CPUs at once may send one more. */
static __always_inline bool may_send(const struct abi_netns *netns, __u64 sysctl, __u64 now)
{
	struct written_key key = {
		.netns = netns->cookie ? netns->cookie : netns->inode,
		.sysctl = sysctl,
	};
	struct written fresh = {}, *entry;

	entry = lookup_or_insert(&written, &key, &fresh);
	if (!entry)
		return false;
	if (event_is_due(&entry->interval_begin, now))
		entry->events = 0;
	return entry->events++ < WRITES_AT_ONCE &&
	       event_is_within(&write_limits, key.netns, ABI_SYSCTL_WRITE_EVENT, now);
}

static __always_inline void on_write(struct bpf_sysctl *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 now = bpf_ktime_get_ns(), *sysctl;
	struct sysctl_write_event *event;
	struct sysctl_name name = {};
	struct abi_netns netns;
	__u32 pid;

	if (bpf_sysctl_get_name(ctx, (char *)name.text, sizeof(name.text), 0) < 0)
		return;
	sysctl = bpf_map_lookup_elem(&watched, &name);
	if (!sysctl)
		return;
	pid = BPF_CORE_READ(task, tgid);
	/* /proc/sys/net leads to the namespace of the thread that opened it: mostly this one. */
	probe_netns(&netns, BPF_CORE_READ(task, nsproxy, net_ns));
	if (pid == own_pid || !may_send(&netns, *sysctl, now))
		return;
	event = reserve_event(sizeof(*event));
	if (!event)
		return;
	event->kind = ABI_SYSCTL_WRITE_EVENT;
	event->pid = pid;
	event->time = now;
	event->netns = netns;
	fill_comm(&event->comm, task);
	__builtin_memcpy(event->name, name.text, sizeof(event->name));
	/* One that is longer is cut, and ended by a NUL as well. */
	bpf_sysctl_get_new_value(ctx, (char *)event->value, sizeof(event->value));
	submit_event(event);
}

SEC("cgroup/sysctl")
int sysctl_access(struct bpf_sysctl *ctx)
{
	if (ctx->write)
		on_write(ctx);
	return 1; /* allowed */
}

char _license[] SEC("license") = "GPL";
