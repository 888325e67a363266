// SPDX-License-Identifier: Apache-2.0
// What the service does for UDP sockets that bursts overflow, and for those that nobody reads.
#include <atomic>

#include "netns/probes/datagrams.hpp"
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr int burst = 400; // about 92 of them fit in net.core.rmem_default
constexpr const char* tunable = "udp.rcvbuf";

// Whether the application has set the size (SO_BUF_LOCK).
int locks(const Datagrams& datagrams) {
    int bits = -1;
    socklen_t size = sizeof bits;
    must(::getsockopt(datagrams.fd(), SOL_SOCKET, 72, &bits, &size) == 0, "read SO_BUF_LOCK");
    return bits;
}

// Four times a second, until its end: a burst that is read at once, and one of which hardly anything is.
class Load {
public:
    explicit Load(const std::vector<const Datagrams*>& bursts, const Datagrams* slow = nullptr)
        : thread_([this, bursts, slow] {
              while (!done_) {
                  for (const Datagrams* each : bursts) each->send(burst);
                  for (const Datagrams* each : bursts) each->read();
                  if (slow != nullptr) slow->send(burst);
                  if (slow != nullptr) slow->read(5);
                  ::poll(nullptr, 0, 250);
              }
          }) {}
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load() {
        done_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> done_ = false;
    std::thread thread_;
};

Json row_of(const Json& top, const Datagrams& datagrams) {
    for (const Json& row : top["udp"])
        if (row["port"] == datagrams.port()) return row;
    return nullptr;
}

Json change_of(const Json& history, const Datagrams& datagrams, const std::string& state) {
    for (const Json& change : history)
        if (change["tunable"] == tunable && change["state"] == state &&
            change["scope"]["listener"]["port"] == datagrams.port())
            return change;
    return nullptr;
}

// Without the right to see them, or on a kernel that shows none.
bool is_unseen(const Home& home) { return !home.top().contains("udp"); }

} // namespace

TEST_CASE("a UDP socket that bursts overflow gets the buffer that they fill, one that is read too slowly does not") {
    const Home home;
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    home.set_policy(policy_text("datagrams", "mode: auto\n  memoryBudget: 256MiB"));
    const Datagrams bursts(netns);
    const Datagrams slow(netns);
    const int before = bursts.buffer();
    const Running service(home);
    if (is_unseen(home)) return;
    {
        const Load load({&bursts}, &slow);
        const bool raised = comes_true([&] { return bursts.buffer() > before; });
        INFO(home.top()["udp"].dump(1) << service.err());
        REQUIRE(raised);
        CHECK(locks(bursts) == 0); // it is no size of the application's
        REQUIRE(comes_true([&] { return change_of(home.history(), bursts, "kept").is_object(); }));
        CHECK(comes_true([&] { return change_of(home.history(), slow, "advice").is_object(); }));
        const Json lost = row_of(home.top(), bursts)["overflows"];
        CHECK(comes_true([&] { return row_of(home.top(), slow)["overflows"] > 10000; })); // while that goes on
        CHECK(row_of(home.top(), bursts)["overflows"] == lost);
    }
    CHECK(slow.buffer() == before);
    const Json advice = change_of(home.history(), slow, "advice");
    CHECK(mentions(advice["why"], "it is read too slowly, or not at all"));
    const Json raise = change_of(home.history(), bursts, "kept");
    CHECK(raise["from"] == std::to_string(before));
    CHECK(mentions(raise["why"], "datagrams"));

    REQUIRE(home.restore().size() == 1);
    CHECK(bursts.buffer() == before);
    CHECK(locks(bursts) == 0);
}

TEST_CASE("a size that an application has set is raised only where the policy names udp.rcvbuf, and stays its own") {
    const Home home;
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    const Datagrams fixed(netns, AF_INET6, 32768);
    const int before = fixed.buffer();
    home.set_policy(policy_text("datagrams", "mode: auto\n  memoryBudget: 256MiB"));
    const Running service(home);
    if (is_unseen(home)) return;
    const Load load({&fixed});
    REQUIRE(comes_true([&] { return change_of(home.history(), fixed, "recommended").is_object(); }));
    CHECK(mentions(change_of(home.history(), fixed, "recommended")["why"], "needs udp.rcvbuf named in the policy"));
    CHECK(fixed.buffer() == before);

    home.set_policy(policy_text("datagrams", "mode: auto\n  memoryBudget: 256MiB", "    udp.rcvbuf: {max: 1MiB}\n"));
    service.signal(SIGHUP);
    const bool raised = comes_true([&] { return fixed.buffer() > before; });
    INFO(home.history().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(locks(fixed) == 2); // SOCK_RCVBUF_LOCK
    CHECK(home.restore().size() == 1);
    CHECK(fixed.buffer() == before);
    CHECK(locks(fixed) == 2);
}

TEST_CASE("a buffer that an earlier run has raised is adopted, dropped from or not, and put back by restore",
          "[any-kernel]") {
    const Home home;
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    home.set_policy(policy_text("datagrams", "mode: auto\n  memoryBudget: 256MiB"));
    const Datagrams bursts(netns);
    const int before = bursts.buffer();
    int raised = 0;
    {
        const Running service(home);
        if (is_unseen(home)) return;
        const Load load({&bursts});
        REQUIRE(comes_true([&] { return change_of(home.history(), bursts, "kept").is_object(); }));
        raised = bursts.buffer();
    }
    REQUIRE(raised > before);
    const Running service(home);
    CHECK(mentions(service.err(), "adopted: udp.rcvbuf"));
    for (int i = 0; i < 3; ++i) {
        const Json time = home.top()["time"];
        REQUIRE(comes_true([&] { return home.top()["time"] != time; }));
    }
    CHECK(row_of(home.top(), bursts)["buffer"] == raised);
    CHECK(bursts.buffer() == raised);
    REQUIRE(home.restore().size() == 1);
    CHECK(bursts.buffer() == before);
}
