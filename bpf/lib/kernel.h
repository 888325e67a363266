/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's types as far as they are read here, by hand: only names count, CO-RE finds the
 * offsets of the running kernel. Stands in for a generated vmlinux.h, so that a build needs no BTF.
 */
#ifndef BPFTUNE_LIB_KERNEL_H
#define BPFTUNE_LIB_KERNEL_H

#define __VMLINUX_H__ /* <bpf/bpf_tracing.h>: registers by their kernel names */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_SK_STORAGE_GET_F_CREATE = 1 };
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

struct bpf_sysctl {
	__u32 write;
	__u32 file_pos;
};

/* include/linux/socket.h, include/uapi/linux/in.h, include/net/tcp_states.h */
enum { AF_INET = 2, AF_INET6 = 10 };
enum { IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_MPTCP = 262 };
enum { SOCK_DGRAM = 2 };					  /* include/linux/net.h */
enum { TCPHDR_SYN = 0x02, TCPHDR_RST = 0x04, TCPHDR_ACK = 0x10 }; /* include/net/tcp.h */
enum { EADDRNOTAVAIL = 99 };
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LISTEN = 10
};

/* include/net/sock.h: what its application has set of a socket (sk_userlocks) */
enum { SOCK_SNDBUF_LOCK = 1, SOCK_RCVBUF_LOCK = 2 };

/* include/linux/sched.h */
enum { PF_IO_WORKER = 0x10, PF_KTHREAD = 0x200000 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

struct ns_common {
	unsigned int inum;
};

struct linux_mib;
struct tcp_mib;
struct udp_mib;
struct ipstats_mib;

struct netns_mib {
	struct tcp_mib *tcp_statistics;
	struct linux_mib *net_statistics;
	struct udp_mib *udp_statistics;
	struct udp_mib *udp_stats_in6;
	struct ipstats_mib *ip_statistics;
	struct ipstats_mib *ipv6_statistics;
};

/* Fragments that wait for the rest of their datagram (include/net/inet_frag.h). */
struct fqdir {
	long high_thresh;
	atomic64_t mem; /* atomic_long_t */
};

struct netns_ipv6 {
	struct fqdir *fqdir;
};

struct netns_core {
	int sysctl_somaxconn;
};

struct hlist_nulls_node {
	struct hlist_nulls_node *next;
};

struct inet_ehash_bucket {
	struct hlist_nulls_node *chain; /* struct hlist_nulls_head */
};

struct inet_hashinfo {
	struct inet_ehash_bucket *ehash;
	unsigned int ehash_mask;
	bool pernet;
};

struct inet_timewait_death_row {
	refcount_t tw_refcount;
	struct inet_hashinfo *hashinfo;
	int sysctl_max_tw_buckets;
};

struct local_ports {
	__u32 range;
};

struct tcp_congestion_ops {
	char name[16]; /* TCP_CA_NAME_MAX */
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
	struct local_ports ip_local_ports;
	struct fqdir *fqdir;
	int sysctl_max_syn_backlog;
	__u8 sysctl_tcp_syncookies;
	int sysctl_tcp_fastopen;
	int sysctl_tcp_wmem[3];
	int sysctl_tcp_rmem[3];
	__u8 sysctl_tcp_tw_reuse;
	unsigned int sysctl_tcp_tw_reuse_delay; /* since 6.14 */
	struct tcp_congestion_ops *tcp_congestion_control;
};

/* Of one CPU. */
struct ip_conntrack_stat {
	unsigned int insert_failed;
	unsigned int drop;
	unsigned int early_drop;
	unsigned int chaintoolong;
};

struct netns_ct {
	struct ip_conntrack_stat *stat;
};

struct net_generic {
	struct {
		unsigned int len;
	} s;
	void *ptr[0];
};

struct ctl_table {
	void *data;
};

struct ctl_table_header {
	struct ctl_table *ctl_table;
};

typedef struct {
	__u32 val;
} kuid_t;

struct user_namespace {
	struct user_namespace *parent;
	kuid_t owner;
};

struct net {
	struct user_namespace *user_ns;
	struct ns_common ns;
	struct netns_core core;
	struct netns_mib mib;
	struct netns_ipv4 ipv4;
	struct netns_ipv6 ipv6;
	struct netns_ct ct;
	struct net_generic *gen;
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	union {
		struct {
			__be32 skc_daddr;
			__be32 skc_rcv_saddr;
		};
	};
	union {
		struct {
			__be16 skc_dport;
			__u16 skc_num;
		};
	};
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	unsigned char skc_reuseport : 1;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	struct hlist_nulls_node skc_nulls_node;
};

struct inet_timewait_sock {
	unsigned char tw_substate;
};

struct socket;

/* Since 6.18: of a UDP or raw socket, in place of sk_drops. */
struct numa_drop_counters {
	atomic_t drops0;
	atomic_t drops1;
};

struct sk_buff_head {
	struct sk_buff *next;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	int sk_wmem_queued;
	int sk_forward_alloc;
	atomic_t sk_drops;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	struct numa_drop_counters *sk_drop_counters;
	struct socket *sk_socket;
	int sk_rcvbuf;
	int sk_sndbuf;
	int sk_rcvlowat;
	__u8 sk_userlocks : 4;
	__u16 sk_type;
	__u16 sk_protocol;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
};

struct inet_sock {
	__be16 inet_sport;
	unsigned long inet_flags;
	__u32 local_port_range;
};

struct fastopen_queue {
	int max_qlen; /* 0: TCP_FASTOPEN was not set */
};

struct request_sock_queue {
	struct fastopen_queue fastopenq;
	__u8 rskq_defer_accept;
	atomic_t qlen;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
	struct tcp_congestion_ops *icsk_ca_ops;
	__u8 icsk_ca_setsockopt : 1;
};

struct request_sock {
	__u8 num_timeout : 7;
};

struct tcp_request_sock {
	__u32 rcv_isn;
	__u32 rcv_nxt;
};

struct sk_buff {
	char cb[48];
};

/* What TCP keeps in sk_buff.cb. */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
	__u16 tcp_flags;
};

struct nf_conn {
	possible_net_t ct_net;
};

struct minmax_sample {
	__u32 t;
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_options_received {
	__u16 rcv_wscale : 4;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	bool is_mptcp;
	__u32 copied_seq;
	__u32 rcv_nxt;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 window_clamp;
	__u32 total_retrans;
	__u32 data_segs_out;
	__u32 srtt_us; /* eighths */
	__u32 rcv_ooopack;
	__u64 tcp_mstamp;
	__u64 bytes_received;
	__u64 bytes_acked;
	struct minmax rtt_min; /* in microseconds */
	struct {
		__u32 rtt_us; /* eighths */
	} rcv_rtt_est;
	struct tcp_options_received rx_opt;
};

struct mptcp_sock {
	struct sock *first;
};

struct udp_sock {
	struct sk_buff_head reader_queue;
};

struct inode {
	unsigned long i_ino;
};

struct socket {
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct file {
	struct inode *f_inode;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	char comm[16];
	struct nsproxy *nsproxy;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_map;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
};

struct bpf_array {
	union {
		struct {
			void *pptrs[0];
		};
	};
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	unsigned long long regs[31];
};
struct pt_regs {
	int syscallno;
};
#endif

#pragma clang attribute pop

/* Values move between kernels: always through bpf_core_enum_value(). */
enum skb_drop_reason {
	SKB_DROP_REASON_TCP_LISTEN_OVERFLOW = 1,
	SKB_DROP_REASON_CPU_BACKLOG = 2,
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#endif
