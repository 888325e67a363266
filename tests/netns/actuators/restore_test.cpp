// SPDX-License-Identifier: Apache-2.0
#include "actuators/restore.hpp"

#include <array>
#include <chrono>
#include <map>
#include <vector>

#include "fixtures.hpp"
#include "netns/probes/traffic.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Journal;
using actuators::Restored;
using actuators::Writer;

namespace {

constexpr const char* boot = "8c4dd5ae-0000-4000-8000-000000000001";

void must_hold(const Result<>& result) {
    if (!result) throw std::runtime_error(result.error().message);
}

Scope scope_of(const Namespace& netns) { return {.netns = id_of(netns), .netns_pid = 0, .listener = {}, .pod = {}}; }

Change change_of(TunableId tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    Change change;
    change.tunable = tunable;
    change.scope = scope;
    change.from = std::to_string(from);
    change.to = std::to_string(to);
    change.state = ChangeState::applied;
    return change;
}

// As the service does it.
void apply(Journal& journal, Writer& writer, TunableId tunable, const Scope& scope, std::uint64_t from,
           std::uint64_t to) {
    const auto id = take(journal.begin(change_of(tunable, scope, from, to)));
    const Outcome outcome = writer.write(tunable, scope, from, to);
    if (outcome.kind != Outcome::Kind::written) throw std::runtime_error(outcome.error);
    must_hold(journal.written(id, {}));
}

std::vector<Restored::Kind> kinds(const std::vector<Restored>& all) {
    std::vector<Restored::Kind> kinds;
    for (const Restored& one : all) {
        UNSCOPED_INFO(one.error);
        kinds.push_back(one.kind);
    }
    return kinds;
}

using Kinds = std::vector<Restored::Kind>;

std::optional<ChangeState> last_state(const Journal& journal) {
    const auto rows = take(journal.history());
    return rows.empty() ? std::nullopt : std::optional(rows.back().state);
}

// A service that raises all the time, until it is killed. Its writer holds `alive` as long as it lives.
[[noreturn]] void raise_for_ever(const std::filesystem::path& directory, const Scope& netns, std::uint64_t somaxconn,
                                 const Scope& listener, int alive) {
    try {
        auto writer = take(Writer::start(std::array{alive}));
        auto journal = take(Journal::open(directory, boot));
        for (std::uint64_t step = 0;; ++step) {
            apply(journal, writer, TunableId::somaxconn, netns, somaxconn + step, somaxconn + step + 1);
            apply(journal, writer, TunableId::listener_backlog, listener, 16 + step, 17 + step);
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "raise_for_ever: {}\n", error.what());
    }
    ::_exit(1);
}

} // namespace

TEST_CASE("restore puts the first original back and settles the rows") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 8192, 16384);

    const auto all = take(restore(journal, writer));
    REQUIRE(kinds(all) == Kinds{Restored::Kind::restored});
    CHECK(all[0].found == "16384");
    CHECK(somaxconn_in(netns) == original);
    CHECK(last_state(journal) == ChangeState::restored);
    CHECK(take(restore(journal, writer)).empty());
}

TEST_CASE("a dry run writes neither value nor journal") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const Namespace foreign;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::somaxconn, scope_of(foreign), original, 8192);
    foreign.write("sys/net/core/somaxconn", "300");

    CHECK(kinds(take(restore(journal, writer, {.dry_run = true}))) ==
          Kinds{Restored::Kind::foreign, Restored::Kind::would_restore});
    CHECK(somaxconn_in(netns) == 8192);
    CHECK(last_state(journal) == ChangeState::applied);
    CHECK(take(journal.holdings()).size() == 2);
}

TEST_CASE("a write that was journalled and never made is settled") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    SECTION("the first") {
        take(journal.begin(change_of(TunableId::somaxconn, scope_of(netns), original, 8192)));
        CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::unchanged});
    }
    SECTION("one after others: what was there before it is ours") {
        apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
        take(journal.begin(change_of(TunableId::somaxconn, scope_of(netns), 8192, 16384)));
        CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::restored});
    }
    CHECK(somaxconn_in(netns) == original);
    CHECK(last_state(journal) == ChangeState::restored);
}

