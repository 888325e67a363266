// SPDX-License-Identifier: Apache-2.0
// The service is killed: nothing that it wrote is lost, and nothing that is another's is touched.
#include <array>
#include <atomic>
#include <csignal>
#include <random>

#include "fixtures.hpp"
#include "service/boot.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
const std::string automatic = policy_text("killed", "mode: auto");

// Three namespaces of three listeners each.
class Town {
public:
    Town() {
        for (std::size_t i = 0; i < sites_.size(); ++i)
            for (std::uint16_t n = 0; n < 3; ++n) listeners_[i][n] = sites_[i].listen(port_of(n));
    }
    void bursts() const {
        for (std::size_t i = 0; i < sites_.size(); ++i)
            for (std::uint16_t n = 0; n < 3; ++n) sites_[i].burst(listeners_[i][n], port_of(n), 24);
    }
    [[nodiscard]] std::vector<std::uint64_t> values() const {
        std::vector<std::uint64_t> values;
        for (const Site& site : sites_) values.push_back(somaxconn_in(site.netns));
        for (const auto& of_site : listeners_)
            for (const sys::Fd& listener : of_site) values.push_back(limit_of(listener));
        return values;
    }

private:
    static std::uint16_t port_of(unsigned number) { return static_cast<std::uint16_t>(port + number); }

    std::array<Site, 3> sites_;
    std::array<std::array<sys::Fd, 3>, 3> listeners_;
};

// Half of them in the first moments of the burst, when the writes are.
std::chrono::microseconds some_moment(std::mt19937& random) {
    const int longest = random() % 2 == 0 ? 10'000 : 300'000;
    return std::chrono::microseconds(std::uniform_int_distribution(0, longest)(random));
}

void burst_until_killed(const Town& town, Service& service, std::chrono::microseconds moment) {
    std::atomic<bool> killed = false;
    const std::jthread killer([&] {
        std::this_thread::sleep_for(moment);
        service.kill();
        killed = true;
    });
    while (!killed) town.bursts();
}

bool is_open(const Json& change) { return change["state"] == "applied" || change["state"] == "kept"; }

} // namespace

TEST_CASE("kill -9 at fifty random moments leaves nothing that restore does not put back", "[any-kernel]") {
    const Home home;
    const Town town;
    home.set_policy(automatic);
    const auto original = town.values();
    const auto seed = std::random_device{}();
    std::mt19937 random(seed);

    // The rounds in which something had been written are counted: where the machine stalls there are more of the
    // others.
    int raised = 0;
    for (int round = 0; round < 50 || raised < 25; ++round) {
        REQUIRE(round < 150);
        const auto moment = some_moment(random);
        INFO("seed " << seed << ", round " << round << ", killed after " << moment.count() << " us");
        Running service(home, {.interval = "50ms"});
        burst_until_killed(town, service, moment);
        if (town.values() != original) ++raised;
        const Ran restored = home.restored();
        INFO(restored.out << restored.err);
        REQUIRE(restored.status == 0);
        REQUIRE(town.values() == original);
    }
    CHECK(std::ranges::none_of(home.history(), is_open));
}

TEST_CASE("values are adopted after kill -9, and restored through the service, which then observes until SIGHUP",
          "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    {
        Running service(home);
        site.burst(listener, port);
        REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
        service.kill();
    }
    const std::uint64_t raised = somaxconn_in(site.netns); // perhaps once more since, and the listener not yet
    const Running service(home);
    CHECK(service.err().find(fmt::format("adopted: net.core.somaxconn = {} (was 8)", raised)) != std::string::npos);
    CHECK(home.top()["mode"] == "auto");

    const Json lines = home.restore();
    CHECK(lines.size() == 2);
    for (const Json& line : lines) CHECK(line["result"] == "restored");
    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == 8);
    CHECK(home.top()["mode"] == "observe");
    const auto rows = home.history().size();
    site.burst(listener, port);
    const std::string seen = is_blind(sees_arrivals(home), "arrivals") ? "overflows" : "arrivals";
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)[seen] >= 9; }));
    CHECK(limit_of(listener) == 8);
    CHECK(home.history().size() == rows);

    service.signal(SIGHUP);
    REQUIRE(comes_true([&] { return home.top()["mode"] == "auto"; }));
    site.burst(listener, port);
    CHECK(comes_true([&] { return limit_of(listener) > 8; }));
}

