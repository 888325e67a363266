// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include <fmt/format.h>

#include "core/text.hpp"
#include "unit/policy/files.hpp"

using namespace bpftune;
using namespace bpftune::policy;
using namespace bpftune::policy::test;
using namespace std::chrono_literals;

namespace {

// What YAML means something by, and letters of more than one byte.
constexpr std::array<std::string_view, 27> harmless{"a", "7", " ", "'", "\"", "\\", "#", ":",  ",",
                                                    "{", "}", "[", "]", "-",  "!",  "&", "*",  "?",
                                                    "|", ">", "%", "@", "`",  "~",  "é", "東", "🐝"};
// What a terminal may obey, or ends a line: as YAML has it between double quotes.
constexpr std::array<std::string_view, 13> obeyed{"\\0",     "\\a",     "\\t",     "\\n",     "\\r",
                                                  "\\e",     "\\x7f",   "\\u0085", "\\u009b", "\\u200b",
                                                  "\\u2028", "\\u202e", "\\ufeff"};

// Begins and ends with a letter: so it is no number, and has no blank that a sysctl's value would lose.
std::string harmless_text(std::mt19937_64& random) {
    std::string text = "a";
    for (std::uint64_t left = random() % 20; left > 0; --left) text += harmless[random() % harmless.size()];
    return text + "z";
}

// Between double quotes, with `inside` somewhere.
std::string yaml_of(const std::string& text, std::string_view inside) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out.insert(2, inside) + '"';
}

// Any policy that a file can express.
class RandomPolicy {
public:
    explicit RandomPolicy(std::mt19937_64& random) : random_(random) {}