TEST_CASE(
    "the memory of fragments goes back as far as its lower threshold lets it, and to its original when that falls") {
    const auto [tunable, name] = GENERATE(std::pair{TunableId::ipfrag_high_thresh, "ipv4/ipfrag"},
                                          std::pair{TunableId::ip6frag_high_thresh, "ipv6/ip6frag"});
    const actuators::RestoreOptions options{.now = GENERATE(false, true)};
    const TemporaryDirectory directory;
    const Namespace netns;
    const std::string low = fmt::format("sys/net/{}_low_thresh", name);
    const std::string high = fmt::format("sys/net/{}_high_thresh", name);
    const auto value = [&](const std::string& file) { return std::stoull(netns.read(file)); };
    const auto originals = std::pair(value(low), value(high));
    REQUIRE(originals == std::pair(3145728ULL, 4194304ULL));
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, tunable, scope_of(netns), originals.second, 16777216);
    netns.write(low, "6291456"); // somebody's

    const auto refused = writer.write(tunable, scope_of(netns), 16777216, originals.second);
    CHECK(refused.kind == Outcome::Kind::failed);
    CHECK(refused.error.contains("_low_thresh is 6291456: the kernel takes no less"));

    const auto first = take(restore(journal, writer, options));
    REQUIRE(kinds(first) == Kinds{Restored::Kind::lowered});
    CHECK(first[0].needed_by.ends_with("_low_thresh, which is 6291456"));
    CHECK(value(high) == 8388608);
    CHECK(kinds(take(restore(journal, writer, options))) == Kinds{Restored::Kind::in_use});
    CHECK(value(low) == 6291456);

    netns.write(low, std::to_string(originals.first));
    CHECK(kinds(take(restore(journal, writer, options))) == Kinds{Restored::Kind::restored});
    CHECK(value(high) == originals.second);
}

TEST_CASE("what someone else set is reported and left") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 8192, 16384);
    netns.write("sys/net/core/somaxconn", "8192"); // ours once, but the later write was confirmed

    const auto all = take(restore(journal, writer));
    REQUIRE(kinds(all) == Kinds{Restored::Kind::foreign});
    CHECK(all[0].found == "8192");
    CHECK(somaxconn_in(netns) == 8192);
    CHECK(last_state(journal) == ChangeState::yielded);
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("a listener whose application called listen() again is let go of, and yielded to nobody") {
    const TemporaryDirectory directory;
    const Namespace netns;
    Server server(netns, 64);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 64, 1024);
    server.listen_again();

    const std::string why = "the application called listen() again and has 256 now: it is as it wants it";
    const auto dry = take(restore(journal, writer, {.dry_run = true}));
    REQUIRE(kinds(dry) == Kinds{Restored::Kind::foreign});
    CHECK(dry[0].error == why);
    CHECK(take(journal.holdings()).size() == 1);

    const auto all = take(restore(journal, writer));
    REQUIRE(kinds(all) == Kinds{Restored::Kind::foreign});
    CHECK(all[0].found == "256");
    CHECK(all[0].error == why);
    CHECK(server.facts().limit == 256);
    CHECK(last_state(journal) == ChangeState::kept);
    CHECK(take(journal.history()).back().why.ends_with("kept: " + why));
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("a namespace made again is not restored") {
    const TemporaryDirectory directory;
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    {
        const Namespace netns;
        apply(journal, writer, TunableId::somaxconn, scope_of(netns), somaxconn_in(netns), 8192);
    }
    const Namespace next;
    next.write("sys/net/core/somaxconn", "8192"); // looks just like ours
    CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::gone});
    CHECK(somaxconn_in(next) == 8192);
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("listeners are restored before the somaxconn that bounds them") {
    const TemporaryDirectory directory;
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "64");
    Server server(netns, 64);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 64, 1024);
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 64, 512);
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 1024, 2048);

    const auto all = take(restore(journal, writer));
    REQUIRE(kinds(all) == Kinds{Restored::Kind::restored, Restored::Kind::restored});
    CHECK(all[0].holding.tunable == TunableId::listener_backlog);
    CHECK(server.facts().limit == 64);
    CHECK(somaxconn_in(netns) == 64);
    CHECK(server.serves());
}

