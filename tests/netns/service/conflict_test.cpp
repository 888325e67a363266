// SPDX-License-Identifier: Apache-2.0
// Someone else's hand on values that the service holds.
#include "core/text.hpp"
#include "fixtures.hpp"
#include "http_client.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr auto name = "net.core.somaxconn";
constexpr auto path = "/proc/sys/net/core/somaxconn";

// A process in the site that sets somaxconn when it is told to.
class Hand {
public:
    Hand(const Site& site, const std::string& command) {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        to_ = sys::Fd(ends[1]);
        const sys::Fd from(ends[0]);
        process_.emplace(site.netns, [&] {
            ::prctl(PR_SET_NAME, command.c_str());
            if (::fork() == 0) serve(from.value()); // of the same name
            return std::uint64_t{0};
        });
    }
    void set(std::uint64_t value) const { must(::write(to_.value(), &value, sizeof value) == sizeof value, "tell"); }

private:
    [[noreturn]] static void serve(int from) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::uint64_t value = 0;
        while (::read(from, &value, sizeof value) == sizeof value)
            static_cast<void>(sys::write_file(path, std::to_string(value)));
        ::_exit(0);
    }

    sys::Fd to_;
    std::optional<Process> process_;
};

bool sees_who(const Home& home) { return home.top()["sources"]["sysctl"] == "cgroup"; }

// A site whose somaxconn the service has raised.
struct Raised {
    Home home;
    Site site;
    sys::Fd listener = site.listen(port);
    std::unique_ptr<Running> service;
    std::uint64_t value = 0;

    explicit Raised(const std::string& spec) {
        home.set_policy(policy_text("conflict", spec));
        service = std::make_unique<Running>(home, Service::Settings{.listen = "127.0.0.1:0"});
        site.burst(listener, port);
        must(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == now(); }), "a raise");
        ticks(1); // the correction after the burst has been made
        value = now();
    }
    [[nodiscard]] std::uint64_t now() const { return somaxconn_in(site.netns); }
    [[nodiscard]] Json newest_change() const { return newest(home.history(), site, name); }

    // Lets that many whole ticks pass.
    void ticks(int count) const {
        for (int i = 0; i <= count; ++i) {
            const Json before = home.top()["time"];
            must(comes_true([&] { return home.top()["time"] != before; }), "a tick");
        }
    }
    // How its row says it.
    [[nodiscard]] std::string who(const std::string& command) const {
        return sees_who(home) ? command : "someone else";
    }
};

bool has(const Json& text, const std::string& part) {
    return text.is_string() && text.get<std::string>().find(part) != std::string::npos;
}

} // namespace

TEST_CASE("whoever changes a value of ours is named, with any name, and not fought") {
    const Raised raised("mode: auto");
    const std::string hostile = "\x1b[2J\xff\\\"\n";
    const Hand hand(raised.site, hostile);

    hand.set(~std::uint64_t{0}); // which the kernel refuses
    raised.ticks(1);
    CHECK(raised.now() == raised.value);
    CHECK(raised.newest_change()["state"] != "yielded");

    hand.set(9);
    REQUIRE(comes_true([&] { return raised.newest_change()["state"] == "yielded"; }));
    const Json change = raised.newest_change();
    INFO(change.dump());
    CHECK(has(change["why"], raised.who(printable(hostile))));
    CHECK(has(change["why"], "set it to 9"));
    if (sees_who(raised.home)) CHECK(has(change["why"], "(pid "));
    CHECK(has(newest(raised.home.top()["changes"], raised.site, name)["why"], "set it to 9"));
    for (const Words& words : {Words{"history", "--state-dir", raised.home.state()},
                               Words{"top", "--once", "--socket", raised.home.socket()}})
        CHECK(run(words).out.find('\x1b') == std::string::npos);

    hand.set(10);
    raised.site.burst(raised.listener, port, 400);
    raised.ticks(2);
    CHECK(raised.now() == 10);
    CHECK(raised.newest_change()["id"] == change["id"]);
}

