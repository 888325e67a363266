// SPDX-License-Identifier: Apache-2.0
#include "actuators/writer.hpp"

#include <array>
#include <csignal>
#include <fstream>
#include <list>
#include <optional>
#include <vector>

#include <linux/io_uring.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixtures.hpp"
#include "netns/probes/datagrams.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/users.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Writer;

namespace {

constexpr const char* conntrack_max = "/proc/sys/net/netfilter/nf_conntrack_max";
constexpr const char* conntrack_buckets = "/proc/sys/net/netfilter/nf_conntrack_buckets";

Scope scope_of(const Namespace& netns, int pid = 0) {
    return {.netns = id_of(netns), .netns_pid = pid, .listener = {}, .pod = {}};
}

Outcome::Kind kind(const Outcome& outcome) {
    UNSCOPED_INFO(outcome.error);
    return outcome.kind;
}

bool mentions(const std::string& text, const std::string& part) {
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
}

// "CapEff:\t0000000000000000" of /proc/PID/status
std::string status_of(pid_t pid, const std::string& key) {
    std::ifstream file(fmt::format("/proc/{}/status", pid));
    std::string line;
    while (std::getline(file, line))
        if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
    return {};
}

bool ends(pid_t pid) {
    const auto process = sys::open_process(pid);
    if (!process) return true;
    pollfd ended{.fd = process->value(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, 10000) == 1;
}

} // namespace

TEST_CASE("writes and reads back a sysctl of one namespace and of no other") {
    const Namespace netns;
    const Namespace other;
    auto writer = take(Writer::start());
    const auto before = somaxconn_in(netns);
    const auto on_host = take(sys::read_number("/proc/sys/net/core/somaxconn"));
    CHECK(take(writer.read(TunableId::somaxconn, scope_of(netns))) == before);

    const Outcome outcome = writer.write(TunableId::somaxconn, scope_of(netns), before, 1234);
    CHECK(kind(outcome) == Outcome::Kind::written);
    CHECK(outcome.value == 1234);
    CHECK(somaxconn_in(netns) == 1234);
    CHECK(somaxconn_in(other) == before);
    CHECK(take(sys::read_number("/proc/sys/net/core/somaxconn")) == on_host);
}

TEST_CASE("one number of a sysctl of three is written, and the others stay") {
    const Namespace netns;
    const std::string tcp_rmem = "sys/net/ipv4/tcp_rmem";
    netns.write(tcp_rmem, "4096 100000 200000");
    auto writer = take(Writer::start());
    CHECK(take(writer.read(TunableId::tcp_rmem, scope_of(netns))) == 200000);
    CHECK(kind(writer.write(TunableId::tcp_rmem, scope_of(netns), 200000, 400000)) == Outcome::Kind::written);
    CHECK(netns.read(tcp_rmem) == "4096\t100000\t400000\n");
    CHECK(kind(writer.write(TunableId::tcp_rmem, scope_of(netns), 200000, 800000)) == Outcome::Kind::conflict);
    CHECK(kind(writer.lower(TunableId::tcp_rmem, scope_of(netns), 400000, 200000)) == Outcome::Kind::written);
    CHECK(netns.read(tcp_rmem) == "4096\t100000\t200000\n");
}

TEST_CASE("what nudges connections is told where there is none, or no such namespace") {
    auto writer = take(Writer::start());
    const Namespace netns;
    const auto no_link = writer.nudge(scope_of(netns), ~0U);
    REQUIRE_FALSE(no_link.has_value());
    CHECK(mentions(no_link.error().message, "find what nudges connections"));
    Scope gone = scope_of(netns);
    ++gone.netns.cookie;
    const auto no_namespace = writer.nudge(gone, ~0U);
    REQUIRE_FALSE(no_namespace.has_value());
    CHECK(no_namespace.error().code == ESTALE);
}

TEST_CASE("a value that is not what the caller knew is left alone and told") {
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "300");
    auto writer = take(Writer::start());
    const Outcome outcome = writer.write(TunableId::somaxconn, scope_of(netns), 128, 1024);
    CHECK(kind(outcome) == Outcome::Kind::conflict);
    CHECK(outcome.value == 300);
    CHECK(somaxconn_in(netns) == 300);
}

TEST_CASE("the writer itself refuses what the kernel does not take") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const auto before = somaxconn_in(netns);
    const Outcome outcome = writer.write(TunableId::somaxconn, scope_of(netns), before, 2147483648);
    CHECK(kind(outcome) == Outcome::Kind::failed);
    CHECK(mentions(outcome.error, "net.core.somaxconn: 2147483648 is not within 0 and 2147483647"));
    CHECK(somaxconn_in(netns) == before);
    CHECK(kind(writer.write(static_cast<TunableId>(999), scope_of(netns), before, 1)) == Outcome::Kind::failed);
}

