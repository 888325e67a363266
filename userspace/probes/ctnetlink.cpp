// SPDX-License-Identifier: Apache-2.0
#include "probes/ctnetlink.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "sys/netlink.hpp"

namespace bpftune::probes {
namespace {

int add_counter(const nlattr* attribute, void* to) {
    auto& sum = *static_cast<sys::ConntrackStat*>(to);
    if (mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) return MNL_CB_OK;
    const std::uint32_t value = ntohl(mnl_attr_get_u32(attribute));
    switch (mnl_attr_get_type(attribute)) {
    case CTA_STATS_INSERT_FAILED: sum.insert_failed += value; break;
    case CTA_STATS_DROP: sum.drop += value; break;
    case CTA_STATS_EARLY_DROP: sum.early_drop += value; break;
    case CTA_STATS_CHAIN_TOOLONG: sum.chain_too_long += value; break;
    default: break;
    }
    return MNL_CB_OK;
}

int take_entries(const nlattr* attribute, void* to) {
    if (mnl_attr_get_type(attribute) == CTA_STATS_GLOBAL_ENTRIES && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
        static_cast<sys::ConntrackStat*>(to)->entries = ntohl(mnl_attr_get_u32(attribute));
    return MNL_CB_OK;
}

class Question {
public:
    Question(int what, int flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
        header_->nlmsg_type = static_cast<__u16>((NFNL_SUBSYS_CTNETLINK << 8) | what);
        header_->nlmsg_flags = static_cast<__u16>(NLM_F_REQUEST | flags);
        auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(nfgenmsg)));
        family->version = NFNETLINK_V0; // of both families: AF_UNSPEC is 0
    }
    Question(const Question&) = delete;
    Question& operator=(const Question&) = delete;
    ~Question() = default;

