// SPDX-License-Identifier: Apache-2.0
// Whose a connection, a loss or a listener is, where the kernel does not say so at once.
#include <catch2/catch.hpp>

#include <netinet/tcp.h>

#include "netns/probes/traffic.hpp"
#include "temporary_directory.hpp"
#include "watcher.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t port = 8080;

sys::Fd listen_with(std::uint16_t at, int backlog, int level, int option, int value) {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    must(::setsockopt(socket.value(), level, option, &value, sizeof value) == 0, "setsockopt");
    const sockaddr_in address = address_of("127.0.0.1", at);
    must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
    must(::listen(socket.value(), backlog) == 0, "listen");
    return socket;
}

const Listener& row_of(const std::vector<Listener>& rows, const sys::Fd& listener) {
    const auto row = std::ranges::find(rows, cookie_of(listener), &Listener::cookie);
    REQUIRE(row != rows.end());
    return *row;
}

// Passes a descriptor into a socket from which nobody has taken it yet.
void send_descriptor(const sys::Fd& to, const sys::Fd& descriptor) {
    char byte = 'x';
    iovec content{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = descriptor.value();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    must(::sendmsg(to.value(), &message, 0) == 1, "sendmsg");
}

// From now on only the two ends of a socket pair lead to it.
std::pair<sys::Fd, sys::Fd> put_on_its_way(sys::Fd descriptor) {
    std::array<int, 2> pair{};
    must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0, "socketpair");
    std::pair<sys::Fd, sys::Fd> ends{sys::Fd(pair[0]), sys::Fd(pair[1])};
    send_descriptor(ends.first, descriptor);
    return ends;
}

} // namespace

TEST_CASE("of listeners that share a port only the one that loses is charged, and only its queue is full") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Watcher watcher(30s);
    std::vector<sys::Fd> group;
    for (int i = 0; i < 4; ++i)
        group.push_back(netns.inside([] { return listen_with(port, 8, SOL_SOCKET, SO_REUSEPORT, 1); }));
    (void)watcher.listeners_of(netns);
    std::vector<sys::Fd> connected;
    for (int i = 0; i < 30; ++i) {
        for (sys::Fd& client : netns.inside([] { return clients(6, "127.0.0.1", port); }))
            connected.push_back(std::move(client));
        for (std::size_t worker = 1; worker < group.size(); ++worker) (void)accept_all(group[worker]);
    }
    REQUIRE(netstat(netns, "ListenOverflows") > 0);
    std::vector<Listener> rows;
    CHECK(comes_true([&] { // clients repeat themselves
        rows = watcher.listeners_of(netns);
        for (std::size_t worker = 1; worker < group.size(); ++worker) (void)accept_all(group[worker]);
        return row_of(rows, group[0]).overflows == netstat(netns, "ListenOverflows");
    }));
    CHECK(row_of(rows, group[0]).queue_peak == 9);
    for (std::size_t worker = 1; worker < group.size(); ++worker) {
        CHECK(row_of(rows, group[worker]).overflows == 0);
        CHECK(row_of(rows, group[worker]).queue_peak < 9);
    }
    rows = watcher.listeners_of(netns);
    const QueueWindow& window = row_of(rows, group[0]).window;
    CHECK(window.floor == 9); // it stays full, though connections found the queues of others empty
    CHECK(window.accepted == 0);
}