TEST_CASE("several writes are made in their order, and one that is refused stops none") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const auto before = somaxconn_in(netns);
    const auto decision = [&](std::uint64_t from, std::uint64_t to) {
        return Decision{.tunable = TunableId::somaxconn, .scope = scope_of(netns), .from = from, .to = to};
    };
    const std::array decisions{decision(before, 200), decision(200, 2147483648), decision(200, 300)};
    using Kinds = std::vector<Outcome::Kind>;
    const auto kinds_of_all = [&] {
        Kinds kinds;
        writer.write(decisions, [&](const Outcome& outcome) { kinds.push_back(kind(outcome)); });
        return kinds;
    };
    CHECK(kinds_of_all() == Kinds{Outcome::Kind::written, Outcome::Kind::failed, Outcome::Kind::written});
    CHECK(somaxconn_in(netns) == 300);

    ::kill(writer.pid(), SIGKILL);
    CHECK(kinds_of_all() == Kinds(3, Outcome::Kind::failed));
    CHECK(writer.pid() == -1);
    CHECK(somaxconn_in(netns) == 300);
}

TEST_CASE("a namespace is found by hint, by any process in it, or where it is bound") {
    const Namespace netns;
    auto writer = take(Writer::start());
    CHECK(writer.read(TunableId::somaxconn, scope_of(netns)));
    CHECK(writer.read(TunableId::somaxconn, scope_of(netns, 1)));
    const Process inside(netns, [] { return 0; });
    CHECK(writer.read(TunableId::somaxconn, scope_of(netns, inside.pid())));
    CHECK(writer.read(TunableId::somaxconn, scope_of(netns, 1)));
}

TEST_CASE("a namespace that no path leads to but a process is found") {
    Namespace netns;
    const Process inside(netns, [&netns] {
        netns.remove(); // the process stays
        return take(sys::own_netns()).cookie;
    });
    const Scope scope = scope_of(netns, 1);
    CHECK(scope.netns.cookie == inside.value());
    netns.remove();
    auto writer = take(Writer::start());
    CHECK(writer.read(TunableId::somaxconn, scope));
}

TEST_CASE("a namespace with the same number and another cookie is never written") {
    const Namespace netns;
    const Process inside(netns, [] { return 0; });
    auto writer = take(Writer::start());
    Scope scope = scope_of(netns, inside.pid());
    scope.netns.cookie += 1;
    const auto before = somaxconn_in(netns);
    const Outcome outcome = writer.write(TunableId::somaxconn, scope, before, 1234);
    CHECK(kind(outcome) == Outcome::Kind::gone);
    CHECK(mentions(outcome.error, "is another namespace now"));
    CHECK(somaxconn_in(netns) == before);
    CHECK(writer.read(TunableId::somaxconn, scope).error().code == ESTALE);
}

TEST_CASE("a namespace that was deleted and made again is not written") {
    auto writer = take(Writer::start());
    Scope old;
    {
        const Namespace first;
        old = scope_of(first);
    }
    for (int i = 0; i < 8; ++i) { // one of them may get its number
        const Namespace second;
        const auto before = somaxconn_in(second);
        CHECK(kind(writer.write(TunableId::somaxconn, old, before, 1234)) == Outcome::Kind::gone);
        CHECK(somaxconn_in(second) == before);
    }
}

TEST_CASE("a visit tells the limits of one namespace, and brings a socket of it") {
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "300");
    netns.write("sys/net/ipv4/tcp_max_tw_buckets", "15");
    auto writer = take(Writer::start());
    const NetnsId id = id_of(netns);
    const auto visit = take(writer.visit({.cookie = 0, .inode = id.inode}, {}, {sys::Netlink::sock_diag}));
    CHECK(visit.id == id);
    CHECK(id.cookie != 0);
    CHECK(visit.sysctls.somaxconn == 300);
    CHECK(visit.sysctls.max_tw_buckets == 15);
    struct stat where{};
    REQUIRE(::fstat(take(sys::netns_of_socket(visit.socket.value())).value(), &where) == 0);
    CHECK(where.st_ino == id.inode);
    CHECK((::fcntl(visit.socket.value(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_FALSE(take(writer.visit(id, {}, {})).socket);
}

TEST_CASE("the writer hands out the types of nf_conntrack where it is a module") {
    auto writer = take(Writer::start());
    const auto types = writer.conntrack_types();
    if (std::filesystem::exists("/sys/kernel/btf/nf_conntrack")) {
        REQUIRE(types.has_value());
        CHECK((::fcntl(types->value(), F_GETFD) & FD_CLOEXEC) != 0);
    } else {
        REQUIRE_FALSE(types.has_value());
        CHECK(types.error().code == ENOENT);
    }
}

TEST_CASE("a visit to a namespace that is another one by now is refused") {
    const Namespace netns;
    auto writer = take(Writer::start());
    NetnsId id = id_of(netns);
    id.cookie += 1;
    CHECK(writer.visit(id, {}, {sys::Netlink::sock_diag}).error().code == ESTALE);
    CHECK_FALSE(writer.visit(id_of(netns), {}, {static_cast<sys::Netlink>(7)}));
}

TEST_CASE("a namespace whose cookie is not known may be looked at and not written") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const auto before = somaxconn_in(netns);
    const Scope scope{.netns = {.cookie = 0, .inode = netns.inode()}, .netns_pid = 0, .listener = {}, .pod = {}};
    CHECK(writer.visit(scope.netns, {}, {}));
    const Outcome outcome = writer.write(TunableId::somaxconn, scope, before, 1234);
    CHECK(kind(outcome) == Outcome::Kind::failed);
    CHECK(mentions(outcome.error, "cannot be told from a later one with its number"));
    CHECK(somaxconn_in(netns) == before);
}

TEST_CASE("a namespace that is not known is not written") {
    auto writer = take(Writer::start());
    CHECK(kind(writer.write(TunableId::somaxconn, {}, 4096, 8192)) == Outcome::Kind::gone);
    CHECK(writer.read(TunableId::somaxconn, {}).error().code == ESTALE);
}

TEST_CASE("raises and lowers a live listener, which goes on as if nothing had been") {
    const Namespace netns;
    for (const uid_t user : {0U, 65534U}) {
        Server server(netns, 5, user);
        auto writer = take(Writer::start());
        const auto descriptors = open_descriptors(server.pid());
        CHECK(take(writer.read(TunableId::listener_backlog, server.scope())) == 5);
        CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 5, 64)) == Outcome::Kind::written);
        CHECK(server.facts().limit == 64);
        CHECK(server.serves());
        CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 64, 5)) == Outcome::Kind::written);
        CHECK(server.facts().limit == 5);
        CHECK(server.serves());
        CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 64, 128)) == Outcome::Kind::conflict);
        CHECK(open_descriptors(server.pid()) == descriptors);
    }
}

