// SPDX-License-Identifier: Apache-2.0
#include "probes/bound_namespaces.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace bpftune;
using namespace bpftune::probes;
using namespace std::chrono_literals;

namespace {

sys::Fd file_of(const std::string& text) {
    sys::Fd file(::memfd_create("text", MFD_CLOEXEC));
    if (::write(file.value(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::bad_alloc();
    return file;
}

// Namespaces without a network behind them, which count how often somebody comes.
struct World {
    struct Netns {
        std::uint64_t cookie = 0;
        int time_wait = 0;
        int sockets = 0;
        int visits = 0;
    };
    std::map<std::uint32_t, Netns> all;
    std::vector<sys::BoundNetns> bound;
    BoundNamespaces reader{[this](const NetnsId& id, const sys::NetnsHint& hint, const sys::Wanted& wanted) {
        return visit(id, hint, wanted);
    }};
    MonoTime now{1s};
    bool busy_writer = false;

    explicit World(std::uint32_t count) {
        for (std::uint32_t i = 1; i <= count; ++i) {
            all[i] = {.cookie = 100 + i};
            bound.push_back({i, fmt::format("/run/netns/n{}", i)});
        }
    }
    Result<sys::Visit> visit(const NetnsId& id, const sys::NetnsHint& hint, const sys::Wanted& wanted) {
        CHECK(hint.path == fmt::format("/run/netns/n{}", id.inode));
        CHECK(wanted.counters);
        Netns& netns = all[id.inode];
        ++netns.visits;
        if (busy_writer) return std::unexpected(Error{"busy", ETIME});
        if (id.cookie != 0 && id.cookie != netns.cookie) return std::unexpected(Error{"another one", ESTALE});
        return sys::Visit{.id = {.cookie = netns.cookie, .inode = id.inode},
                          .sysctls = {.somaxconn = 128},
                          .socket = {},
                          .netstat = file_of("TcpExt: TW ListenOverflows\nTcpExt: 5 7\n"),
                          .sockstat = file_of(fmt::format("sockets: used {}\nTCP: inuse 0 orphan 0 tw {}\n",
                                                          netns.sockets, netns.time_wait))};
    }
    std::vector<NetnsReading> look(std::vector<NetnsReading> seen = {}) {
        now += 1s;
        reader.add_to(seen, bound, false, now);
        return seen;
    }
    int visits_in(int looks) {
        for (auto& [inode, netns] : all) netns.visits = 0;
        for (int i = 0; i < looks; ++i) static_cast<void>(look());
        int sum = 0;
        for (const auto& [inode, netns] : all) sum += netns.visits;
        return sum;
    }
};

} // namespace

TEST_CASE("a namespace that no process is in is read by its bound file") {
    World world(1);
    world.all[1].time_wait = 3;
    const auto readings = world.look();
    REQUIRE(readings.size() == 1);
    CHECK(readings[0].netns == NetnsId{.cookie = 101, .inode = 1});
    CHECK(readings[0].path == "/run/netns/n1");
    CHECK(readings[0].pid == 0);
    CHECK(readings[0].somaxconn == 128U);
    CHECK(readings[0].listen_overflows == 7);
    CHECK(readings[0].time_waited == 5);
    CHECK(readings[0].time_wait_sockets == 3);
    CHECK_FALSE(readings[0].has_sockets);
}

TEST_CASE("one that cannot be looked into just now is not gone") {
    World world(1);
    world.all[1].sockets = 1;
    const MonoTime read = world.look().at(0).read;
    world.busy_writer = true;
    for (int i = 0; i < 3; ++i) {
        const auto readings = world.look();
        REQUIRE(readings.size() == 1);
        CHECK(readings[0].netns == NetnsId{.cookie = 101, .inode = 1});
        CHECK(readings[0].read == read);
    }
    world.busy_writer = false;
    CHECK(world.look().at(0).read > read);
    world.bound.clear();
    CHECK(world.look().empty());
}

TEST_CASE("a namespace that is seen otherwise is not looked into, however it is bound") {
    World world(2);
    const auto readings = world.look({NetnsReading{.netns = {.cookie = 101, .inode = 1}, .pid = 7}});
    CHECK(readings.size() == 2);
    CHECK(world.all[1].visits == 0);
    CHECK(world.all[2].visits == 1);
}

TEST_CASE("of thousands of bound namespaces a few are looked into in a second, and all of them in turn") {
    World world(2000);
    CHECK(world.look().size() == BoundNamespaces::most_at_first);
    CHECK(world.visits_in(10) == 10 * BoundNamespaces::most_idle);
    CHECK(world.look().size() == BoundNamespaces::most_at_first + 11 * BoundNamespaces::most_idle); // new ones first
    CHECK(world.visits_in(149) == 149 * BoundNamespaces::most_idle);
    CHECK(world.look().size() == 2000);
    world.visits_in(200);
    CHECK(std::ranges::all_of(world.all, [](const auto& entry) { return entry.second.visits == 1; }));
}

TEST_CASE("one in use is looked into each time, whatever else is bound, and not more often in a burst") {
    World world(1000);
    world.look();
    world.all[77].sockets = 1;
    world.visits_in(200);
    world.visits_in(5);
    CHECK(world.all[77].visits == 5);
    for (int i = 0; i < 4; ++i) {
        world.now += 20ms - 1s;
        world.look();
    }
    CHECK(world.all[77].visits == 5);
}

TEST_CASE("however many are in use, so many are looked into in a second and no more, in turn") {
    World world(100);
    for (auto& [inode, netns] : world.all) netns.time_wait = 1;
    world.look();
    CHECK(world.visits_in(5) == 5 * BoundNamespaces::most_busy);
    CHECK(std::ranges::all_of(world.all, [](const auto& entry) { return entry.second.visits >= 1; }));
}

TEST_CASE("one that was made anew under the same name and number is another one") {
    World world(1);
    world.look();
    world.all[1].cookie = 999;
    const auto readings = world.look();
    REQUIRE(readings.size() == 1);
    CHECK(readings[0].netns.cookie == 999);
}

TEST_CASE("one that is not bound any more is gone") {
    World world(2);
    world.look();
    world.bound.pop_back();
    CHECK(world.look().size() == 1);
}