TEST_CASE("a listener goes back by steps as its queue is worked off, and somaxconn stays above it") {
    const TemporaryDirectory directory;
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "8");
    Server server(netns, 8);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 8, 1024);
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 8, 1024);
    const auto waiting = netns.inside([&] { return clients(200, "127.0.0.1", server.facts().port); });

    const auto dry = take(restore(journal, writer, {.dry_run = true}));
    CHECK(kinds(dry) == Kinds(2, Restored::Kind::would_lower));
    CHECK(dry[0].in_use == 200);
    CHECK(server.facts().limit == 1024);

    SECTION("as far as what waits has room, with headroom") {
        const auto all = take(restore(journal, writer));
        CHECK(kinds(all) == Kinds(2, Restored::Kind::lowered));
        CHECK(server.facts().limit == 512);
        CHECK(somaxconn_in(netns) == 512);
        CHECK(kinds(take(restore(journal, writer))) == Kinds(2, Restored::Kind::in_use));
        for (const actuators::Holding& left : take(journal.holdings())) {
            CHECK(left.original == "8");
            CHECK(left.current == "512");
            CHECK(left.undoing);
        }
        server.accept(197);
        CHECK(kinds(take(restore(journal, writer))) == Kinds(2, Restored::Kind::restored));
        CHECK(take(journal.holdings()).empty());
    }
    SECTION("at once where that is asked for: none of those that wait is lost") {
        CHECK(kinds(take(restore(journal, writer, {.now = true}))) == Kinds(2, Restored::Kind::restored));
        server.accept(200);
    }
    CHECK(server.facts().limit == 8);
    CHECK(somaxconn_in(netns) == 8);
}

TEST_CASE("handshakes under way are in use where SYNs are refused without cookies") {
    const TemporaryDirectory directory;
    const Namespace netns;
    netns.write("sys/net/ipv4/tcp_max_syn_backlog", "4096");
    netns.write("sys/net/ipv4/tcp_syncookies", "0");
    Server server(netns, 8);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 8, 1024);
    const LostLastAcks lost(netns);
    const auto under_way = netns.inside([&] { return clients(120, "127.0.0.1", server.facts().port); });
    REQUIRE(take(writer.in_use(TunableId::listener_backlog, server.scope())) == 120);

    SECTION("nothing goes below twice of them") {
        const auto dry = take(restore(journal, writer, {.dry_run = true}));
        REQUIRE(kinds(dry) == Kinds{Restored::Kind::would_lower});
        CHECK(dry[0].in_use == 120);
        CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::lowered});
        CHECK(server.facts().limit == 256);
        CHECK(writer.lower(TunableId::listener_backlog, server.scope(), 256, 8).value == 120);
        CHECK(server.facts().limit == 256);
        lost.end(); // their clients are told again, and answer again
        server.accept(120);
        CHECK(take(writer.in_use(TunableId::listener_backlog, server.scope())) == 0);
    }
    SECTION("with cookies nothing is lost to them") { netns.write("sys/net/ipv4/tcp_syncookies", "1"); }
    CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::restored});
    CHECK(server.facts().limit == 8);
}

TEST_CASE("handshakes of a neighbour at another port or address are not in use") {
    const Namespace netns;
    netns.write("sys/net/ipv4/tcp_syncookies", "0");
    const sys::Fd busy = netns.inside([] { return listen_on("127.0.0.1", 8080, 64); });
    const sys::Fd address = netns.inside([] { return listen_on("127.0.0.2", 8080, 64); });
    const sys::Fd port = netns.inside([] { return listen_on("127.0.0.1", 8081, 64); });
    auto writer = take(Writer::start());
    const LostLastAcks lost(netns);
    const auto under_way = netns.inside([] { return clients(20, "127.0.0.1", 8080); });
    CHECK(take(writer.in_use(TunableId::listener_backlog, scope_of_listener(netns, busy))) == 20);
    CHECK(take(writer.in_use(TunableId::listener_backlog, scope_of_listener(netns, address))) == 0);
    CHECK(take(writer.in_use(TunableId::listener_backlog, scope_of_listener(netns, port))) == 0);
}

