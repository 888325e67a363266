// SPDX-License-Identifier: Apache-2.0
// Programs that do nothing at the hooks of the probes' tp_btf programs: what no program there can cost less than.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "netns/namespace.hpp"

namespace bpftune::testing {

class Empty {
public:
    explicit Empty(const char* hook) {
        constexpr bpf_insn nothing[] = {
            {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
            {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
        LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP,
                    .attach_btf_id = static_cast<__u32>(libbpf_find_vmlinux_btf_id(hook, BPF_TRACE_RAW_TP)));
        program_ = sys::Fd(bpf_prog_load(BPF_PROG_TYPE_TRACING, "empty", "GPL", nothing, 2, &options));
        must(static_cast<bool>(program_), "load an empty program");
        link_ = sys::Fd(bpf_raw_tracepoint_open(nullptr, program_.value()));
        must(static_cast<bool>(link_), "attach an empty program");
    }

private:
    sys::Fd program_;
    sys::Fd link_;
};

// As many as there are of ours.
struct EmptyPrograms {
    Empty tcp_state{"inet_sock_set_state"};
    Empty drops{"kfree_skb"};
};

} // namespace bpftune::testing