TEST_CASE("raises a live MPTCP listener") {
    if (!std::filesystem::exists("/proc/sys/net/mptcp")) {
        WARN("this kernel has no MPTCP");
        return;
    }
    const Namespace netns;
    Server server(netns, 5, 0, IPPROTO_MPTCP);
    auto writer = take(Writer::start());
    CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 5, 64)) == Outcome::Kind::written);
    CHECK(server.facts().limit == 64);
    CHECK(server.serves());
}

TEST_CASE("a listener is found where its hint is stale, also another user's") {
    const Namespace netns;
    auto writer = take(Writer::start());
    for (const uid_t user : {0U, 65534U}) {
        Server server(netns, 5, user);
        server.move_on();
        Scope scope = server.scope();
        CHECK(kind(writer.write(TunableId::listener_backlog, scope, 5, 64)) == Outcome::Kind::written);
        CHECK(server.facts().limit == 64);
        scope.listener->pid = ::getpid();
        CHECK(kind(writer.write(TunableId::listener_backlog, scope, 64, 32)) == Outcome::Kind::written);
        scope.listener->pid = 0;
        CHECK(kind(writer.write(TunableId::listener_backlog, scope, 32, 16)) == Outcome::Kind::written);
        CHECK(server.facts().limit == 16);
    }
}

TEST_CASE("another socket at the descriptor of one that was closed is not touched") {
    const Namespace netns;
    auto writer = take(Writer::start());
    Server server(netns, 10);
    server.replace();
    CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 10, 64)) == Outcome::Kind::gone);
    CHECK(server.facts().limit == 10);
    CHECK(server.serves());
}

TEST_CASE("a listener that was closed, or whose process ended, is gone") {
    const Namespace netns;
    auto writer = take(Writer::start());
    Server server(netns, 10);
    const Scope scope = server.scope();
    server.close();
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 10, 64)) == Outcome::Kind::gone);
    CHECK(writer.read(TunableId::listener_backlog, scope).error().code == ESTALE);
    server.end();
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 10, 64)) == Outcome::Kind::gone);
}

TEST_CASE("a listener that no process shows a descriptor of is not gone as long as the kernel lists it") {
    const Namespace netns;
    auto writer = take(Writer::start());
    Scope scope;
    std::optional<InFlight> sent;
    SECTION("IPv4") {
        sys::Fd socket = listening(netns, 100);
        scope = scope_of_listener(netns, socket);
        sent.emplace(std::move(socket));
    }
    SECTION("IPv6") {
        sys::Fd socket = listening(netns, 100, AF_INET6);
        scope = scope_of_listener(netns, socket);
        sent.emplace(std::move(socket));
    }
    SECTION("where its hint is another's by now, and nothing else is known") {
        sys::Fd socket = listening(netns, 100);
        scope = scope_of_listener(netns, socket);
        sent.emplace(std::move(socket));
        scope.listener->pid = 0;
        scope.listener->inode = 0;
    }
    const auto value = writer.read(TunableId::listener_backlog, scope);
    REQUIRE_FALSE(value);
    CHECK(mentions(value.error().message, "it is there still, but no process shows its descriptor"));
    CHECK(value.error().code == EBUSY);
    const Outcome outcome = writer.write(TunableId::listener_backlog, scope, 100, 200);
    CHECK(kind(outcome) == Outcome::Kind::failed);
    CHECK(mentions(outcome.error, "left as it is"));

    if (scope.listener->inode != 0) { // whoever receives it can be asked
        const sys::Fd received = sent->receive();
        CHECK(kind(writer.write(TunableId::listener_backlog, scope, 100, 200)) == Outcome::Kind::written);
        CHECK(take(sys::accept_queue(received.value())).limit == 200);
    }
    sent.reset();
    CHECK(comes_true([&] { return writer.read(TunableId::listener_backlog, scope).error().code == ESTALE; }));
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 200, 100)) == Outcome::Kind::gone);
}

