// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "paths.hpp"
#include "policy/keys.hpp"
#include "tunables/codec.hpp"
#include "tunables/device_settings.hpp"
#include "unit/policy/files.hpp"

using namespace bpftune;
using namespace bpftune::policy;
using namespace bpftune::policy::test;

namespace {

Policy parsed(const std::string& text) {
    const auto policy = parse(text);
    INFO(text);
    if (!policy) FAIL(render("test.yaml", text, policy.error()));
    return *policy;
}

std::size_t problems(const std::string& text) {
    const auto policy = parse(text);
    return policy ? 0 : policy.error().size();
}

} // namespace

TEST_CASE("the shipped policies are valid and called as their files") {
    const auto shipped = files("policies", ".yaml");
    CHECK(shipped.size() >= 4);
    for (const auto& path : shipped) CHECK(parsed(content_of(path)).name == path.stem().string());
}

TEST_CASE("the shipped observe policy is what holds without a policy") {
    Policy expected;
    expected.name = "observe";
    CHECK(parsed(content_of(std::string(testing::source_dir) + "/policies/observe.yaml")) == expected);
}

TEST_CASE("each line of a shipped policy's spec has its reason, beside it or in the line above") {
    for (const auto& path : files("policies", ".yaml")) {
        std::istringstream lines(content_of(path));
        bool in_spec = false;
        std::string above;
        for (std::string line; std::getline(lines, line); above = line) {
            in_spec = in_spec || line == "spec:";
            const std::string_view text =
                std::string_view(line).substr(std::min(line.find_first_not_of(' '), line.size()));
            const bool says_something = text.contains(": ") && !text.starts_with('#');
            if (!in_spec || !says_something) continue;
            INFO(path.filename() << ": " << line);
            CHECK((line.contains(" # ") || above.contains("  # ")));
        }
        CHECK(in_spec);
    }
}

TEST_CASE("the documentation's example is valid, and its errors are as they are shown") {
    const std::string page = content_of(std::string(testing::source_dir) + "/docs/policy.md");
    const auto block = [&](const std::string& language) {
        const std::size_t begin = page.find("```" + language + "\n") + language.size() + 4;
        return page.substr(begin, page.find("```", begin) - begin);
    };
    CHECK(parsed(block("yaml")).name == "web-nodes");
    const std::string broken = with_spec("  mode: Auto\n  tunables:\n    somaxconn: {max: 65535}\n");
    CHECK(render("policy.yaml", broken, parse(broken).error()) == block("text"));
}

TEST_CASE("the documentation tells the defaults and ranges of the catalog") {
    const std::string page = content_of(std::string(testing::source_dir) + "/docs/policy.md");
    for (const tunables::Tunable& row : tunables::catalog()) {
        std::string least = tunables::text_of(row, row.kernel_min);
        std::string most = tunables::text_of(row, row.kernel_max);
        if (row.counts_down_from > 0) std::swap(least, most);
        CHECK_THAT(page, Catch::Contains(fmt::format("| `{}` | {} | {} to {} |", row.name,
                                                     tunables::text_of(row, row.default_max), least, most)));
    }
}

TEST_CASE("it is known where a file names a sysctl or a tunable") {
    const std::string text = with_spec("  mode: auto\n  tunables:\n    net.core.somaxconn: {}\n"
                                       "  expect: {é: 1, net.ipv4.route.max_size: 8}\n"
                                       "  pods:\n  - match: {}\n    tunables: {listener.backlog: {max: 4096}}\n");
    const auto lines_before = static_cast<std::size_t>(std::ranges::count(with_spec(""), '\n'));
    CHECK(place_of(text, "net.core.somaxconn") == fmt::format("{}:5", lines_before + 3));
    CHECK(place_of(text, "net.ipv4.route.max_size") == fmt::format("{}:18", lines_before + 4));
    CHECK(place_of(text, "listener.backlog") == fmt::format("{}:16", lines_before + 7));
    CHECK(place_of(text, "net.ipv4.tcp_rmem").empty());
    CHECK(place_of("{", "net.core.somaxconn").empty());
    CHECK(place_of("", "net.core.somaxconn").empty());
}

