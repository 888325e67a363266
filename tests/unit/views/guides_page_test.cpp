// SPDX-License-Identifier: Apache-2.0
// docs/the-guides.md is written by hand, but for what its tables say of tunables: where each lives, what a policy has
// to say and how far it goes without a max.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "paths.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/device_settings.hpp"
#include "tunables/not_tuned.hpp"
#include "tunables/without_effect.hpp"

namespace bpftune::views {
namespace {

using tunables::Kind;
using tunables::Tunable;

// The cells of a row of its tables.
enum Cell : std::size_t { setting, lives, what, policy, here, cells };
using Row = std::vector<std::string>;

constexpr std::string_view border = " | ";

bool is_row(std::string_view line) {
    return line.starts_with("| ") && line.ends_with(" |") && !line.starts_with("| setting ");
}

Row row_of(std::string_view line) {
    Row row;
    line = line.substr(2, line.size() - 4);
    for (std::size_t end = 0; end != std::string_view::npos;) {
        end = line.find(border);
        row.emplace_back(line.substr(0, end));
        if (end != std::string_view::npos) line.remove_prefix(end + border.size());
    }
    INFO(line);
    REQUIRE(row.size() == cells);
    return row;
}

std::vector<std::string> names_in(const Row& row) {
    std::vector<std::string> names;
    const std::string& text = row[setting];
    for (std::size_t at = text.find('`'); at != std::string::npos;) {
        const std::size_t end = text.find('`', at + 1);
        names.push_back(text.substr(at + 1, end - at - 1));
        at = end == std::string::npos ? end : text.find('`', end + 1);
    }
    return names;
}

std::vector<const Tunable*> tunables_in(const Row& row) {
    std::vector<const Tunable*> found;
    for (const std::string& name : names_in(row))
        if (const Tunable* tunable = tunables::find(name)) found.push_back(tunable);
    return found;
}

std::string_view lives_in(Kind kind) {
    switch (kind) {
    case Kind::netns_sysctl: return "netns";
    case Kind::host_sysctl: return "node";
    case Kind::listener:
    case Kind::udp_buffer: return "socket";
    case Kind::rx_queue: return "device queue";
    case Kind::interrupt: return "interrupt";
    }
    return "";
}

std::string policy_for(const Tunable& tunable) {
    const bool is_led = tunable.follows && !tunable.opt_in;
    const std::string allowed = is_led           ? fmt::format("with `{}`", tunables::row(*tunable.follows).name)
                                : tunable.opt_in ? "**named**"
                                                 : "**auto**";
    return fmt::format("{}, to {}", allowed, tunables::text_of(tunable, tunable.default_max));
}

// Each once: several of one row are often alike.
std::string joined(const std::vector<std::string>& texts) {
    std::vector<std::string> once;
    for (const std::string& text : texts)
        if (std::ranges::find(once, text) == once.end()) once.push_back(text);
    return fmt::format("{}", fmt::join(once, "; "));
}

void fill(Row& row) {
    std::vector<std::string> places;
    std::vector<std::string> policies;
    for (const Tunable* tunable : tunables_in(row)) {
        places.emplace_back(lives_in(tunable->kind));
        policies.push_back(policy_for(*tunable));
    }
    if (!places.empty()) row[lives] = joined(places);
    row[policy] = joined(policies);
}

const std::string& path() {
    static const std::string path = std::string(testing::source_dir) + "/docs/the-guides.md";
    return path;
}

std::vector<std::string> lines() {
    std::vector<std::string> read;
    std::ifstream file(path());
    for (std::string line; std::getline(file, line);) read.push_back(line);
    REQUIRE(!read.empty());
    return read;
}

std::vector<Row> rows() {
    std::vector<Row> read;
    for (const std::string& line : lines())
        if (is_row(line)) read.push_back(row_of(line));
    return read;
}

std::string with_catalog(const std::vector<std::string>& page) {
    std::string text;
    for (const std::string& line : page) {
        if (!is_row(line)) {
            text += line + "\n";
            continue;
        }
        Row row = row_of(line);
        fill(row);
        text += fmt::format("| {} |\n", fmt::join(row, border));
    }
    return text;
}

bool begins_with_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(words, [&](std::string_view word) { return text.starts_with(word); });
}

} // namespace