TEST_CASE("last ACKs that wait for data are no overflows of their listener, and take none from its neighbour") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Watcher watcher(30s);
    const auto deferring = netns.inside([] { return listen_with(port, 64, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30); });
    const auto full = netns.inside([] { return listen_with(port + 1, 4, SOL_SOCKET, SO_REUSEADDR, 1); });
    (void)watcher.listeners_of(netns);
    const auto silent = netns.inside([] { return clients(20, "127.0.0.1", port); });
    const auto refused = netns.inside([] { return clients(20, "127.0.0.1", port + 1); });
    REQUIRE(comes_true([&] { return netstat(netns, "TCPDeferAcceptDrop") >= 20; }));
    std::vector<Listener> rows = watcher.listeners_of(netns);
    if (watcher.probes().sees_arrivals()) { // and who defers: else only what nobody else can have is charged
        CHECK(comes_true([&] {
            rows = watcher.listeners_of(netns);
            return row_of(rows, full).overflows == netstat(netns, "ListenOverflows");
        }));
        CHECK(row_of(rows, full).overflows >= 15);
    }
    CHECK(row_of(rows, deferring).overflows == 0);
    CHECK(row_of(rows, deferring).drops >= 20);
}

TEST_CASE("a listener that is on its way between two processes stays, without one, until it has ended") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Watcher watcher(30s);
    auto listener = netns.inside([] { return listen_with(port, 64, SOL_SOCKET, SO_REUSEADDR, 1); });
    std::vector<Listener> rows = watcher.listeners_of(netns);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].pid == ::getpid());
    const std::uint64_t cookie = cookie_of(listener);
    auto [near, far] = put_on_its_way(std::move(listener));
    CHECK(comes_true([&] { // whoever has found out who held it may do so for a while
        rows = watcher.listeners_of(netns);
        REQUIRE(rows.size() == 1);
        return rows[0].pid == 0;
    }));
    CHECK(rows[0].cookie == cookie);
    CHECK(rows[0].limit == 64);
    CHECK(rows[0].local.port == port);
    SECTION("also where its namespace could not be asked for it just then") {
        watcher.refuse_to_list(EMFILE);
        rows = watcher.listeners_of(netns);
        REQUIRE(rows.size() == 1);
        CHECK(rows[0].cookie == cookie);
        watcher.refuse_to_list(0);
    }
    far.reset();
    near.reset();
    CHECK(comes_true([&] { return watcher.listeners_of(netns).empty(); }));
}

TEST_CASE("a listener that nobody holds is not listed anew at each look, but when its namespace loses something") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Watcher watcher(1s);
    auto listener = netns.inside([] { return listen_with(port, 4, SOL_SOCKET, SO_REUSEADDR, 1); });
    const std::uint64_t cookie = cookie_of(listener);
    (void)watcher.look_until(netns, [&](const Listener& row) { return row.cookie == cookie; });
    const auto ends = put_on_its_way(std::move(listener));
    (void)watcher.look_until(netns, [](const Listener& row) { return row.pid == 0; });
    const std::size_t before = watcher.listings_of(netns);
    for (int i = 0; i < 4; ++i) CHECK(watcher.listeners_of(netns).size() == 1);
    if (!watcher.probes().lists_whole_namespaces()) CHECK(watcher.listings_of(netns) <= before + 1);
    const auto refused = netns.inside([] { return clients(20, "127.0.0.1", port); });
    REQUIRE(netstat(netns, "ListenOverflows") > 0);
    const Listener row = watcher.look_until(
        netns, [&](const Listener& each) { return each.overflows == netstat(netns, "ListenOverflows"); });
    CHECK(row.cookie == cookie);
    CHECK(row.queue == 5);
}

TEST_CASE("where the mount table is not read every namespace has a row, which says that its names are not known") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const bool is_read = GENERATE(true, false);
    const TemporaryDirectory elsewhere; // without a mount table
    auto probes = open_probes({.proc_root = is_read ? "/proc" : elsewhere.path()});
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "namespaces without /proc")) return;
    Collector collector(probes, this_node(), sys::now());
    const Snapshot snapshot = collector.tick(sys::now());
    const auto row = std::ranges::find(snapshot.netns_names, netns.inode(),
                                       [](const NetnsNames& names) { return names.netns.inode; });
    REQUIRE(row != snapshot.netns_names.end());
    CHECK(row->is_name_unknown != is_read);
    CHECK(row->bound.empty() != is_read);
}