TEST_CASE("a receive buffer is of as many bytes as the kernel can have, which are even") {
    CHECK(parsed(with_spec("  tunables: {udp.rcvbuf: {max: 300002}}\n")).of(TunableId::udp_rcvbuf).max == 300002);
    CHECK(parsed(with_spec("  tunables: {udp.rcvbuf: {max: 64KiB}}\n")).of(TunableId::udp_rcvbuf).max == 65536);
    CHECK_FALSE(parse(with_spec("  tunables: {udp.rcvbuf: {max: 300001}}\n")));
}

TEST_CASE("an empty spec leaves every default") {
    Policy expected;
    expected.name = "test";
    CHECK(parsed(with_spec("  {}\n")) == expected);
}

TEST_CASE("the defaults that the table of keys tells are those that hold") {
    std::string lines;
    for (const Key& key : spec_keys)
        if (!key.fallback.empty()) lines += "  " + std::string(key.name) + ": " + std::string(key.fallback) + "\n";
    lines += "  tunables: {net.core.somaxconn: {";
    for (const Key& key : tunable_keys)
        if (!key.fallback.empty()) lines += std::string(key.name) + ": " + std::string(key.fallback);
    CHECK(parsed(with_spec(lines + "}}\n")) == parsed(with_spec("  {}\n")));
}

TEST_CASE("every key is read") {
    const Policy policy = parsed(with_spec("  mode: auto\n"
                                           "  onExit: restore\n"
                                           "  onConflict: reassert\n"
                                           "  memoryBudget: 512MiB\n"
                                           "  tenantShare: 25%\n"
                                           "  metrics: {maxSeries: 5000}\n"
                                           "  tunables:\n"
                                           "    listener.backlog: {min: 128, max: 4096, mode: recommend}\n"));
    CHECK(policy.name == "test");
    CHECK(policy.mode == Mode::automatic);
    CHECK(policy.on_exit == OnExit::restore);
    CHECK(policy.on_conflict == OnConflict::reassert);
    CHECK(policy.memory_budget_bytes == 512u << 20);
    CHECK(policy.tenant_share == Approx(0.25));
    CHECK(policy.max_series == 5000);
    const TunablePolicy& backlog = policy.of(TunableId::listener_backlog);
    CHECK(backlog == TunablePolicy{.named = true, .mode = Mode::recommend, .min = 128, .max = 4096});
    CHECK(policy.of(TunableId::somaxconn) == Policy().of(TunableId::somaxconn));
}

TEST_CASE("naming a tunable opts in, also with nothing behind it") {
    const std::string value = GENERATE("", " {}", " ~", " null", " {mode: auto}");
    const Policy policy = parsed(with_spec("  mode: auto\n  tunables:\n    listener.backlog:" + value + "\n"));
    CHECK(policy.mode_of(TunableId::listener_backlog) == Mode::automatic);
    CHECK(policy.of(TunableId::listener_backlog).max == tunables::row(TunableId::listener_backlog).default_max);
}

TEST_CASE("quotes, comments, flow style, CRLF and a byte order mark change nothing") {
    const Policy plain = parsed(with_spec("  mode: auto\n  tunables:\n    net.core.somaxconn:\n      max: 4096\n"));
    const std::string text = GENERATE(
        with_spec("  \"mode\": 'auto' # why\n  tunables: {\"net.core.somaxconn\": {max: \"4096\",},}\n"),
        with_spec("  mode: auto\r\n  tunables:\r\n    net.core.somaxconn:\r\n      max: 4096\r\n"),
        "\xef\xbb\xbf" + with_spec("  mode: auto\n  tunables: {net.core.somaxconn: {max: 4096}}\n"),
        "---\n" + with_spec("  mode: auto\n\n  tunables: {net.core.somaxconn: {max: 4096}}\n") + "...\n",
        std::string(
            R"({"apiVersion": "bpftune-k8s.io/v1alpha1", "kind": "NodeTuningPolicy", "metadata": {"name": "test"},
                        "spec": {"mode": "auto", "tunables": {"net.core.somaxconn": {"max": 4096}}}})"));
    CHECK(parsed(text) == plain);
}

TEST_CASE("a budget is a percentage or a size") {
    const auto [text, ratio] = GENERATE(table<std::string, double>(
        {{"2%", 0.02}, {"0.5%", 0.005}, {"100%", 1.0}, {"100.0%", 1.0}, {"0.001%", 0.00001}, {"\"7%\"", 0.07}}));
    CHECK(parsed(with_spec("  memoryBudget: " + text + "\n")).memory_budget_ratio == Approx(ratio));
    CHECK(parsed(with_spec("  memoryBudget: 1GiB\n")).memory_budget_bytes == 1u << 30);
}