TEST_CASE("a listener that only io_uring holds is not gone") {
    io_uring_params params{};
    sys::Fd ring(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &params)));
    if (!ring) {
        WARN("io_uring is not to be had here");
        return;
    }
    const Namespace netns;
    auto writer = take(Writer::start());
    sys::Fd socket = listening(netns, 100);
    const Scope scope = scope_of_listener(netns, socket);
    const int fd = socket.value();
    must(::syscall(SYS_io_uring_register, ring.value(), IORING_REGISTER_FILES, &fd, 1) == 0, "register a file");
    socket.reset();
    CHECK(writer.read(TunableId::listener_backlog, scope).error().code == EBUSY);
    ring.reset();
    CHECK(comes_true([&] { return writer.read(TunableId::listener_backlog, scope).error().code == ESTALE; }));
}

TEST_CASE("a socket that was shut down is not revived") {
    const Namespace netns;
    auto writer = take(Writer::start());
    Server server(netns, 10);
    server.shut_down();
    const Outcome outcome = writer.write(TunableId::listener_backlog, server.scope(), 10, 64);
    CHECK(kind(outcome) == Outcome::Kind::gone);
    CHECK(mentions(outcome.error, "does not listen"));
    CHECK_FALSE(server.facts().listens);
}

TEST_CASE("a listener is not raised past a somaxconn that is less by now: that is a conflict and no failure") {
    const Namespace netns;
    auto writer = take(Writer::start());
    Server server(netns, 10);
    netns.write("sys/net/core/somaxconn", "8"); // cut, it would have less than now
    const Outcome outcome = writer.write(TunableId::listener_backlog, server.scope(), 10, 64);
    CHECK(kind(outcome) == Outcome::Kind::conflict);
    CHECK(outcome.value == 10);
    CHECK(mentions(outcome.error, "net.core.somaxconn of its network namespace is 8"));
    CHECK(server.facts().limit == 10);
    CHECK(kind(writer.lower(TunableId::listener_backlog, server.scope(), 10, 9)) == Outcome::Kind::failed);
}

TEST_CASE("a listener is not touched under the name of another namespace") {
    const Namespace netns;
    const Namespace other;
    auto writer = take(Writer::start());
    Server server(netns, 10);
    Scope scope = server.scope();
    scope.netns = id_of(other);
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 10, 64)) == Outcome::Kind::gone);
    scope.netns = {.cookie = 0, .inode = other.inode()}; // as on a kernel without cookies
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 10, 64)) == Outcome::Kind::gone);
    CHECK(server.facts().limit == 10);
}

TEST_CASE("a value of the node is written from the init namespace only") {
    const HostLock lock;
    const auto before = sys::read_number(conntrack_max);
    if (!before) {
        WARN("nf_conntrack is not loaded");
        return;
    }
    const Namespace netns;
    auto writer = take(Writer::start());
    const Outcome refused = writer.write(TunableId::conntrack_max, scope_of(netns), *before, *before + 1);
    CHECK(kind(refused) == Outcome::Kind::failed);
    CHECK(mentions(refused.error, "is not the init network namespace"));
    CHECK(take(sys::read_number(conntrack_max)) == *before);

    const Scope init{.netns = take(sys::init_netns()), .netns_pid = 0, .listener = {}, .pod = {}};
    CHECK(kind(writer.write(TunableId::conntrack_max, init, *before, *before + 1)) == Outcome::Kind::written);
    CHECK(take(sys::read_number(conntrack_max)) == *before + 1);
    CHECK(kind(writer.write(TunableId::conntrack_max, init, *before + 1, *before)) == Outcome::Kind::written);
    CHECK(take(sys::read_number(conntrack_max)) == *before);
}

TEST_CASE("what the kernel makes something else of is put back and said") {
    const auto before = sys::read_number(conntrack_buckets);
    if (!before) {
        WARN("nf_conntrack is not loaded");
        return;
    }
    const HostLock lock;
    auto writer = take(Writer::start());
    const Scope init{.netns = take(sys::init_netns()), .netns_pid = 0, .listener = {}, .pod = {}};
    const Outcome outcome = writer.write(TunableId::conntrack_buckets, init, *before, *before + 1);
    CHECK(kind(outcome) == Outcome::Kind::failed); // a table is whole pages
    CHECK(mentions(outcome.error,
                   fmt::format("wrote {}, but {} was read back; put {} back", *before + 1, *before + 512, *before)));
    CHECK(take(sys::read_number(conntrack_buckets)) == *before);
}

TEST_CASE("the writer holds no descriptor longer than a request") {
    const Namespace netns;
    const Server server(netns, 10);
    auto writer = take(Writer::start());
    const auto at_start = open_descriptors(writer.pid());
    CHECK(at_start == 5); // /dev/null three times, its socket
    Scope stale = server.scope();
    stale.listener->fd = 0;
    Scope wrong = server.scope();
    wrong.netns.cookie += 1;
    for (int i = 0; i < 20; ++i) {
        for (const Scope& scope : {server.scope(), stale, wrong})
            for (const TunableId tunable :
                 {TunableId::somaxconn, TunableId::listener_backlog, TunableId::conntrack_max})
                static_cast<void>(writer.read(tunable, scope));
        static_cast<void>(
            take(writer.visit(server.scope().netns, {.pid = server.pid(), .path = {}}, {sys::Netlink::netfilter})));
        CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 10, 100000)) == Outcome::Kind::conflict);
    }
    CHECK(open_descriptors(writer.pid()) == at_start);
}