    [[nodiscard]] const nlmsghdr& message() const { return *header_; }

private:
    alignas(nlmsghdr) std::array<char, 256> buffer_{};
    nlmsghdr* header_;
};

Result<> ask(const sys::Fd& socket, int what, int flags, mnl_attr_cb_t take, sys::ConntrackStat& into) {
    const Question question(what, flags);
    const auto asked = sys::ask_kernel(socket, question.message(), [&](const nlmsghdr& message) {
        mnl_attr_parse(&message, sizeof(nfgenmsg), take, &into);
    });
    if (!asked) return with_context(asked.error(), "ctnetlink");
    return {};
}

// Both ends of one direction.
struct Tuple {
    std::uint8_t family = 0;
    std::uint8_t transport = 0;
    ConntrackEnd from;
    ConntrackEnd to;
};

void copy_address(const nlattr* attribute, ConntrackEnd& end) {
    const std::size_t size = std::min<std::size_t>(mnl_attr_get_payload_len(attribute), end.address.size());
    std::memcpy(end.address.data(), mnl_attr_get_payload(attribute), size);
}

int take_address(const nlattr* attribute, void* to) {
    auto& tuple = *static_cast<Tuple*>(to);
    const auto type = mnl_attr_get_type(attribute);
    switch (type) {
    case CTA_IP_V4_SRC:
    case CTA_IP_V6_SRC: copy_address(attribute, tuple.from); break;
    case CTA_IP_V4_DST:
    case CTA_IP_V6_DST: copy_address(attribute, tuple.to); break;
    default: return MNL_CB_OK;
    }
    tuple.family = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST ? AF_INET6 : AF_INET;
    return MNL_CB_OK;
}

int take_protocol(const nlattr* attribute, void* to) {
    auto& tuple = *static_cast<Tuple*>(to);
    const auto type = mnl_attr_get_type(attribute);
    if (type == CTA_PROTO_NUM && mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
        tuple.transport = mnl_attr_get_u8(attribute);
    if (mnl_attr_validate(attribute, MNL_TYPE_U16) < 0) return MNL_CB_OK;
    if (type == CTA_PROTO_SRC_PORT) tuple.from.port = ntohs(mnl_attr_get_u16(attribute));
    if (type == CTA_PROTO_DST_PORT) tuple.to.port = ntohs(mnl_attr_get_u16(attribute));
    return MNL_CB_OK;
}

int take_tuple(const nlattr* attribute, void* to) {
    switch (mnl_attr_get_type(attribute)) {
    case CTA_TUPLE_IP: return mnl_attr_parse_nested(attribute, take_address, to);
    case CTA_TUPLE_PROTO: return mnl_attr_parse_nested(attribute, take_protocol, to);
    default: return MNL_CB_OK;
    }
}

struct Found {
    Tuple original;
    Tuple reply;
    std::uint32_t status = 0; // IPS_*
    std::uint32_t id = 0;
    std::uint8_t tcp_state = 0;
    std::optional<std::uint32_t> ends_in;
};

int take_tcp(const nlattr* attribute, void* to) {
    if (mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP_STATE && mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
        static_cast<Found*>(to)->tcp_state = mnl_attr_get_u8(attribute);
    return MNL_CB_OK;
}

int take_protocol_info(const nlattr* attribute, void* to) {
    if (mnl_attr_get_type(attribute) != CTA_PROTOINFO_TCP) return MNL_CB_OK;
    return mnl_attr_parse_nested(attribute, take_tcp, to);
}

int take_entry(const nlattr* attribute, void* to) {
    auto& found = *static_cast<Found*>(to);
    const bool number = mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0;
    switch (mnl_attr_get_type(attribute)) {
    case CTA_TUPLE_ORIG: return mnl_attr_parse_nested(attribute, take_tuple, &found.original);
    case CTA_TUPLE_REPLY: return mnl_attr_parse_nested(attribute, take_tuple, &found.reply);
    case CTA_STATUS:
        if (number) found.status = ntohl(mnl_attr_get_u32(attribute));
        return MNL_CB_OK;
    case CTA_ID:
        if (number) found.id = mnl_attr_get_u32(attribute);
        return MNL_CB_OK;
    case CTA_TIMEOUT:
        if (number) found.ends_in = ntohl(mnl_attr_get_u32(attribute));
        return MNL_CB_OK;
    case CTA_PROTOINFO: return mnl_attr_parse_nested(attribute, take_protocol_info, &found);
    default: return MNL_CB_OK;
    }
}

// A SYN that was answered has seen a reply, and its sender may be nobody all the same: of TCP only what went through
// its handshake is assured (net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet).
ConntrackEntry entry_of(const nlmsghdr& message) {
    Found found;
    mnl_attr_parse(&message, sizeof(nfgenmsg), take_entry, &found);
    const bool tcp = found.original.transport == IPPROTO_TCP;
    return {.id = found.id,
            .family = found.original.family,
            .transport = found.original.transport,
            .unanswered = (found.status & (tcp ? IPS_ASSURED : IPS_SEEN_REPLY)) == 0,
            .source_nat = (found.status & IPS_SRC_NAT) != 0,
            .port = found.original.to.port,
            .from = found.original.from.port,
            .translated = found.reply.to,
            .peer = found.reply.from,
            .tcp_state = found.tcp_state,
            .ends_in = (found.status & IPS_FIXED_TIMEOUT) != 0 ? std::nullopt : found.ends_in};
}

} // namespace

Result<sys::ConntrackStat> ctnetlink_stat(const sys::Fd& socket) {
    sys::ConntrackStat sum;
    if (auto asked = ask(socket, IPCTNL_MSG_CT_GET_STATS_CPU, NLM_F_DUMP, add_counter, sum); !asked)
        return std::unexpected(asked.error());
    if (auto asked = ask(socket, IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, take_entries, sum); !asked)
        return std::unexpected(asked.error());
    return sum;
}

Result<ConntrackSample> ctnetlink_sample(const sys::Fd& socket, std::size_t enough) {
    const Question question(IPCTNL_MSG_CT_GET, NLM_F_DUMP);
    ConntrackSample sample;
    const auto asked = sys::ask_kernel_while(socket, question.message(), [&](const nlmsghdr& message) {
        sample.entries.push_back(entry_of(message));
        return sample.entries.size() < enough;
    });
    if (!asked) return with_context(asked.error(), "ctnetlink");
    sample.whole = sample.entries.size() < enough;
    return sample;
}

} // namespace bpftune::probes
