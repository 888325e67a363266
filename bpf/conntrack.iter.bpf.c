// SPDX-License-Identifier: GPL-2.0
/*
 * The conntrack table of every network namespace that a thread is in: what
 * /proc/net/stat/nf_conntrack says there, in one pass.
 */
#include "bpf/lib/kernel.h"
#include "bpf/lib/net.h"
#include "bpf/lib/per_cpu.h"
#include "bpf/lib/variations.h"
#include "bpf/lib/visited.h"
#include "bpf/abi/conntrack.h"

/* What has data of its own in each namespace has a number, which is the place of that data. */
#define MAX_NET_IDS 512

/* Of struct nf_conntrack_net, which is the module's own type. Set before loading. */
const volatile __u32 count_offset;
const volatile __u32 sysctl_header_offset;

/* nf_conntrack's number, one for all namespaces; 0: not found. */
__u32 net_id;
/* The run that looked for it last. */
__u64 looked;

static __always_inline void *data_of(struct net *net, __u32 id)
{
	struct net_generic *gen = net->gen;
	void *data = NULL;

	if (id >= BPF_CORE_READ(gen, s.len))
		return NULL;
	bpf_probe_read_kernel(&data, sizeof(data),
			      (void *)gen + bpf_core_field_offset(struct net_generic, ptr) +
				      id * sizeof(data));
	return data;
}

/*
 * nf_conntrack_net_id is no type's, and few kernels show where it is. Data is known for conntrack's
 * by its second sysctl, nf_conntrack_count (net/netfilter/nf_conntrack_standalone.c), whose value
 * lies in it.
 */
static __always_inline bool is_conntracks(void *data)
{
	struct ctl_table_header *header = NULL;
	struct ctl_table *first;
	void *value = NULL;

	if (!data)
		return false;
	bpf_probe_read_kernel(&header, sizeof(header), data + sysctl_header_offset);
	first = BPF_CORE_READ(header, ctl_table);
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)first + bpf_core_type_size(struct ctl_table) +
				      bpf_core_field_offset(struct ctl_table, data));
	return value == data + count_offset;
}

struct search {
	struct net *net;
	__u32 found;
};

static long try_id(__u32 id, struct search *search)
{
	if (!is_conntracks(data_of(search->net, id)))
		return 0;
	search->found = id;
	return 1;
}

/* Where it is not what it was, nf_conntrack was loaded again: once in a run it is looked for. */
static __always_inline void *conntrack_of(struct net *net, __u64 run)
{
	struct search search = {.net = net};
	void *data = data_of(net, net_id);

	if (net_id != 0 && is_conntracks(data))
		return data;
	if (looked == run)
		return NULL;
	looked = run;
	bpf_loop(MAX_NET_IDS, try_id, &search, 0);
	if (search.found == 0)
		return NULL;
	net_id = search.found;
	return data_of(net, net_id);
}

struct counter_sums {
	struct conntrack_record *record;
	__u64 counters; /* less the offset of any CPU */
};

static long add_counters_of_cpu(__u32 cpu, struct counter_sums *sums)
{
	struct conntrack_record *record = sums->record;
	__u32 zero = 0;
	void *here = bpf_map_lookup_percpu_elem(&anchor, &zero, cpu);
	struct ip_conntrack_stat *stat;

	if (!here)
		return 1;
	stat = (void *)(sums->counters + as_number(here));
	record->drops += BPF_CORE_READ(stat, drop);
	record->early_drops += BPF_CORE_READ(stat, early_drop);
	record->insert_failed += BPF_CORE_READ(stat, insert_failed);
	record->chain_too_long += probed_chain_too_long(stat);
	return 0;
}

static __always_inline void sum_counters(struct conntrack_record *record, struct net *net)
{
	struct counter_sums sums = {
		.record = record,
		.counters = (__u64)BPF_CORE_READ(net, ct.stat) - anchor_base(),
	};

	bpf_loop(possible_cpus, add_counters_of_cpu, &sums, 0);
}

SEC("iter/task")
int tables(struct bpf_iter__task *ctx)
{
	struct conntrack_record record = {};
	struct task_struct *task = ctx->task;
	struct nsproxy *nsproxy;
	struct net *net;
	void *conntrack;
	__u32 count = 0;
	__u64 key, run;

	if (!task)
		return 0;
	nsproxy = task->nsproxy;
	if (!nsproxy)
		return 0;
	net = nsproxy->net_ns;
	if (!net)
		return 0;
	key = netns_key(net);
	run = ctx->meta->session_id;
	if (is_visited(key, run))
		return 0;
	conntrack = conntrack_of(net, run);
	if (!conntrack)
		return 0;
	fill_netns(&record.netns, net);
	bpf_probe_read_kernel(&count, sizeof(count), conntrack + count_offset);
	record.entries = count;
	sum_counters(&record, net);
	write_once(ctx->meta, key, &record, sizeof(record));
	return 0;
}

char _license[] SEC("license") = "GPL";