TEST_CASE("a damaged journal is set aside by its name, and the node observed from then on, also by the next start",
          "[any-kernel]") {
    const Home home;
    home.set_policy(automatic);
    fs::create_directory(home.state());
    fs::permissions(home.state(), fs::perms{0750});
    write_text(home.state() + "/journal.db", std::string(8192, 'x'));
    const fs::path aside = home.state() + "/journal-damaged-" + take(bpftune::service::boot_id()) + ".db";
    for (int start = 0; start < 2; ++start) {
        Running service(home);
        const std::string said = "journal.db: damaged (file is not a database): set aside as " + aside.string();
        CHECK(service.err().contains(said) == (start == 0));
        CHECK(home.top()["mode"] == "observe");
        CHECK_THAT(home.top()["mode_reason"].get<std::string>(), Catch::Contains("set aside as " + aside.string()));
        service.kill();
    }
    CHECK(contents(aside) == std::string(8192, 'x'));

    const Running service(home);
    fs::remove(aside); // whoever does this takes what limits are there for the originals
    service.signal(SIGHUP);
    CHECK(comes_true([&] { return home.top()["mode"] == "auto"; }));
}

TEST_CASE("a journal that is gone is begun anew only where nothing was raised in this boot", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    const auto remove_journal = [&] {
        for (const std::string beside : {"", "-wal", "-shm"}) fs::remove(home.state() + "/journal.db" + beside);
    };
    {
        Running service(home);
        service.kill();
        remove_journal();
    }
    {
        Running service(home);
        CHECK(home.top()["mode"] == "auto");
        site.burst(listener, port);
        REQUIRE(comes_true([&] { return somaxconn_in(site.netns) > 8; }));
        service.kill();
        remove_journal();
    }
    const std::uint64_t raised = somaxconn_in(site.netns);
    const fs::path aside = home.state() + "/journal-damaged-" + take(bpftune::service::boot_id()) + ".db";
    for (int start = 0; start < 2; ++start) {
        Running service(home);
        const std::string said = "journal.db is missing, and changes of this boot were recorded in it: remembered by ";
        CHECK(service.err().contains(said + aside.string()) == (start == 0));
        CHECK(home.top()["mode"] == "observe");
        CHECK_THAT(home.top()["mode_reason"].get<std::string>(), Catch::Contains(aside.string() + " says so"));
        service.kill();
    }
    CHECK(somaxconn_in(site.netns) == raised);

    const Running service(home);
    fs::remove(aside);
    service.signal(SIGHUP);
    CHECK(comes_true([&] { return home.top()["mode"] == "auto"; }));
}

TEST_CASE("a journal that a power failure damaged keeps nothing from being written after it", "[any-kernel]") {
    const Home home;
    home.set_policy(automatic);
    fs::create_directory(home.state());
    fs::permissions(home.state(), fs::perms{0755});
    const std::string earlier = "00000000-0000-4000-8000-000000000001";
    write_text(home.state() + "/journal.db", std::string(8192, 'x'));
    write_text(home.state() + "/lock", "712       \n" + earlier + "\n");
    for (int start = 0; start < 2; ++start) {
        Running service(home);
        const std::string aside = home.state() + "/journal-damaged-" + earlier + ".db";
        CHECK(service.err().contains("set aside as " + aside) == (start == 0));
        CHECK(home.top()["mode"] == "auto");
        CHECK(contents(aside) == std::string(8192, 'x'));
        service.kill();
    }
    CHECK((fs::status(home.state()).permissions() & fs::perms::others_all) == fs::perms::none);
}