TEST_CASE("nf_conntrack_max goes back as far as the fullest network namespace has room, be it one without a process") {
    const HostLock lock;
    const Scope init{.netns = take(sys::init_netns()), .netns_pid = 0, .listener = {}, .pod = {}};
    const std::string path = "/proc/sys/net/netfilter/nf_conntrack_max";
    const auto at_start = sys::read_number(path);
    if (!at_start) {
        WARN("nf_conntrack is not loaded");
        return;
    }
    const TemporaryDirectory directory;
    Namespace netns;
    track_connections(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    const auto others = take(writer.in_use(TunableId::conntrack_max, init));
    const std::uint64_t original = 2 * others + 100;
    const auto entries = static_cast<std::uint16_t>(original + 50);
    REQUIRE(writer.write(TunableId::conntrack_max, init, *at_start, original).kind == Outcome::Kind::written);
    apply(journal, writer, TunableId::conntrack_max, init, original, 64 * original);
    send_datagrams(netns, 9000, entries);
    REQUIRE(take(writer.in_use(TunableId::conntrack_max, init)) == entries);

    const auto dry = take(restore(journal, writer, {.dry_run = true}));
    REQUIRE(kinds(dry) == Kinds{Restored::Kind::would_lower});
    CHECK(dry[0].in_use == entries);
    CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::lowered});
    const auto step = take(sys::read_number(path));
    CHECK(step >= entries * 10 / 7);
    CHECK(step < 64 * original);
    CHECK(take(journal.holdings())[0].original == std::to_string(original));
    CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::in_use});
    const Outcome refused = writer.lower(TunableId::conntrack_max, init, step, original);
    CHECK(refused.kind == Outcome::Kind::failed);
    CHECK(refused.value == entries);

    netns.remove(); // its entries go with it, a moment later
    CHECK(comes_true([&] { return kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::restored}; }));
    CHECK(take(sys::read_number(path)) == original);
    CHECK(writer.write(TunableId::conntrack_max, init, original, *at_start).kind == Outcome::Kind::written);
}

TEST_CASE("the thresholds of a neighbour table go back from the least to the largest, as none is more than the next") {
    const HostLock lock;
    const Scope init{.netns = take(sys::init_netns()), .netns_pid = 0, .listener = {}, .pod = {}};
    const std::array thresholds{TunableId::neigh_gc_thresh3, TunableId::neigh_gc_thresh2, TunableId::neigh_gc_thresh1};
    const TemporaryDirectory directory;
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    std::map<TunableId, std::uint64_t> originals;
    for (const TunableId id : thresholds) {
        originals[id] = take(writer.read(id, init));
        apply(journal, writer, id, init, originals[id], 4 * originals[id]);
    }
    std::vector<TunableId> order;
    for (const Restored& line : take(restore(journal, writer))) {
        CHECK(line.kind == Restored::Kind::restored);
        order.push_back(line.holding.tunable);
    }
    CHECK(order == std::vector<TunableId>(thresholds.rbegin(), thresholds.rend()));
    for (const auto& [id, original] : originals) CHECK(take(writer.read(id, init)) == original);
}

TEST_CASE("what could not be put back stays held, for the next try") {
    const TemporaryDirectory directory;
    const Namespace netns;
    Server server(netns, 64);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 64, 512);
    netns.write("sys/net/core/somaxconn", "32");
    CHECK(kinds(take(restore(journal, writer))) == Kinds{Restored::Kind::failed});
    CHECK(server.facts().limit == 512);
    netns.write("sys/net/core/somaxconn", "4096");
    CHECK(kinds(take(restore(journal, writer, {.only_begun = true}))) == Kinds{Restored::Kind::restored});
    CHECK(server.facts().limit == 64);
}