TEST_CASE("the writer has its name, the rights it needs, what it inherits and nothing else") {
    const sys::Fd kept(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const sys::Fd higher(::fcntl(kept.value(), F_DUPFD_CLOEXEC, 200));
    auto writer = take(Writer::start(std::array{kept.value()}));
    CHECK(status_of(writer.pid(), "Name") == "bpftune-writer");
    CHECK(status_of(writer.pid(), "NoNewPrivs") == "1");
    for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) CHECK(status_of(writer.pid(), set) == "0000000000281004");
    CHECK(status_of(writer.pid(), "CapInh") == "0000000000000000");
    CHECK(open_descriptors(writer.pid()) == 6);
}

TEST_CASE("signals for the whole group do not end the writer") {
    auto writer = take(Writer::start());
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) REQUIRE(::kill(writer.pid(), number) == 0);
    const Namespace netns;
    CHECK(writer.read(TunableId::somaxconn, scope_of(netns)));
}

TEST_CASE("the writer ends with its owner") {
    pid_t pid = -1;
    SECTION("when that lets go of it") {
        auto writer = take(Writer::start());
        pid = writer.pid();
    }
    SECTION("when that is killed") {
        Process owner([] {
            static auto writer = take(Writer::start());
            return static_cast<std::uint64_t>(writer.pid());
        });
        pid = static_cast<pid_t>(owner.value());
        owner.end();
    }
    CHECK(ends(pid));
}

TEST_CASE("without a writer every request fails and says why") {
    auto writer = take(Writer::start());
    REQUIRE(::kill(writer.pid(), SIGKILL) == 0);
    const Namespace netns;
    for (const bool knows : {false, true}) {
        const Outcome outcome = writer.write(TunableId::somaxconn, scope_of(netns), 4096, 1234);
        CHECK(kind(outcome) == Outcome::Kind::failed);
        CHECK(writer.knows_outcome() == knows); // the first may have been made
        CHECK(outcome.error == "the writer process was killed by signal 9: nothing can be changed until the service "
                               "is started again");
    }
    CHECK(writer.pid() == -1);
    CHECK_FALSE(writer.read(TunableId::somaxconn, scope_of(netns)));
}

