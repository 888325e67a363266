// SPDX-License-Identifier: Apache-2.0
#include "probes/ctnetlink.hpp"

#include <array>
#include <memory>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace bpftune::probes {
namespace {

struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, Close>;

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

int on_cpu(const nlmsghdr* message, void* to) { return mnl_attr_parse(message, sizeof(nfgenmsg), add_counter, to); }
int on_global(const nlmsghdr* message, void* to) { return mnl_attr_parse(message, sizeof(nfgenmsg), take_entries, to); }

Result<> ask(mnl_socket* socket, int what, int flags, mnl_cb_t handle, sys::ConntrackStat& into) {
    std::array<char, 32768> buffer{};
    nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
    message->nlmsg_type = static_cast<__u16>((NFNL_SUBSYS_CTNETLINK << 8) | what);
    message->nlmsg_flags = static_cast<__u16>(NLM_F_REQUEST | flags);
    auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    family->version = NFNETLINK_V0;
    if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return system_failure(errno, "ask ctnetlink");
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        const ssize_t count = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
        if (count < 0) return system_failure(errno, "read ctnetlink");
        more =
            mnl_cb_run(buffer.data(), static_cast<std::size_t>(count), 0, mnl_socket_get_portid(socket), handle, &into);
        if (more < 0) return system_failure(errno, "ctnetlink");
    }
    return {};
}

} // namespace

Result<sys::ConntrackStat> ctnetlink_stat() {
    const Socket socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return system_failure(errno, "ctnetlink");
    sys::ConntrackStat sum;
    if (auto asked = ask(socket.get(), IPCTNL_MSG_CT_GET_STATS_CPU, NLM_F_DUMP, on_cpu, sum); !asked)
        return std::unexpected(asked.error());
    if (auto asked = ask(socket.get(), IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, on_global, sum); !asked)
        return std::unexpected(asked.error());
    return sum;
}

} // namespace bpftune::probes