TEST_CASE("a listener that no process shows a descriptor of stays held until somebody receives it") {
    const TemporaryDirectory directory;
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "64");
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    sys::Fd socket = listening(netns, 64);
    const Scope scope = scope_of_listener(netns, socket);
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 64, 1024);
    apply(journal, writer, TunableId::listener_backlog, scope, 64, 512);
    InFlight sent(std::move(socket));

    CHECK(kinds(take(restore(journal, writer, {.dry_run = true})))[0] == Restored::Kind::in_use);
    for (const bool now : {true, false}) {
        const auto all = take(restore(journal, writer, {.now = now}));
        REQUIRE(kinds(all)[0] == Restored::Kind::in_use);
        CHECK(all[0].error.starts_with("it is there still, but no process shows its descriptor"));
    }
    CHECK(take(journal.holdings()).back().undoing); // a service goes on with it

    SECTION("and goes back then") {
        const sys::Fd received = sent.receive();
        for (const Restored::Kind each : kinds(take(restore(journal, writer)))) CHECK(each == Restored::Kind::restored);
        CHECK(take(sys::accept_queue(received.value())).limit == 64);
        CHECK(somaxconn_in(netns) == 64);
    }
    SECTION("or is gone when nobody does") {
        {
            const sys::Fd received = sent.receive();
        }
        CHECK(comes_true([&] {
            restore(journal, writer).value();
            return take(journal.holdings()).empty();
        }));
    }
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("what the writer is too busy to put back stays held, and is put back as soon as it has caught up") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const Namespace other;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::somaxconn, scope_of(other), original, 8192);
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(writer.pid(), SIGSTOP) == 0);
    const auto left = take(restore(journal, writer));
    CHECK(kinds(left) == Kinds(2, Restored::Kind::failed));
    for (const Restored& each : left) CHECK(each.error.find("the writer is still busy with") != std::string::npos);
    CHECK(take(journal.holdings()).size() == 2);

    REQUIRE(::kill(writer.pid(), SIGCONT) == 0);
    writer.set_patience(std::chrono::minutes(1));
    const auto all = take(restore(journal, writer, {.patience = std::chrono::minutes(1)}));
    CHECK(kinds(all) == Kinds(2, Restored::Kind::restored));
    CHECK(somaxconn_in(netns) == original);
    CHECK(somaxconn_in(other) == original);
}

TEST_CASE("what is not reached in the time there was stays held, and is to go back", "[any-kernel]") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const auto original = somaxconn_in(netns);
    Server server(netns, 64);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 64, 512);

    const bool dry_run = GENERATE(true, false);
    const auto none = take(restore(journal, writer, {.dry_run = dry_run, .longest = Nanoseconds::zero()}));
    CHECK(kinds(none) == Kinds(2, Restored::Kind::not_reached));
    CHECK(somaxconn_in(netns) == 8192);
    const auto held = take(journal.holdings());
    REQUIRE(held.size() == 2);
    for (const actuators::Holding& each : held) CHECK(each.undoing == !dry_run);
    if (dry_run) return;

    CHECK(kinds(take(restore(journal, writer, {.only_begun = true}))) == Kinds(2, Restored::Kind::restored));
    CHECK(somaxconn_in(netns) == original);
    CHECK(server.facts().limit == 64);
}

TEST_CASE("restore leaves out what somebody else puts back") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const Namespace other;
    const auto original = somaxconn_in(netns);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), original, 8192);
    apply(journal, writer, TunableId::somaxconn, scope_of(other), original, 8192);
    REQUIRE(journal.all_undoing());
    const auto is_others = [&](const ObjectKey& object) { return object.netns.inode == other.inode(); };
    const auto all = take(restore(journal, writer, {.only_begun = true, .left_out = is_others}));
    CHECK(kinds(all) == Kinds{Restored::Kind::restored});
    CHECK(somaxconn_in(netns) == original);
    CHECK(somaxconn_in(other) == 8192);
    const auto left = take(journal.holdings());
    REQUIRE(left.size() == 1);
    CHECK(left[0].undoing);
}

