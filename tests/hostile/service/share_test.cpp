// SPDX-License-Identifier: Apache-2.0
// Workloads that would have the memory budget of the node, its limits or its history for themselves.
#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "controller/invariants.hpp"
#include "netns/cgroup.hpp"
#include "workload.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t budget = 8 * mebibyte;
constexpr std::uint64_t share = budget / 10; // of each tenant, as by default
const std::string with_budget = "mode: auto\n  memoryBudget: 8MiB";
const std::string own = "{match: {netns: \"" + own_namespaces + "*\"}}";

// Tells a process that was forked since that it may begin.
class Start {
public:
    void give() const { must(::eventfd_write(event_.value(), 1) == 0, "give the start"); }
    [[nodiscard]] bool is_given() const { return await(event_, POLLIN, 0); }

private:
    sys::Fd event_{::eventfd(0, EFD_CLOEXEC)};
};

// A burst whose connections come one by one: a raise for it is little more than for what waits.
void trickle(const sys::Fd& listener, std::size_t count) {
    std::vector<sys::Fd> waiting;
    while (waiting.size() < count) {
        waiting.push_back(std::move(clients(1, "127.0.0.1", port).front()));
        std::this_thread::sleep_for(1ms);
    }
    accept_all(listener);
}

bool is_of(const Json& row, const Namespace& netns) { return row["scope"]["netns"] == netns.inode(); }

// What the newest raise of each object is charged with, of those that `is_asked`, in bytes.
template <class IsAsked> std::uint64_t charged(const Json& history, IsAsked is_asked) {
    std::map<std::string, std::uint64_t> newest;
    for (const Json& row : history)
        if (row["evidence"].contains("cost_bytes") && is_asked(row))
            newest[row["tunable"].dump() + row["scope"].dump()] = row["evidence"]["cost_bytes"];
    std::uint64_t sum = 0;
    for (const auto& [object, bytes] : newest) sum += bytes;
    return sum;
}

std::uint64_t charged_in(const Json& history, const Namespace& netns) {
    return charged(history, [&](const Json& row) { return is_of(row, netns); });
}

// Whether some row of history says so, or comes to say so.
bool comes_to_say(const Attacked& attacked, const std::string& words) {
    return comes_true([&] {
        return std::ranges::any_of(attacked.history(), [&](const Json& row) {
            return row["why"].get_ref<const std::string&>().contains(words);
        });
    });
}

void check_budget(const Attacked& attacked) {
    CHECK(attacked.metric("bpftune_memory_budget_bytes") == budget);
    CHECK(attacked.metric("bpftune_memory_charged_bytes") <= budget);
}

// Servers of nobody's, each in user and network namespaces of its own, and each with a burst every three seconds.
class UsersServers {
public:
    static constexpr int count = 280;

    // `are_left_alone`: who is not ends the attack.
    explicit UsersServers(bool are_left_alone) : are_left_alone_(are_left_alone) {}

    void operator()() {
        for (; made_ < count; ++made_) begin();
        std::this_thread::sleep_for(100ms);
        must(::waitpid(-1, nullptr, WNOHANG) == 0, "keep all servers");
    }

private:
    void begin() const {
        const pid_t parent = ::getpid();
        const pid_t pid = ::fork();
        must(pid >= 0, "fork");
        if (pid != 0) return;
        must(unshare_netns(), "unshare");
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(::getppid() == parent, "begin in time");
        must(sys::write_file(own_somaxconn, "8").has_value(), "set somaxconn");
        const sys::Fd listener = listen_on("127.0.0.1", port, 1000);
        while (true) {
            trickle(listener, 12);
            must(!are_left_alone_ || limit_of(listener) == 8, "be left alone");
            std::this_thread::sleep_for(3s);
        }
    }

    bool are_left_alone_;
    int made_ = 0;
};

// Asks and answers by UDP: ever more conversations, all of which go on.
class Conversations {
public:
    void operator()() {
        if (servers_.empty()) {
            servers_ = sockets(first_server, 100);
            clients_ = sockets(first_client, 200);
        }
        constexpr std::size_t more = 250; // some are assured before the table is full
        under_way_ = std::min(under_way_ + more, servers_.size() * clients_.size());
        for (std::size_t i = 0; i < under_way_; ++i) go_on(i % servers_.size(), i / servers_.size());
        std::this_thread::sleep_for(50ms);
    }

private:
    static constexpr std::size_t first_server = 20'000; // their ports
    static constexpr std::size_t first_client = 30'000;