TEST_CASE("a tenant's share is a percentage of the budget, and nothing else") {
    const auto [text, ratio] =
        GENERATE(table<std::string, double>({{"10%", 0.1}, {"0.5%", 0.005}, {"100%", 1.0}, {"\"7%\"", 0.07}}));
    CHECK(parsed(with_spec("  tenantShare: " + text + "\n")).tenant_share == Approx(ratio));
    for (const std::string refused : {"0%", "101%", "10", "1MiB", "%", "-1%", "1.2345%", "\"\"", "[]", "nan%"}) {
        CAPTURE(refused);
        CHECK(problems(with_spec("  tenantShare: " + refused + "\n")) == 1);
    }
}

TEST_CASE("what is no budget is refused") {
    const std::string text =
        GENERATE("%", ".5%", "5.%", "1.%", "-1%", "+1%", "1e1%", "0x2%", "100.001%", "0%", "nan%", "2 %", "2%%", "2",
                 "0KiB", "-1MiB", "1.5GiB", "\"\"", "1TiB", "101%", "0101%", "\"1000%\"", "18446744073709551717%",
                 "8589934591GiB", "4194305GiB", "4398046511105KiB");
    CAPTURE(text);
    CHECK(problems(with_spec("  memoryBudget: " + text + "\n")) == 1);
}

TEST_CASE("a set of CPUs is written as the kernel has it") {
    const auto most = [](const std::string& text) {
        return parsed(with_spec("  tunables: {rps_cpus: {max: " + text + "}}\n")).of(TunableId::rps_cpus).max;
    };
    CHECK(most("f") == 15);
    CHECK(most("10") == 16);
    CHECK(most("1e1") == 0x1e1);
    CHECK(most("\"1,00000000\"") == std::uint64_t{1} << 32);
    for (const std::string text :
         {"0", "\"\"", "0x3", "0-3", "g", "\"1,0\"", "\"1,00000000,00000000\"", "4KiB", "[1]"}) {
        CAPTURE(text);
        CHECK(problems(with_spec("  tunables: {rps_cpus: {max: " + text + "}}\n")) == 1);
    }
}

TEST_CASE(
    "settings of devices that are no sysctls may be expected, and under tunables are told why they are not tuned") {
    const Policy policy = parsed(with_spec("  expect: {xps_cpus: 3, rps_flow_cnt: 4096, smp_affinity: ff}\n"));
    REQUIRE(policy.expect.size() == 3);
    CHECK(policy.expect[0] == Expectation{.name = "xps_cpus", .path = "xps_cpus", .value = "3"});
    for (const tunables::DeviceSetting& setting : tunables::device_settings()) {
        if (setting.why_not.empty()) continue;
        CHECK(tunables::find(setting.name) == nullptr);
        const auto refused = parse(with_spec(fmt::format("  tunables: {{{}: {{}}}}\n", setting.name)));
        REQUIRE_FALSE(refused);
        REQUIRE(refused.error().size() == 1);
        CHECK(refused.error()[0].message == fmt::format("'{}' is not tuned: {}", setting.name, setting.why_not));
    }
    CHECK(problems(with_spec("  expect: {xps_rxqs: 3}\n")) == 1);
    CHECK(problems(with_spec("  mode: auto\n  tunables: {smp_affinity: {}}\n  expect: {smp_affinity: 3}\n")) == 1);
    CHECK(problems(with_spec("  mode: auto\n  tunables: {rps_cpus: {}}\n  expect: {smp_affinity: 3}\n")) == 0);
}

TEST_CASE("CPUs that are expected are taken as the kernel writes them, and nothing else is") {
    for (const std::string text : {"\"00000000,0000000f\"", "0f", "F"})
        CHECK(parsed(with_spec("  expect: {smp_affinity: " + text + "}\n")).expect.at(0).value == "f");
    for (const std::string text : {"zz", "0-3", "\"1,0\"", "\"1,00000000,00000000\"", "[1]"})
        CHECK(problems(with_spec("  expect: {smp_affinity: " + text + "}\n")) == 1);
}

TEST_CASE("of a set of CPUs there is no least") {
    CHECK(problems(with_spec("  tunables: {rps_cpus: {min: 1}}\n")) == 1);
}