TEST_CASE("the node's own limits are put back after kill -9, by restore or by the next service when it ends",
          "[any-kernel]") {
    const LoneHome home;
    if (!fs::exists(conntrack_max)) return; // nf_conntrack is not loaded
    const NodeValue max(conntrack_max);
    const NodeValue buckets(conntrack_buckets);
    const auto are = [&](std::uint64_t of_max, std::uint64_t of_buckets) {
        return max.now() == of_max && buckets.now() == of_buckets;
    };
    const std::uint64_t more = max.original() + 1000;
    const std::uint64_t twice = 2 * buckets.original();
    home.set_policy(policy_text("kill", "mode: auto\n  onExit: restore",
                                fmt::format("    net.core.somaxconn: {{mode: observe}}\n"
                                            "    net.core.netdev_max_backlog: {{mode: observe}}\n"
                                            "    net.netfilter.nf_conntrack_max: {{min: {0}, max: {0}}}\n"
                                            "    net.netfilter.nf_conntrack_buckets: {{min: {1}, max: {1}}}\n",
                                            more, twice)));
    {
        Running service(home);
        REQUIRE(comes_true([&] { return are(more, twice); }));
        service.kill();
    }
    CHECK(are(more, twice));
    SECTION("restore") { CHECK(home.restore().size() == 2); }
    SECTION("the next service") {
        Running service(home);
        CHECK(are(more, twice));
        service.signal(SIGTERM);
        CHECK(service.wait() == 0);
    }
    CHECK(are(max.original(), buckets.original()));
}

TEST_CASE("a service whose writer ended ends, so that both are started anew", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running service(home);
    const pid_t writer = writer_of(service);
    must(::kill(writer, SIGKILL) == 0, "end the writer");
    CHECK(service.wait() == 1);
    CHECK(service.err().find("the writer has ended") != std::string::npos);
    CHECK(home.restored().status == 0);
    CHECK(somaxconn_in(site.netns) == 8);
}

TEST_CASE("a service whose writer takes long goes on, and settles what became of its writes by reading",
          "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running service(home);
    if (home.top()["sources"]["listen"] == "netlink") return; // it needs the writer to see the burst
    const pid_t writer = writer_of(service);
    must(::kill(writer, SIGSTOP) == 0, "stop the writer");
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return service.err().find("no answer: ") != std::string::npos; }));
    CHECK(home.top()["mode"] == "auto"); // it answers meanwhile
    must(::kill(writer, SIGCONT) == 0, "let the writer go on");
    REQUIRE(comes_true([&] {
        const Json rows = home.history();
        UNSCOPED_INFO(rows.dump() << service.err());
        return rows.size() >= 2 && is_open(rows[0]) && service.err().find("applied: ") != std::string::npos;
    }));
    CHECK(somaxconn_in(site.netns) > 8);
    CHECK(service.err().find("yielded") == std::string::npos);
    CHECK(service.err().find("released") == std::string::npos);
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(somaxconn_in(site.netns) == 8);
    CHECK(limit_of(listener) == 8);
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}

TEST_CASE("a namespace that was deleted and made again since is not written to") {
    const Home home;
    home.set_policy(automatic);
    std::uint64_t raised = 0;
    std::string name;
    {
        const Site site;
        const auto listener = site.listen(port);
        name = site.netns.name();
        Running service(home);
        site.burst(listener, port);
        REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
        service.kill();
        raised = limit_of(listener);
    }
    // What was written before looks as if it still were: only its identity tells.
    const Namespace again(name);
    again.write("sys/net/core/somaxconn", std::to_string(raised));
    const auto listener = again.inside([] { return listen_on("127.0.0.1", port, 1000); });
    const Process resident(again, [] { return std::uint64_t{0}; });

    SECTION("by restore") {
        const Json lines = home.restore();
        CHECK(lines.size() == 2);
        for (const Json& line : lines) CHECK(line["result"] == "gone");
    }
    SECTION("by a service that starts and restores") {
        const Running service(home);
        CHECK(service.err().find("adopted") == std::string::npos);
        for (const Json& line : home.restore()) CHECK(line["result"] == "gone");
    }
    CHECK(somaxconn_in(again) == raised);
    CHECK(limit_of(listener) == raised);
    CHECK(home.restore().empty());
}

TEST_CASE("a second service on the same state directory refuses to start", "[any-kernel]") {
    const Home home;
    home.set_policy(automatic);
    const Running first(home);
    const Ran second = run({"run", "--policy", home.policy(), "--state-dir", home.state(), "--socket",
                            home / "other.sock", "--listen", "none"});
    CHECK(second.status == 1);
    CHECK(second.err.find(fmt::format("pid {}", first.pid())) != std::string::npos);
    CHECK(second.err.find(home.state()) != std::string::npos);
    CHECK(home.top()["mode"] == "auto");
}