    static std::vector<sys::Fd> sockets(std::size_t first_port, std::size_t count) {
        std::vector<sys::Fd> made;
        for (std::size_t i = 0; i < count; ++i) {
            made.push_back(datagram_socket("127.0.0.1", static_cast<std::uint16_t>(first_port + i)));
            must(static_cast<bool>(made.back()), "bind");
        }
        return made;
    }
    static void send(const sys::Fd& from, std::size_t to_port) {
        const sockaddr_in to = address_of("127.0.0.1", static_cast<std::uint16_t>(to_port));
        (void)::sendto(from.value(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    // A full table may take neither.
    void go_on(std::size_t server, std::size_t client) const {
        char byte = 0;
        send(clients_[client], first_server + server);
        if (::recv(servers_[server].value(), &byte, 1, 0) == 1) send(servers_[server], first_client + client);
        (void)::recv(clients_[client].value(), &byte, 1, 0);
    }

    std::vector<sys::Fd> servers_;
    std::vector<sys::Fd> clients_;
    std::size_t under_way_ = 0;
};

} // namespace

TEST_CASE("280 user namespaces with a burst each are left alone, and have one allowance of findings") {
    if (!users_have_somaxconn(UsersServers::count)) return;
    hurts_nobody(UsersServers(true),
                 {.service = {.policy = policy_text_for(own, "attacked", with_budget, {}, "recommend")},
                  .before_victim =
                      [](const Attacked& attacked, const Namespace& /*netns*/) {
                          CHECK(comes_to_say(attacked, "; no more such findings of this network namespace"));
                          CHECK(charged(attacked.history(), [](const Json& /*row*/) { return true; }) == 0);
                      },
                  .after_victim =
                      [](const Attacked& attacked, const Namespace& /*netns*/) {
                          const std::string who = fmt::format("left alone: in a user namespace of uid {}", nobody);
                          const auto findings = std::ranges::count_if(attacked.history(), [&](const Json& row) {
                              return row["why"].get_ref<const std::string&>().contains(who);
                          });
                          CHECK(static_cast<std::size_t>(findings) <= controller::findings_an_hour_of_netns);
                      }});
}

TEST_CASE("280 user namespaces that the policy lets in are one tenant, and another's raise still fits") {
    if (!users_have_somaxconn(UsersServers::count)) return;
    const Hierarchy hierarchy(CgroupVersion::v2);
    const std::string unit = random_name("bpftune-") + ".scope";
    const Cgroup cgroup(hierarchy, unit);
    hurts_nobody(
        UsersServers(false),
        {.service = {.policy = policy_text_for(own + ", {match: {unit: " + unit + "}}", "attacked", with_budget)},
         .enter = [&] { cgroup.enter(); },
         .before_victim =
             [&](const Attacked& attacked, const Namespace& /*netns*/) {
                 CHECK(comes_to_say(attacked, "tenantShare of " + unit));
                 const Json history = attacked.history();
                 const std::uint64_t bytes = charged(history, [](const Json& /*row*/) { return true; });
                 CHECK(bytes > 0);
                 CHECK(bytes <= 2 * share); // one raise may go past it, and each of these is far smaller
             },
         .after_victim = [](const Attacked& attacked, const Namespace& /*netns*/) { check_budget(attacked); }});
}

TEST_CASE("18 idle listeners that are granted along with a raise take no more than their tenant's share") {
    constexpr std::size_t listeners = 1 + 18;
    const Start start;
    const auto is_granted_along = [](const Json& row, const Namespace& netns) {
        return is_of(row, netns) && row["evidence"].contains("cost_bytes") && row["scope"]["listener"].is_object() &&
               row["scope"]["listener"]["port"] > port;
    };
    hurts_nobody(
        [&start, made = std::vector<sys::Fd>()]() mutable {
            while (made.size() < listeners)
                made.push_back(listen_on("127.0.0.1", static_cast<std::uint16_t>(port + made.size()), 65'535));
            if (start.is_given()) trickle(made.front(), 20);
            std::this_thread::sleep_for(100ms);
        },
        {.service = {.policy = policy_text("attacked", with_budget)},
         .prepare =
             [](const Namespace& netns) {
                 netns.write("sys/net/core/somaxconn", "8");
                 netns.write("sys/net/ipv4/tcp_max_tw_buckets", "0"); // bursts without end never run out of ports
             },
         .before_victim =
             [&](const Attacked& attacked, const Namespace& netns) {
                 CHECK(comes_true([&] {
                     const Json rows = attacked.shown()["listeners"];
                     const auto is_its_own = [&](const Json& row) { return row["netns"] == netns.inode(); };
                     return std::cmp_equal(std::ranges::count_if(rows, is_its_own), listeners);
                 }));
                 start.give();
                 CHECK(comes_true([&] {
                     const auto is_one = [&](const Json& row) { return is_granted_along(row, netns); };
                     return std::ranges::any_of(attacked.history(), is_one);
                 }));
                 CHECK(charged_in(attacked.history(), netns) <= share);
             },
         .after_victim =
             [](const Attacked& attacked, const Namespace& netns) {
                 CHECK(charged_in(attacked.history(), netns) <= share);
                 check_budget(attacked);
             }});
}

TEST_CASE("a connection table that is full of answered UDP leaves another's raise its room in the budget") {
    if (!fs::exists(conntrack_max)) {
        WARN("nf_conntrack is not loaded");
        return;
    }
    const std::string tunable = "net.netfilter.nf_conntrack_max";
    static constexpr std::uint64_t max = 65'536;
    const std::string bounds = fmt::format("    {}: {{max: {}}}\n", tunable, max);
    hurts_nobody(Conversations(),
                 {.service = {.policy = policy_text("attacked", with_budget, bounds), .node = {{conntrack_max, 4096}}},
                  .prepare = track_connections,
                  .before_victim =
                      [&](const Attacked& attacked, const Namespace& netns) {
                          Json row;
                          CHECK(comes_true([&] {
                              row = row_where(attacked.history(), {{"tunable", tunable}});
                              return row.is_object();
                          }));
                          INFO(row.dump(1));
                          CHECK_THAT(row["why"].get<std::string>(),
                                     Catch::Contains(fmt::format("netns {}", netns.inode())) &&
                                         !Catch::Contains("flood") && !Catch::Contains("unanswered"));
                      },
                  .after_victim =
                      [](const Attacked& attacked, const Namespace& /*netns*/) {
                          CHECK(take(sys::read_number(conntrack_max)) <= max);
                          check_budget(attacked);
                      }});
}