TEST_CASE("what is needed of nobody sees how much is not to be given back after a time") {
    std::size_t unseen = 0;
    for (const tunables::Tunable& row : tunables::catalog()) {
        CAPTURE(row.name);
        const std::string spec = fmt::format("  tunables: {{{}: {{shrinkAfter: ", row.name);
        const std::string entry = fmt::format("  pods: [{{match: {{}}, tunables: {{{}: {{shrinkAfter: ", row.name);
        CHECK(problems(with_spec(spec + "never}}\n")) == 0);
        CHECK(problems(with_spec(spec + "1h}}\n")) == (row.use_is_seen ? 0 : 1));
        CHECK(problems(with_spec(entry + "1h}}}]\n")) == (row.use_is_seen ? 0 : 1));
        if (!row.use_is_seen) ++unseen;
    }
    CHECK(unseen > 0);
}

TEST_CASE("bounds may be all that the kernel takes, and no more") {
    for (const tunables::Tunable& row : tunables::catalog()) {
        if (row.is_cpus) continue; // the next case
        const auto with = [&](const std::string& min, const std::string& max) {
            return with_spec(fmt::format("  tunables: {{{}: {{min: {}, max: {}}}}}\n", row.name, min, max));
        };
        const std::string least = tunables::text_of(row, row.kernel_min);
        const std::string most = tunables::text_of(row, row.kernel_max);
        CHECK(problems(with(least, most)) == 0);
        CHECK(problems(with(most, most)) == 0);
        CHECK(problems(with(least, tunables::text_of(row, row.kernel_max + 1))) == 1);
        if (row.kernel_min > 0) CHECK(problems(with(tunables::text_of(row, row.kernel_min - 1), most)) == 1);
    }
}

TEST_CASE("a name is an RFC 1123 label") {
    const auto with = [](const std::string& name) {
        return "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: " + name +
               "}\nspec: {}\n";
    };
    for (const std::string& name : {std::string("a"), std::string("web-1"), std::string("0"), std::string(63, 'x')})
        CHECK(problems(with(name)) == 0);
    for (const std::string& name : {std::string("\"\""), std::string("-a"), std::string("a-"), std::string("A"),
                                    std::string("a.b"), std::string("ä"), std::string(64, 'x')})
        CHECK(problems(with(name)) == 1);
}

TEST_CASE("problems come in the order of their places") {
    for (const auto& path : files("tests/policy/broken", ".yaml")) {
        const auto policy = parse(content_of(path));
        REQUIRE_FALSE(policy);
        CHECK(std::ranges::is_sorted(policy.error(), {},
                                     [](const Diagnostic& d) { return std::tuple(d.line, d.column); }));
    }
}

TEST_CASE("a file past one MiB is refused, whatever is in it") {
    const std::string valid = with_spec("  {}\n");
    CHECK(problems(valid + std::string(largest_file_bytes - valid.size(), '\n')) == 0);
    const auto larger = parse(valid + std::string(largest_file_bytes - valid.size() + 1, '\n'));
    REQUIRE_FALSE(larger);
    CHECK(larger.error().front().message == "the file is larger than 1048576 bytes");
}

TEST_CASE("more than a hundred problems are counted, not listed") {
    std::string text = with_spec("  {}\n");
    for (int i = 0; i < 150; ++i) text += "unknown: 1\n";
    const auto policy = parse(text);
    REQUIRE_FALSE(policy);
    CHECK(policy.error().size() == 101);
    CHECK(policy.error().back().message == "and 50 more problems");
}

TEST_CASE("numbers that are raised with another of their file alone may be expected where that one is not tuned") {
    CHECK(parse(with_spec("  mode: auto\n  expect: {net.ipv4.tcp_mem: '300 400 600'}\n")).has_value());
    CHECK_FALSE(parse(with_spec("  mode: auto\n  expect: {net.ipv4.tcp_mem: '300 400 600'}\n"
                                "  tunables: {net.ipv4.tcp_mem: {max: 1000}}\n"))
                    .has_value());
    CHECK_FALSE(parse(with_spec("  mode: auto\n  expect: {net.ipv4.tcp_mem: '300 400 600'}\n"
                                "  tunables: {net.ipv4.tcp_mem.low: {min: 400}}\n"))
                    .has_value());
}