    Policy operator()() {
        Policy policy;
        policy.name = "p" + std::to_string(below(1000));
        policy.mode = mode();
        policy.on_exit = chance() ? OnExit::restore : OnExit::keep;
        if (chance())
            policy.memory_budget_bytes = (below(1 << 20) + 1) << (10 + 10 * below(3));
        else
            policy.memory_budget_ratio = static_cast<double>(below(100'000) + 1) / 1000 / 100;
        if (chance()) policy.tenant_share = static_cast<double>(below(100'000) + 1) / 1000 / 100;
        if (chance()) policy.max_series = 1000 + below(99'001);
        for (const tunables::Tunable& row : tunables::catalog())
            if (chance()) bounds(row, policy.of(row.id));
        for (std::uint64_t left = below(3); left > 0; --left)
            policy.expect.push_back({"net.x." + std::to_string(left), "net/x/" + std::to_string(left),
                                     chance() ? "1 -2" : single_spaced(harmless_text(random_))});
        for (std::uint64_t left = below(4); left > 0; --left) {
            PodRule another = rule();
            const auto covers = [&](const PodRule& each) { return each.match.covers(another.match); };
            if (!another.match.is_all() && std::ranges::none_of(policy.pods, covers)) policy.pods.push_back(another);
        }
        if (chance()) policy.pods.emplace_back().mode = mode();
        if (chance()) policy.labels = labels();
        return policy;
    }

private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool chance() { return below(2) == 0; }
    Mode mode() { return static_cast<Mode>(below(3)); }

    Labels labels() {
        constexpr std::array names{"app", "app.kubernetes.io/name", "A_b.c-1", "x/y"};
        constexpr std::array values{"", "web", "true", "1.10", "A-b_c.9"};
        return {{names[below(names.size())], values[below(values.size())]},
                {names[below(names.size())], values[below(values.size())]}};
    }

    Match match() {
        constexpr std::array names{"lab-*", "it's", "a b", "#x: {", "\\*\"[!a]?", "*"};
        constexpr std::array units{"nginx.service", "*", "a\\x2db@*.socket"};
        Match match;
        if (chance()) {
            match.netns = chance() ? names[below(names.size())] : harmless_text(random_);
            if (chance()) match.unit = units[below(units.size())];
            return match;
        }
        if (chance()) match.ns = chance() ? "payments" : "team-[ab]?*";
        if (chance()) match.labels = labels();
        if (chance()) match.annotations = {{"example.com/why", chance() ? harmless_text(random_) : " #x: "}};
        if (chance()) match.qos = static_cast<QosClass>(below(3));
        return match;
    }

    PodRule rule() {
        PodRule rule{.match = match(), .mode = mode(), .tunables = unnamed()};
        for (const tunables::Tunable& row : tunables::catalog()) {
            if (chance()) continue;
            TunablePolicy& tunable = rule.tunables[static_cast<std::size_t>(row.id)];
            bounds(row, tunable);
            tunable.min.reset();
            if (chance()) tunable.max = row.kernel_max;
        }
        return rule;
    }

    void bounds(const tunables::Tunable& row, TunablePolicy& out) {
        out.named = true;
        out.mode = mode();
        out.max = row.is_cpus ? random_() | 1 : row.kernel_min + below(row.kernel_max - row.kernel_min + 1);
        out.shrink_after.reset();
        if (row.is_cpus) return;
        const std::uint64_t unit = row.unit == tunables::Unit::bytes ? row.granule : 1;
        out.max -= out.max % unit;
        constexpr std::array<Nanoseconds, 4> units{1ms, 1s, 1min, 1h};
        if (row.use_is_seen && chance())
            out.shrink_after = static_cast<std::int64_t>(below(1000) + 1) * units[below(units.size())];
        if (chance()) out.min = (row.kernel_min + below(out.max - row.kernel_min + 1)) / unit * unit;
    }

    std::mt19937_64& random_;
};

} // namespace

TEST_CASE("what is shown parses to the same policy") {
    std::mt19937_64 random(7); // the same policies each time
    RandomPolicy any(random);
    for (int round = 0; round < 500; ++round) {
        const Policy policy = any();
        const auto again = parse(show(policy));
        CAPTURE(show(policy));
        REQUIRE(again);
        REQUIRE(*again == policy);
    }
}

TEST_CASE("a text is shown as the file has it, and one that a terminal would obey is in no policy") {
    std::mt19937_64 random(8); // the same texts each time
    const auto parsed_with = [](const std::string& text) {
        return parse(with_spec("  expect: {net.x: " + text + "}\n  pods:\n  - match: {annotations: {a: " + text +
                               "}}\n  - match: {netns: " + text + "}\n"));
    };
    for (int round = 0; round < 200; ++round) {
        const std::string text = harmless_text(random);
        CAPTURE(text);
        const auto policy = parsed_with(yaml_of(text, ""));
        REQUIRE(policy);
        CHECK(policy->expect.at(0).value == single_spaced(text));
        CHECK(policy->pods.at(0).match.annotations.at("a") == text);
        CHECK(policy->pods.at(1).match.netns == text);
        CHECK(parse(show(*policy)).value() == *policy);
        const std::string_view control = obeyed[random() % obeyed.size()];
        const auto refused = parsed_with(yaml_of(text, control));
        CAPTURE(control);
        REQUIRE_FALSE(refused);
        const bool is_blank = control == "\\t" || control == "\\n" || control == "\\r"; // a sysctl's are one blank
        CHECK(refused.error().size() == (is_blank ? 2 : 3));
    }
}

TEST_CASE("the hash is of what a policy allows, not of how it is written") {
    Policy policy;
    policy.of(TunableId::somaxconn).max = 4096;
    CHECK(hash_of(policy).size() == 16);
    CHECK(hash_of(*parse("# as it is shown\n" + show(policy))) == hash_of(policy));
    Policy other = policy;
    other.of(TunableId::somaxconn).max = 4097;
    CHECK(hash_of(other) != hash_of(policy));
}

TEST_CASE("what a policy allows is said in one line") {
    Policy policy;
    CHECK(summary(policy) == "observe, nothing is written");
    policy.mode = Mode::automatic;
    const auto allowed = static_cast<std::size_t>(std::ranges::count_if(
        tunables::catalog(), [&](const tunables::Tunable& row) { return policy.most_of(row.id) == Mode::automatic; }));
    CHECK(summary(policy) == fmt::format("auto, {} tunables, memoryBudget 2%", allowed));
    policy.of(TunableId::tcp_rmem).mode = Mode::recommend;
    policy.pods.resize(3);
    policy.expect.resize(1);
    CHECK(summary(policy) == fmt::format("auto, {} tunables, 1 tunable recommended, memoryBudget 2%, 3 entries of "
                                         "pods, 1 sysctl expected",
                                         allowed - 1));
    policy.mode = Mode::recommend;
    CHECK(summary(policy).starts_with(fmt::format("recommend, {} tunables recommended", allowed)));
}

TEST_CASE("the documentation tells what is said of a shipped policy") {
    const std::filesystem::path root = testing::source_dir;
    const auto web = parse(content_of(root / "policies/web.yaml"));
    REQUIRE(web);
    CHECK_THAT(content_of(root / "docs/policy.md"), Catch::Contains("`web.yaml: ok: " + summary(*web) + "`"));
}

TEST_CASE("what is shown as allowed is what may be raised") {
    const std::string spec = GENERATE("{}", "{net.core.netdev_budget_usecs: {}, net.ipv4.tcp_mem: {mode: observe}}",
                                      "{net.core.netdev_budget: {min: 600}, net.ipv4.udp_mem.low: {max: 4096}}",
                                      "{listener.backlog: {}, net.netfilter.nf_conntrack_max: {mode: observe}}");
    const auto policy = parse(with_spec("  mode: auto\n  tunables: " + spec + "\n"));
    REQUIRE(policy);
    const std::string shown = show(*policy);
    CAPTURE(shown);
    for (const tunables::Tunable& row : tunables::catalog()) {
        const std::size_t at = shown.find(fmt::format(" {}: {{", row.name));
        REQUIRE(at != std::string::npos);
        const std::size_t begin = shown.rfind('\n', at) + 1;
        const std::string line = shown.substr(begin, shown.find('\n', at) - begin);
        CAPTURE(line);
        const bool is_restricted = line.contains("# not allowed ") || line.contains("# only with ");
        const bool is_observed = line.contains("mode: observe");
        CHECK((policy->most_of(row.id) == Mode::automatic) == (!is_restricted && !is_observed));
    }
}

TEST_CASE("a tunable that only follows another one says so, as a comment behind bounds that the file gives it") {
    const auto policy = parse(with_spec("  mode: auto\n  tunables: {net.ipv4.udp_mem.low: {max: 4096}}\n"));
    REQUIRE(policy);
    CHECK_THAT(show(*policy), Catch::Contains("    net.ipv4.udp_mem.low: {max: 4096, mode: auto, shrinkAfter: never} "
                                              "# only with net.ipv4.udp_mem, which is not allowed unless named\n"));
}

TEST_CASE("what holds for one pod is a policy of its own, in which entry and annotation have lowered spec") {
    Policy policy;
    policy.mode = Mode::automatic;
    policy.pods.emplace_back().match.ns = "shop";
    policy.pods[0].tunables[static_cast<std::size_t>(TunableId::somaxconn)] = {.named = true, .max = 256};
    const PodFacts facts{.pod = {.ns = "shop", .name = "web-0", .uid = "u"},
                         .source = PodSource::runtime,
                         .annotations = {{std::string(mode_annotation), "off"}}};
    const ShownFor shown = show_for(policy, {.pod = &facts.pod, .facts = &facts});
    CHECK(shown.lines.back() == "its annotation bpftune-k8s.io/mode says off, which is no mode and counts as observe");
    const Policy left = parse(shown.policy).value();
    CHECK(left.mode == Mode::observe);
    CHECK(left.of(TunableId::somaxconn).max == 256);
    CHECK(show_for(policy, {}).lines == std::vector<std::string>{"no entry of pods is about it: spec holds"});
    CHECK(parse(show_for(policy, {}).policy)->mode == Mode::automatic);
}

TEST_CASE("the shipped policies survive being shown") {
    for (const auto& path : files("policies", ".yaml")) {
        const auto policy = parse(content_of(path));
        REQUIRE(policy);
        CHECK(parse(show(*policy)).value() == *policy);
    }
}

TEST_CASE("the policy that holds without a file is shown with every default") {
    CHECK(
        show(Policy()) ==
        "apiVersion: bpftune-k8s.io/v1alpha1\n"
        "kind: NodeTuningPolicy\n"
        "metadata:\n"
        "  name: \"default\"\n"
        "spec:\n"
        "  mode: observe\n"
        "  onExit: keep\n"
        "  onConflict: yield\n"
        "  memoryBudget: 2%\n"
        "  tenantShare: 10%\n"
        "  metrics: {maxSeries: 1000}\n"
        "  tunables:\n"
        "    net.core.somaxconn: {max: 65535, mode: auto, shrinkAfter: never}\n"
        "    # allowed with net.core.somaxconn, but unless named not beyond what the application asked for: "
        "listener.backlog: {max: 16384, mode: auto, shrinkAfter: never}\n"
        "    net.ipv4.tcp_max_syn_backlog: {max: 65535, mode: auto, shrinkAfter: never}\n"
        "    net.netfilter.nf_conntrack_max: {max: 4194304, mode: auto, shrinkAfter: 24h}\n"
        "    net.netfilter.nf_conntrack_buckets: {max: 4194304, mode: auto, shrinkAfter: 24h}\n"
        "    net.ipv4.tcp_rmem: {max: 67108864, mode: auto, shrinkAfter: never}\n"
        "    net.ipv4.tcp_wmem: {max: 67108864, mode: auto, shrinkAfter: never}\n"
        "    # allowed, but unless named not where its application set the size: udp.rcvbuf: {max: 8388608, "
        "mode: auto, shrinkAfter: never}\n"
        "    net.core.netdev_max_backlog: {max: 16384, mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.core.netdev_budget_usecs: {max: 32000, mode: auto, "
        "shrinkAfter: never}\n"
        "    # only with net.core.netdev_budget_usecs, which is not allowed unless named: net.core.netdev_budget: "
        "{max: 4800, mode: auto, shrinkAfter: never}\n"
        "    # allowed, but unless named not where the range is narrower than the kernel's own: "
        "net.ipv4.ip_local_port_range: {max: 10000, mode: auto, shrinkAfter: never}\n"
        "    net.ipv4.neigh.default.gc_thresh3: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    net.ipv4.neigh.default.gc_thresh2: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    net.ipv4.neigh.default.gc_thresh1: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    net.ipv6.neigh.default.gc_thresh3: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    net.ipv6.neigh.default.gc_thresh2: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    net.ipv6.neigh.default.gc_thresh1: {max: 65536, mode: auto, shrinkAfter: never}\n"
        "    # allowed, but unless named not where it is less than the kernel's own: net.ipv4.ipfrag_high_thresh: "
        "{max: 67108864, mode: auto, shrinkAfter: never}\n"
        "    # allowed, but unless named not where it is less than the kernel's own: net.ipv6.ip6frag_high_thresh: "
        "{max: 67108864, mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.core.rmem_max: {max: 16777216, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.core.wmem_max: {max: 16777216, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.core.rmem_default: {max: 1048576, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.core.wmem_default: {max: 1048576, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.tcp_tw_reuse: {max: 1, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.tcp_tw_reuse_delay: {max: 100, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.tcp_congestion_control: {max: bbr, mode: auto, "
        "shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.tcp_mem: {max: 33554432, mode: auto, "
        "shrinkAfter: never}\n"
        "    # only with net.ipv4.tcp_mem, which is not allowed unless named: net.ipv4.tcp_mem.pressure: {max: "
        "33554432, "
        "mode: auto, shrinkAfter: never}\n"
        "    # only with net.ipv4.tcp_mem, which is not allowed unless named: net.ipv4.tcp_mem.low: {max: 33554432, "
        "mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.udp_mem: {max: 33554432, mode: auto, "
        "shrinkAfter: never}\n"
        "    # only with net.ipv4.udp_mem, which is not allowed unless named: net.ipv4.udp_mem.pressure: {max: "
        "33554432, "
        "mode: auto, shrinkAfter: never}\n"
        "    # only with net.ipv4.udp_mem, which is not allowed unless named: net.ipv4.udp_mem.low: {max: 33554432, "
        "mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.ipv4.tcp_fastopen: {max: 3, mode: auto, shrinkAfter: "
        "never}\n"
        "    # not allowed unless named: net.netfilter.nf_conntrack_tcp_timeout_established: {max: "
        "7440, mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.netfilter.nf_conntrack_tcp_timeout_time_wait: {max: 60, "
        "mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: net.netfilter.nf_conntrack_tcp_timeout_close_wait: {max: "
        "60, mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: rps_cpus: {max: \"ffffffff,ffffffff\", mode: auto, shrinkAfter: never}\n"
        "    # not allowed unless named: smp_affinity: {max: \"ffffffff,ffffffff\", mode: auto, shrinkAfter: never}\n");
}

TEST_CASE("a budget is shown in the largest unit that is exact") {
    const auto [written, shown] = GENERATE(table<std::string, std::string>({
        {"1536MiB", "1536MiB"},
        {"2048MiB", "2GiB"},
        {"1GiB", "1GiB"},
        {"1025KiB", "1025KiB"},
        {"2.50%", "2.5%"},
        {"10%", "10%"},
        {"0.001%", "0.001%"},
    }));
    const auto policy = parse(with_spec("  memoryBudget: " + written + "\n"));
    REQUIRE(policy);
    CHECK_THAT(show(*policy), Catch::Contains("memoryBudget: " + shown + "\n"));
}