TEST_CASE("a value of ours that someone sets is noticed at once, and not at the next tick") {
    const Home home;
    const Site site;
    const Hand hand(site, "kube-proxy");
    home.set_policy(policy_text("at-once", "mode: auto\n  onConflict: reassert") + "    " + name + ": {min: 16}\n");
    const Running service(home, {.interval = "1h"});
    if (is_blind(sees_who(home), "who sets a sysctl")) return;
    const auto says = [&](const std::string& what) { return has(newest(home.history(), site, name)["why"], what); };
    REQUIRE(somaxconn_in(site.netns) == 16); // by the first tick, before it was ready

    for (int time = 1; time <= 3; ++time) {
        hand.set(9);
        REQUIRE(comes_true([&] { return says(fmt::format("put back, {} of at most 3 times", time)); }));
        REQUIRE(comes_true([&] { return somaxconn_in(site.netns) == 16; }));
        CHECK(says("kube-proxy (pid "));
    }
    hand.set(9);
    CHECK(comes_true([&] { return newest(home.history(), site, name)["state"] == "yielded"; }));
    CHECK(somaxconn_in(site.netns) == 9);
}

TEST_CASE("with reassert a lowered value is put back three times, and then left to whoever sets it", "[any-kernel]") {
    const Raised raised("mode: auto\n  onConflict: reassert");
    const Hand hand(raised.site, "kube-proxy");
    const Json original = raised.newest_change();
    for (int time = 1; time <= 3; ++time) {
        hand.set(9);
        const std::string said = fmt::format("put back, {} of at most 3 times within an hour", time);
        REQUIRE(comes_true([&] { return has(raised.newest_change()["why"], said); }));
        CHECK(has(raised.newest_change()["why"], raised.who("kube-proxy")));
        CHECK(raised.newest_change()["from"] == "9");
        REQUIRE(comes_true([&] { return raised.now() == raised.value; }));
    }
    raised.ticks(1);
    CHECK(mentions(get(http_port(*raised.service), "/metrics"),
                   fmt::format("\nbpftune_values_put_back_total{{tunable=\"{}\"}} 3\n", name)));
    hand.set(9);
    REQUIRE(comes_true([&] { return raised.newest_change()["state"] == "yielded"; }));
    CHECK(has(raised.newest_change()["why"], "it was put back 3 times within an hour, and is not again"));
    raised.ticks(2);
    CHECK(raised.now() == 9);
}

TEST_CASE("a value that was put back over another's is restored to the true original, the other's is none of ours",
          "[any-kernel]") {
    const Raised raised("mode: auto\n  onConflict: reassert");
    const Hand hand(raised.site, "kube-proxy");
    hand.set(9);
    REQUIRE(comes_true([&] { return has(raised.newest_change()["why"], "put back, 1 of"); }));
    REQUIRE(comes_true([&] { return raised.now() == raised.value; }));
    SECTION("by a restore") {
        const Json lines = raised.home.restore();
        CHECK(row_where(lines, {{"tunable", name}})["result"] == "restored");
        CHECK(raised.now() == 8);
    }
    SECTION("and is not adopted, where it is set again while no service runs") {
        raised.service->kill();
        hand.set(9);
        REQUIRE(comes_true([&] { return raised.now() == 9; }));
        const Running next(raised.home);
        CHECK(raised.newest_change()["state"] == "yielded");
        CHECK(raised.now() == 9);
    }
}

TEST_CASE("buckets that are set through /sys/module are yielded, and nobody is named for it") {
    constexpr auto hashsize = "/sys/module/nf_conntrack/parameters/hashsize";
    const LoneHome home;
    if (!fs::exists(conntrack_buckets)) return; // nf_conntrack is not loaded
    const NodeValue buckets(conntrack_buckets);
    const std::uint64_t twice = 2 * buckets.original();
    home.set_policy(policy_text("buckets", "mode: auto",
                                fmt::format("    net.core.somaxconn: {{mode: observe}}\n"
                                            "    net.netfilter.nf_conntrack_max: {{mode: observe}}\n"
                                            "    net.core.netdev_max_backlog: {{mode: observe}}\n"
                                            "    net.netfilter.nf_conntrack_buckets: {{min: {0}, max: {0}}}\n",
                                            twice)));
    const Running service(home);
    const auto row = [&] { return row_where(home.history(), {{"tunable", "net.netfilter.nf_conntrack_buckets"}}); };
    REQUIRE(comes_true([&] { return row().is_object() && row()["state"] == "kept"; }));
    CHECK(buckets.now() == twice);
    must(sys::write_file(hashsize, std::to_string(buckets.original())).has_value(), "set hashsize");
    REQUIRE(comes_true([&] { return row()["state"] == "yielded"; }));
    CHECK(has(row()["why"], fmt::format("someone else set it to {}", buckets.original())));
    CHECK(buckets.now() == buckets.original());
}