TEST_CASE("docs/the-guides.md says of each tunable where it lives and what a policy has to say, as the catalog does",
          "[docs]") {
    const std::vector<std::string> page = lines();
    const std::string made = with_catalog(page);
    if (std::getenv("UPDATE_DOCS") != nullptr) {
        std::ofstream(path()) << made;
        return;
    }
    INFO("to make it again: UPDATE_DOCS=1 unit-views-tests \"[docs]\"");
    CHECK(fmt::format("{}\n", fmt::join(page, "\n")) == made);
}

TEST_CASE("docs/the-guides.md has each tunable, each setting that is refused with a reason once", "[docs]") {
    std::multiset<std::string> named;
    for (const Row& row : rows())
        for (const std::string& name : names_in(row)) named.insert(name);
    const auto has_once = [&](std::string_view name) {
        INFO(name);
        CHECK(named.count(std::string(name)) == 1);
    };
    for (const Tunable& each : tunables::catalog()) has_once(each.name);
    for (const auto& each : tunables::device_settings()) has_once(each.name);
    for (const auto& each : tunables::without_effect()) has_once(each.name);
    for (const auto& each : tunables::not_tuned()) has_once(each.name);
}

// A name that is none of ours but a sysctl's is one that was misspelt, or whose row went from the catalog.
TEST_CASE("docs/the-guides.md says that something is raised where it is a tunable, and nowhere else", "[docs]") {
    for (const Row& row : rows()) {
        INFO(row[setting] << ": " << row[here]);
        const auto tuned = tunables_in(row);
        for (const std::string& name : names_in(row))
            if (tunables::find(name) == nullptr && tunables::find_device_setting(name) == nullptr)
                CHECK(begins_with_any(name, {"net.", "fs.", "vm."}));
        if (tuned.empty())
            CHECK(begins_with_any(row[here],
                                  {"shown", "watched", "not tuned", "not looked at", "not there", "not this tool's"}));
        else {
            CHECK(tuned.size() == names_in(row).size());
            CHECK(begins_with_any(row[here], {"raised", "lowered"}));
        }
    }
}

// What a policy may expect is below net.
TEST_CASE("docs/the-guides.md says \"not this tool's\" of what is no setting of the network, and of nothing else",
          "[docs]") {
    for (const Row& row : rows()) {
        INFO(row[setting]);
        const std::vector<std::string> names = names_in(row);
        const bool is_other =
            std::ranges::any_of(names, [](const auto& name) { return begins_with_any(name, {"fs.", "vm."}); });
        CHECK(row[here].starts_with("not this tool's") == is_other);
    }
}

// What operators copy most, beside what the catalogs have.
TEST_CASE("docs/the-guides.md has the settings that the guides name and that nothing here tunes", "[docs]") {
    std::set<std::string> named;
    for (const Row& row : rows())
        for (const std::string& name : names_in(row)) named.insert(name);
    for (const std::string name :
         {"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.conf.all.rp_filter",
          "net.ipv4.tcp_max_orphans", "net.ipv4.udp_rmem_min", "net.ipv4.udp_wmem_min", "net.core.optmem_max",
          "net.ipv4.tcp_mtu_probing", "net.netfilter.nf_conntrack_udp_timeout",
          "net.netfilter.nf_conntrack_udp_timeout_stream", "net.ipv4.tcp_slow_start_after_idle",
          "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
          "net.ipv4.tcp_syncookies", "net.ipv4.tcp_sack", "fs.file-max", "fs.nr_open"}) {
        INFO(name);
        CHECK(named.contains(name));
    }
}

TEST_CASE("docs/the-guides.md says \"where the policy names\" of what has to be named, and of nothing else", "[docs]") {
    for (const Row& row : rows()) {
        INFO(row[setting] << ": " << row[here]);
        const bool says = row[here].contains("where the policy names") || row[here].contains("its name") ||
                          row[here].contains("by a policy's `min`");
        CHECK(says == std::ranges::any_of(tunables_in(row), &Tunable::opt_in));
    }
}

TEST_CASE("docs/the-guides.md says of a setting of devices that it may be expected", "[docs]") {
    for (const Row& row : rows())
        for (const std::string& name : names_in(row))
            if (tunables::find_device_setting(name) != nullptr) {
                INFO(name);
                CHECK(row[here].find("watched under `expect`") != std::string::npos);
            }
}

} // namespace bpftune::views