TEST_CASE("a listener that its process keeps locked costs itself its tuning, and nobody else") {
    const Namespace netns;
    auto locked = std::make_optional<Server>(netns, 100);
    const Server other(netns, 100);
    auto writer = take(Writer::start());
    const Scope scope = locked->scope();
    locked->lock();
    CHECK(take(writer.read(TunableId::listener_backlog, scope)) == 100); // which takes no lock

    const Outcome unknown = writer.write(TunableId::listener_backlog, scope, 100, 200);
    CHECK(kind(unknown) == Outcome::Kind::failed);
    CHECK_FALSE(writer.knows_outcome());
    CHECK(mentions(unknown.error, "no answer within 600 ms: its process keeps it locked"));
    const Outcome refused = writer.write(TunableId::listener_backlog, scope, 100, 200);
    CHECK(kind(refused) == Outcome::Kind::failed);
    CHECK(mentions(refused.error, "gave no answer before"));
    CHECK(kind(writer.write(TunableId::listener_backlog, other.scope(), 100, 200)) == Outcome::Kind::written);
    CHECK(kind(writer.write(TunableId::somaxconn, scope_of(netns, other.pid()), 4096, 5000)) == Outcome::Kind::written);

    // Let go of, it is asked for again.
    locked.reset();
    Scope not_looked_for = scope; // which takes its time on a busy machine
    not_looked_for.listener->inode = 0;
    Result<std::uint64_t> value;
    for (int i = 0; i < 600; ++i) {
        value = writer.read(TunableId::listener_backlog, not_looked_for);
        if (!value && value.error().code == ESTALE) break;
        ::usleep(100'000);
    }
    REQUIRE_FALSE(value);
    CHECK(value.error().code == ESTALE);
}

TEST_CASE("what may have been written without an answer is read when its process lets go") {
    const Namespace netns;
    const sys::Fd listener = listening(netns, 100);
    auto holder = std::make_optional<Process>(netns, [&] {
        keep_locked(listener.value());
        return std::uint64_t{0};
    });
    const Scope scope = scope_of_listener(netns, listener);
    auto writer = take(Writer::start());
    CHECK(kind(writer.write(TunableId::listener_backlog, scope, 100, 200)) == Outcome::Kind::failed);
    CHECK_FALSE(writer.knows_outcome());
    CHECK_FALSE(writer.read(TunableId::listener_backlog, scope));
    holder.reset();
    Result<std::uint64_t> value = 0;
    for (int i = 0; i < 600 && !(value = writer.read(TunableId::listener_backlog, scope)); ++i) ::usleep(100'000);
    REQUIRE(value);
    CHECK((*value == 100 || *value == 200)); // it was killed where it waited
}

TEST_CASE("six listeners that are kept locked take no other network namespace its tuning", "[any-kernel]") {
    std::list<Namespace> hostile(1);
    SECTION("in one") {}
    SECTION("in three") { hostile.resize(3); }
    const Namespace netns;
    std::list<Server> locked;
    auto writer = take(Writer::start());
    for (const Namespace& each : hostile) {
        int without_answer = 0;
        for (std::size_t i = 0; i < 6 / hostile.size(); ++i) {
            Server& server = locked.emplace_back(each, 100);
            server.lock();
            const Outcome outcome = writer.write(TunableId::listener_backlog, server.scope(), 100, 200);
            CHECK(kind(outcome) == Outcome::Kind::failed);
            if (!writer.knows_outcome())
                ++without_answer;
            else
                CHECK(mentions(outcome.error, "of its network namespace"));
        }
        CHECK(without_answer >= 1);
        CHECK(without_answer <= 4);
    }
    const Server other(netns, 100);
    CHECK(kind(writer.write(TunableId::listener_backlog, other.scope(), 100, 200)) == Outcome::Kind::written);
    Scope stale = other.scope();
    stale.listener->pid = 0;
    CHECK(take(writer.read(TunableId::listener_backlog, stale)) == 200); // is looked for
}

TEST_CASE("four that the kernel does not let go of are the most of one network namespace", "[any-kernel]") {
    const Namespace hostile;
    const Namespace netns;
    std::list<Server> locked;
    auto writer = take(Writer::start());
    int without_answer = 0;
    for (int i = 0; i < 5; ++i) locked.emplace_back(hostile, 100).lock();
    std::string why; // what is used up comes back in some seconds, and more are tried
    for (int i = 0; i < 600 && !why.starts_with("4 listeners of its network namespace"); ++i) {
        for (const Server& server : locked) {
            const Outcome outcome = writer.write(TunableId::listener_backlog, server.scope(), 100, 200);
            if (!writer.knows_outcome()) ++without_answer;
            why = outcome.error;
        }
        ::usleep(100'000);
    }
    CHECK(why.starts_with("4 listeners of its network namespace are kept locked"));
    CHECK(without_answer == 4);
    const Server other(netns, 100);
    CHECK(kind(writer.write(TunableId::listener_backlog, other.scope(), 100, 200)) == Outcome::Kind::written);
}

// Each of those who keep one locked has a process that does not end; nobody else is kept from a new one.
TEST_CASE("however many keep their listeners locked, each stops none but its own", "[any-kernel]") {
    std::list<Namespace> hostile(17);
    std::list<Server> locked;
    auto writer = take(Writer::start());
    const auto is_tried = [&](const Scope& scope) {
        CHECK(kind(writer.write(TunableId::listener_backlog, scope, 100, 200)) == Outcome::Kind::failed);
        return !writer.knows_outcome();
    };
    for (const Namespace& each : hostile) {
        locked.emplace_back(each, 100).lock();
        CHECK(is_tried(locked.back().scope())); // the last one too, with 16 before it
    }
    const Server second(hostile.front(), 100);
    const Outcome refused = writer.write(TunableId::listener_backlog, second.scope(), 100, 200);
    CHECK(kind(refused) == Outcome::Kind::failed);
    CHECK(mentions(refused.error, "listeners are kept locked by their processes, one beside it"));
    const Namespace netns;
    const Server other(netns, 100);
    CHECK(kind(writer.write(TunableId::listener_backlog, other.scope(), 100, 200)) == Outcome::Kind::written);
}

// Somebody in a network namespace that he made for himself, with a listener that is kept locked.
struct OfUser {
    explicit OfUser(bool root) : is_root(root) {}

    struct Facts {
        std::uint64_t cookie = 0;
        std::uint64_t inode = 0;
        int fd = -1;
    };
    static Facts* shared() {
        void* place = ::mmap(nullptr, sizeof(Facts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        must(place != MAP_FAILED, "mmap");
        return new (place) Facts;
    }
    bool is_root; // by number, as in a pod without a user namespace
    Facts* facts = shared();
    Process process{[this] {
        if (!is_root) become_nobody();
        must(unshare_netns(), "unshare");
        static const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        must(::listen(socket.value(), 100) == 0, "listen");
        struct stat status{};
        must(::fstat(socket.value(), &status) == 0, "fstat");
        *facts = {.cookie = take(sys::socket_cookie(socket.value())), .inode = status.st_ino, .fd = socket.value()};
        return std::uint64_t{0};
    }};
    Process locker{[this] { // by one who may: how it comes to be locked is nothing to the writer
        static const sys::Fd socket = take(sys::fetch_descriptor(process.pid(), facts->fd));
        keep_locked(socket.value());
        return std::uint64_t{0};
    }};

    [[nodiscard]] Scope scope() const {
        Scope scope{.netns = take(sys::netns_of(process.pid())), .netns_pid = process.pid(), .listener = {}, .pod = {}};
        scope.listener = ListenerRef{
            .cookie = facts->cookie, .inode = facts->inode, .local = {}, .pid = process.pid(), .fd = facts->fd};
        return scope;
    }
};

TEST_CASE("who keeps listeners locked in many network namespaces of his own stops none of others", "[any-kernel]") {
    const bool is_root = GENERATE(false, true);
    std::list<OfUser> hostile;
    for (int i = 0; i < 18; ++i) hostile.emplace_back(is_root);
    auto writer = take(Writer::start());
    int tried = 0;
    std::string why;
    for (const OfUser& each : hostile) {
        const Outcome outcome = writer.write(TunableId::listener_backlog, each.scope(), 100, 200);
        CHECK(kind(outcome) == Outcome::Kind::failed);
        if (!writer.knows_outcome()) ++tried;
        why = outcome.error;
    }
    CHECK(tried == 16);
    CHECK(mentions(why, "one of its user's or cgroup's among them"));
    const Namespace netns;
    const Server other(netns, 100);
    CHECK(kind(writer.write(TunableId::listener_backlog, other.scope(), 100, 200)) == Outcome::Kind::written);
}

TEST_CASE("processes that share a table of many descriptors hide no listener of another namespace") {
    const Namespace netns;
    const Namespace hostile;
    const Process many(hostile, [] {
        rlimit limit{};
        must(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
        limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 60'000);
        must(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
        const rlim_t descriptors = limit.rlim_cur - 100;
        for (rlim_t i = 0; i < descriptors; ++i) must(::dup(STDERR_FILENO) >= 0, "dup");
        for (int i = 0; i < 40; ++i) {
            const long child = ::syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
            must(child >= 0, "clone");
            if (child != 0) continue;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (true) ::pause();
        }
        return std::uint64_t{0};
    });
    const Server server(netns, 100);
    auto writer = take(Writer::start());
    Scope stale = server.scope();
    stale.listener->pid = 0;
    CHECK(take(writer.read(TunableId::listener_backlog, stale)) == 100);
    // What the kernel has no more is gone, whatever others have open.
    Scope ended = stale;
    ended.listener->inode = ended.listener->cookie = 1;
    CHECK(kind(writer.write(TunableId::listener_backlog, ended, 100, 200)) == Outcome::Kind::gone);
    // What it has is looked for everywhere, but not without end.
    stale.listener->inode = 1;
    const auto nowhere = writer.read(TunableId::listener_backlog, stale);
    REQUIRE_FALSE(nowhere);
    CHECK((nowhere.error().code == ETIME || nowhere.error().code == ETIMEDOUT)); // the latter on a busy machine
    CHECK(kind(writer.write(TunableId::listener_backlog, server.scope(), 100, 200)) == Outcome::Kind::written);
}

// Stopped, as one that sits in the kernel: the rehash of a large table, say.
TEST_CASE("what takes long costs itself its answer; others are refused at once, until the writer has caught up") {
    const Namespace netns;
    const Namespace other;
    auto writer = take(Writer::start());
    const pid_t pid = writer.pid();
    const auto before = somaxconn_in(netns);
    std::vector<std::uint64_t> told;
    writer.on_written([&](const ObjectKey&, std::uint64_t value) { told.push_back(value); });
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(pid, SIGSTOP) == 0);
    const std::string busy =
        fmt::format("the writer is still busy with a write of net.core.somaxconn of net:[{}]", netns.inode());

    const Outcome unknown = writer.write(TunableId::somaxconn, scope_of(netns), before, 1234);
    CHECK(kind(unknown) == Outcome::Kind::failed);
    CHECK_FALSE(writer.knows_outcome());
    CHECK(unknown.error == "no answer in time: " + busy);
    writer.set_patience(std::chrono::hours(1)); // nobody waits again
    const Outcome refused = writer.write(TunableId::somaxconn, scope_of(other), before, 1234);
    CHECK(kind(refused) == Outcome::Kind::failed);
    CHECK(refused.error == "not tried: " + busy);
    const auto read = writer.read(TunableId::somaxconn, scope_of(other));
    REQUIRE_FALSE(read);
    CHECK(read.error().code != ESTALE);
    CHECK(writer.visit(id_of(other), {}, {}).error().code != ESTALE);
    CHECK_FALSE(writer.catches_up(std::chrono::milliseconds(1)));
    CHECK(told.empty());

    REQUIRE(::kill(pid, SIGCONT) == 0);
    CHECK(writer.catches_up(std::chrono::minutes(1)));
    CHECK(told == std::vector<std::uint64_t>{1234}); // late, but written by us
    CHECK(somaxconn_in(netns) == 1234);
    CHECK(somaxconn_in(other) == before);
    CHECK(take(writer.read(TunableId::somaxconn, scope_of(netns))) == 1234);
    CHECK(kind(writer.write(TunableId::somaxconn, scope_of(other), before, 999)) == Outcome::Kind::written);
    CHECK(writer.pid() == pid);
}

TEST_CASE("of several writes those that were on their way may be made late, the others are not tried") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const auto before = somaxconn_in(netns);
    const auto decision = [&](std::uint64_t from, std::uint64_t to) {
        return Decision{.tunable = TunableId::somaxconn, .scope = scope_of(netns), .from = from, .to = to};
    };
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(writer.pid(), SIGSTOP) == 0);
    std::vector<bool> known;
    writer.write(std::array{decision(before, 200), decision(200, 300), decision(300, 400), decision(400, 500)},
                 [&](const Outcome& outcome) {
                     CHECK(kind(outcome) == Outcome::Kind::failed);
                     known.push_back(writer.knows_outcome());
                 });
    CHECK(known == std::vector{false, false, true, true});
    CHECK(somaxconn_in(netns) == before);
    REQUIRE(::kill(writer.pid(), SIGCONT) == 0);
    CHECK(writer.catches_up(std::chrono::minutes(1)));
    CHECK(somaxconn_in(netns) == 300);
}

TEST_CASE("descriptors that come late are closed") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const auto id = id_of(netns);
    const auto descriptors = open_descriptors(::getpid());
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(writer.pid(), SIGSTOP) == 0);
    CHECK_FALSE(writer.visit(id, {}, {sys::Netlink::sock_diag, true}));
    REQUIRE(::kill(writer.pid(), SIGCONT) == 0);
    CHECK(writer.catches_up(std::chrono::minutes(1)));
    CHECK(open_descriptors(::getpid()) == descriptors);
    CHECK(take(writer.visit(id, {}, {})).id == id);
}

TEST_CASE("a writer that ends while it is waited for is lost") {
    const Namespace netns;
    auto writer = take(Writer::start());
    const pid_t pid = writer.pid();
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(pid, SIGSTOP) == 0);
    CHECK_FALSE(writer.read(TunableId::somaxconn, scope_of(netns)));
    REQUIRE(::kill(pid, SIGKILL) == 0);
    CHECK_FALSE(writer.catches_up(std::chrono::minutes(1)));
    CHECK(writer.pid() == -1);
    CHECK(mentions(writer.read(TunableId::somaxconn, scope_of(netns)).error().message, "was killed by signal 9"));
}

TEST_CASE("a writer moves with its owner") {
    auto first = take(Writer::start());
    auto second = take(Writer::start());
    const pid_t replaced = second.pid();
    const pid_t kept = first.pid();
    second = std::move(first);
    CHECK(ends(replaced));
    CHECK(second.pid() == kept);
    const Namespace netns;
    CHECK(second.read(TunableId::somaxconn, scope_of(netns)));
}

TEST_CASE("a UDP socket's receive buffer is raised and put back, and who has set its size stays what it was") {
    const Namespace netns;
    Writer writer = take(Writer::start());
    for (const int asked : {0, 32768}) {
        const Datagrams datagrams(netns, AF_INET, asked);
        const Scope scope = scope_of_socket(netns, datagrams.fd());
        const auto before = static_cast<std::uint64_t>(datagrams.buffer());
        const auto locks = [&] {
            int bits = -1;
            socklen_t size = sizeof bits;
            must(::getsockopt(datagrams.fd(), SOL_SOCKET, 72, &bits, &size) == 0, "read SO_BUF_LOCK");
            return bits;
        };
        CHECK(take(writer.read(TunableId::udp_rcvbuf, scope)) == before);
        CHECK(kind(writer.write(TunableId::udp_rcvbuf, scope, before, 1048576)) == Outcome::Kind::written);
        CHECK(datagrams.buffer() == 1048576);
        CHECK(locks() == (asked == 0 ? 0 : 2));
        CHECK(kind(writer.write(TunableId::udp_rcvbuf, scope, before, 2097152)) == Outcome::Kind::conflict);
        CHECK(kind(writer.write(TunableId::udp_rcvbuf, scope, 1048576, 1048577)) == Outcome::Kind::failed);
        datagrams.send(300);
        CHECK(take(writer.in_use(TunableId::udp_rcvbuf, scope)) >= 300000);
        CHECK(kind(writer.lower(TunableId::udp_rcvbuf, scope, 1048576, before)) == Outcome::Kind::failed); // no room
        datagrams.read();
        CHECK(kind(writer.lower(TunableId::udp_rcvbuf, scope, 1048576, before)) == Outcome::Kind::written);
        CHECK(static_cast<std::uint64_t>(datagrams.buffer()) == before);
        CHECK(locks() == (asked == 0 ? 0 : 2));
    }
}

TEST_CASE("what is no UDP socket has no receive buffer of ours, and a closed one is gone") {
    const Namespace netns;
    Writer writer = take(Writer::start());
    const sys::Fd listener = listening(netns, 5);
    CHECK(kind(writer.write(TunableId::udp_rcvbuf, scope_of_listener(netns, listener), 131072, 1048576)) ==
          Outcome::Kind::failed);
    const sys::Fd raw = netns.inside([] { return sys::Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP)); });
    must(static_cast<bool>(raw), "make a raw socket");
    CHECK_FALSE(writer.read(TunableId::udp_rcvbuf, scope_of_socket(netns, raw.value())).has_value());
    std::optional<Datagrams> closed(netns);
    const Scope scope = scope_of_socket(netns, closed->fd());
    CHECK(writer.read(TunableId::udp_rcvbuf, scope).has_value());
    closed.reset();
    CHECK(writer.read(TunableId::udp_rcvbuf, scope).error().code == ESTALE);
}