TEST_CASE("restore begins where it is told to, and a somaxconn whose listeners come later waits for them") {
    const TemporaryDirectory directory;
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "64");
    Server server(netns, 64);
    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    apply(journal, writer, TunableId::somaxconn, scope_of(netns), 64, 1024);
    apply(journal, writer, TunableId::listener_backlog, server.scope(), 64, 512);
    const auto first = take(journal.holdings()).front().rows.front();

    const auto all = take(restore(journal, writer, {.first = first}));
    REQUIRE(kinds(all) == Kinds{Restored::Kind::lowered, Restored::Kind::restored});
    CHECK(all[0].holding.tunable == TunableId::somaxconn);
    CHECK(all[0].needed_by.ends_with("which stays at 512"));
    CHECK(server.facts().limit == 64);
    CHECK(somaxconn_in(netns) == 512);
    CHECK(kinds(take(restore(journal, writer, {.only_begun = true}))) == Kinds{Restored::Kind::restored});
    CHECK(somaxconn_in(netns) == 64);
}

TEST_CASE("who is killed while it restores leaves the rest to the next", "[any-kernel]") {
    constexpr std::size_t count = 200;
    const TemporaryDirectory directory;
    const Namespace netns;
    std::vector<sys::Fd> sockets;
    for (std::size_t i = 0; i < count; ++i) sockets.push_back(listening(netns, 64));
    {
        auto writer = take(Writer::start());
        auto journal = take(Journal::open(directory.path(), boot));
        for (const sys::Fd& each : sockets)
            apply(journal, writer, TunableId::listener_backlog, scope_of_listener(netns, each), 64, 512);
    }
    const auto left = [&] { return take(take(Journal::open_read_only(directory.path(), boot)).holdings()); };
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        auto writer = take(Writer::start());
        auto journal = take(Journal::open(directory.path(), boot));
        (void)restore(journal, writer);
        ::_exit(0);
    }
    (void)comes_true([&] { return left().size() < count; });
    REQUIRE(::kill(pid, SIGKILL) == 0);
    REQUIRE(::waitpid(pid, nullptr, 0) == pid);
    for (const actuators::Holding& each : left()) CHECK(each.undoing);

    auto writer = take(Writer::start());
    auto journal = take(Journal::open(directory.path(), boot));
    for (const Restored& one : take(restore(journal, writer)))
        CHECK((one.kind == Restored::Kind::restored || one.kind == Restored::Kind::unchanged));
    for (const sys::Fd& each : sockets) CHECK(take(sys::accept_queue(each.value())).limit == 64);
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("after kill -9 at any moment restore finds the originals", "[any-kernel]") {
    const TemporaryDirectory directory;
    const Namespace netns;
    const auto original = somaxconn_in(netns);
    Server server(netns, 16);
    const Scope listener = server.scope();
    std::minstd_rand random(Catch::rngSeed() + 1);
    for (int round = 0; round < 20; ++round) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const sys::Fd all_ended(ends[0]);
        sys::Fd alive(ends[1]);
        const pid_t pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid == 0) raise_for_ever(directory.path(), scope_of(netns), original, listener, alive.value());
        alive.reset();
        ::usleep(static_cast<useconds_t>(random() % 20000));
        REQUIRE(::kill(pid, SIGKILL) == 0);
        int status = 0;
        REQUIRE(::waitpid(pid, &status, 0) == pid);
        REQUIRE(WIFSIGNALED(status)); // it did not end by itself
        char none = 0;
        REQUIRE(::read(all_ended.value(), &none, 1) == 0); // nor is its writer in the middle of a last write

        auto writer = take(Writer::start());
        auto journal = take(Journal::open(directory.path(), boot));
        for (const Restored& one : take(restore(journal, writer)))
            CHECK((one.kind == Restored::Kind::restored || one.kind == Restored::Kind::unchanged));
        CHECK(somaxconn_in(netns) == original);
        CHECK(server.facts().limit == 16);
        CHECK(take(journal.holdings()).empty());
    }
}
