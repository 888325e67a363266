// SPDX-License-Identifier: Apache-2.0
#include "probes/ctnetlink.hpp"

#include <array>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

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

Result<> ask(const sys::Fd& socket, int what, int flags, mnl_attr_cb_t take, sys::ConntrackStat& into) {
    alignas(nlmsghdr) std::array<char, 256> buffer{};
    nlmsghdr* question = mnl_nlmsg_put_header(buffer.data());
    question->nlmsg_type = static_cast<__u16>((NFNL_SUBSYS_CTNETLINK << 8) | what);
    question->nlmsg_flags = static_cast<__u16>(NLM_F_REQUEST | flags);
    auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(question, sizeof(nfgenmsg)));
    family->version = NFNETLINK_V0;
    const auto asked = sys::ask_kernel(
        socket, *question, [&](const nlmsghdr& message) { mnl_attr_parse(&message, sizeof(nfgenmsg), take, &into); });
    if (!asked) return with_context(asked.error(), "ctnetlink");
    return {};
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

} // namespace bpftune::probes
