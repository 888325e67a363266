// SPDX-License-Identifier: Apache-2.0
#include "probes/ctnetlink.hpp"

#include <array>

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

// One entry: what the sample asks of it.
struct Entry {
    std::uint32_t status = 0;   // IPS_*
    std::uint8_t transport = 0; // IPPROTO_*

    // A SYN that was answered has seen a reply, and its sender may be nobody all the same: of TCP only what went
    // through its handshake is assured (net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet).
    [[nodiscard]] bool is_unanswered() const {
        return (status & (transport == IPPROTO_TCP ? IPS_ASSURED : IPS_SEEN_REPLY)) == 0;
    }
};

int take_transport(const nlattr* attribute, void* to) {
    if (mnl_attr_get_type(attribute) == CTA_PROTO_NUM && mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
        static_cast<Entry*>(to)->transport = mnl_attr_get_u8(attribute);
    return MNL_CB_OK;
}

int take_tuple(const nlattr* attribute, void* to) {
    if (mnl_attr_get_type(attribute) != CTA_TUPLE_PROTO) return MNL_CB_OK;
    return mnl_attr_parse_nested(attribute, take_transport, to);
}

int take_entry(const nlattr* attribute, void* to) {
    switch (mnl_attr_get_type(attribute)) {
    case CTA_TUPLE_ORIG: return mnl_attr_parse_nested(attribute, take_tuple, to);
    case CTA_STATUS:
        if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            static_cast<Entry*>(to)->status = ntohl(mnl_attr_get_u32(attribute));
        return MNL_CB_OK;
    default: return MNL_CB_OK;
    }
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
        Entry entry;
        mnl_attr_parse(&message, sizeof(nfgenmsg), take_entry, &entry);
        sample.entries++;
        if (entry.is_unanswered()) sample.unanswered++;
        return sample.entries < enough;
    });
    if (!asked) return with_context(asked.error(), "ctnetlink");
    return sample;
}

} // namespace bpftune::probes
