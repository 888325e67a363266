/* SPDX-License-Identifier: Apache-2.0 */
/* What the iterators write: records one after another, each begins with its kind. */
#ifndef BPFTUNE_ABI_CENSUS_H
#define BPFTUNE_ABI_CENSUS_H

#include "bpf/abi/common.h"

/* User space finds the index of each in this kernel's LINUX_MIB_* enum. */
enum abi_mib {
	ABI_MIB_LISTENOVERFLOWS,
	ABI_MIB_LISTENDROPS,
	ABI_MIB_SYNCOOKIESSENT,
	ABI_MIB_SYNCOOKIESRECV,
	ABI_MIB_TIMEWAITED,
	ABI_MIB_TIMEWAITKILLED,
	ABI_MIB_TCPTIMEWAITOVERFLOW,
	ABI_MIB_TCPREQQFULLDROP,
	ABI_MIB_TCPDEFERACCEPTDROP,
	ABI_MIB_TCPMEMORYPRESSURES,
	ABI_MIB_TCPRCVQDROP,
	ABI_MIB_TCPABORTONMEMORY,
	ABI_MIB_TCPFASTOPENPASSIVE,
	ABI_MIB_TCPFASTOPENPASSIVEFAIL,
	ABI_MIB_TCPFASTOPENLISTENOVERFLOW,
	ABI_MIB_TCPFASTOPENCOOKIEREQD,
	ABI_MIB_COUNT,
};

/* The same in TCP_MIB_*. */
enum abi_tcp_mib {
	ABI_TCP_MIB_OUTSEGS,
	ABI_TCP_MIB_RETRANSSEGS,
	ABI_TCP_MIB_ACTIVEOPENS,
	ABI_TCP_MIB_COUNT,
};

/* The same in UDP_MIB_*, of IPv4 and IPv6 together. */
enum abi_udp_mib {
	ABI_UDP_MIB_INDATAGRAMS,
	ABI_UDP_MIB_RCVBUFERRORS,
	ABI_UDP_MIB_MEMERRORS,
	ABI_UDP_MIB_COUNT,
};

/* The same in IPSTATS_MIB_*, of each IP version. */
enum abi_ip_mib {
	ABI_IP_MIB_REASMTIMEOUT,
	ABI_IP_MIB_REASMREQDS,
	ABI_IP_MIB_REASMOKS,
	ABI_IP_MIB_REASMFAILS,
	ABI_IP_MIB_COUNT,
};

/* Counters of one kind that are looked at in each namespace: those with a lower index. A kernel of
 * today has 136 of LINUX_MIB_*. */
#define ABI_MOST_MIBS 256

/* Fragments that wait for the rest of their datagram, of one IP version. */
struct abi_fragments {
	__u64 mibs[ABI_IP_MIB_COUNT]; /* summed over all CPUs */
	__u64 memory;		      /* bytes */
	__u64 limit;		      /* bytes */
};

enum abi_record_kind {
	ABI_LISTENER_RECORD = 1,
	ABI_NETNS_RECORD = 2,
	ABI_FLOW_RECORD = 3,
	ABI_UDP_RECORD = 4,
};

/* One descriptor of a listening TCP socket: a socket that several processes hold comes several
 * times. */
struct listener_record {
	__u64 kind;
	struct abi_listener listener;
};
ABI_SIZE(struct listener_record, 144);

struct netns_record {
	__u64 kind;
	struct abi_netns netns;
	__u64 mibs[ABI_MIB_COUNT]; /* summed over all CPUs */
	__u64 ports_exhausted;
	__u64 own_ports_exhausted; /* of these, of sockets that have a range of their own */
	__u32 pid;		   /* of a thread that is in it; 0: none seen */
	__u32 somaxconn;
	__u32 max_syn_backlog;
	__u32 syncookies;
	__u32 time_wait_sockets;
	__u32 time_wait_limit;
	__u32 rmem_default; /* tcp_rmem: the value in the middle */
	__u32 rmem_max;
	__u32 wmem_default;
	__u32 wmem_max;
	__u64 udp_mibs[ABI_UDP_MIB_COUNT];
	__u32 local_ports;     /* ip_local_port_range: the last in the upper half */
	__u32 fragments_known; /* bit 0: IPv4's, bit 1: IPv6's */
	struct abi_fragments fragments[2];
	__u8 congestion[ABI_CONGESTION_SIZE]; /* tcp_congestion_control */
	__u32 tw_reuse;			      /* tcp_tw_reuse */
	__u32 mem_errors_known;		      /* whether this kernel counts ABI_UDP_MIB_MEMERRORS */
	__u32 fastopen;			      /* tcp_fastopen */
	__u32 tw_reuse_delay;		      /* tcp_tw_reuse_delay, in ms; 0: there is none */
	__u32 own_connections;		      /* its connections are in a table of its own */
	__u32 tcp_mibs_known;
	__u64 tcp_mibs[ABI_TCP_MIB_COUNT];
	__u32 in_user_ns;    /* whether it is in a user namespace that is not the node's */
	__u32 user_ns_owner; /* the uid that made that, as the node counts */
};
ABI_SIZE(struct netns_record, 408);
ABI_OFFSET(struct netns_record, mibs, 24);
ABI_OFFSET(struct netns_record, pid, 168);
ABI_OFFSET(struct netns_record, rmem_default, 192);
ABI_OFFSET(struct netns_record, udp_mibs, 208);
ABI_OFFSET(struct netns_record, local_ports, 232);
ABI_OFFSET(struct netns_record, fragments, 240);
ABI_OFFSET(struct netns_record, mem_errors_known, 356);

/* Who holds most of the sockets of a network namespace whose other end has closed, as a census came
 * upon them. */
struct netns_close_wait {
	struct abi_netns netns;
	__u64 census;
	__u32 most;		  /* descriptors of them that one process has */
	__u32 pid;		  /* its number */
	__u8 comm[ABI_COMM_SIZE]; /* its name */
	__u32 now;		  /* descriptors of the process that is being walked */
	__u32 pid_now;
};
ABI_SIZE(struct netns_close_wait, 56);
ABI_OFFSET(struct netns_close_wait, comm, 32);

/* TCP sockets of one network namespace that are in the table of connections, by their state as the
 * kernel numbers them (include/net/tcp_states.h): all but listeners. */
#define ABI_TCP_STATES 16

struct netns_sockets {
	struct abi_netns netns;
	__u64 walk; /* that counted them */
	__u32 by_state[ABI_TCP_STATES];
};
ABI_SIZE(struct netns_sockets, 88);
ABI_OFFSET(struct netns_sockets, by_state, 24);

/* Of one part of the table; the walk takes them one by one. */
#define ABI_SOCKET_PARTS 256

struct sockets_record {
	__u64 walk;
	__u64 missed; /* chains of which the end was not found, or namespaces without a place */
};
ABI_SIZE(struct sockets_record, 16);

/* Whose memory is in one pool for all network namespaces. */
enum abi_memory_pool { ABI_MEMORY_OF_TCP, ABI_MEMORY_OF_UDP, ABI_MEMORY_POOLS };

/* What the sockets of one network namespace that processes hold had in each pool when a census came
 * upon them. Bytes. */
struct netns_memory {
	struct abi_netns netns;
	__u64 census; /* that these are of */
	__u64 held[ABI_MEMORY_POOLS];
	__u64 still[ABI_MEMORY_POOLS]; /* of these, by sockets that have not moved for a while */
	__u64 close_wait;	       /* of TCP's, by sockets whose other end has closed */
};
ABI_SIZE(struct netns_memory, 64);
ABI_OFFSET(struct netns_memory, census, 16);

#endif
