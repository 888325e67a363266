// SPDX-License-Identifier: Apache-2.0
// Each alert of deploy/prometheus/rules.yaml has its section in docs/operations.md, and what that links is there.
#include <cctype>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "paths.hpp"
#include "signals/catalog.hpp"
#include "views/metrics.hpp"

namespace bpftune::views {
namespace {

std::string content_of(const std::string& path) {
    std::ifstream file(std::string(testing::source_dir) + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
    const std::regex expression(pattern, std::regex::multiline);
    std::vector<std::string> found;
    for (std::sregex_iterator at(text.begin(), text.end(), expression); at != std::sregex_iterator(); ++at)
        found.push_back((*at)[1]);
    return found;
}

// As readers of Markdown make them: letters and digits in lower case, a blank as "-", the rest left out.
std::set<std::string> anchors_of(const std::string& page) {
    std::set<std::string> anchors;
    for (const std::string& heading : matches(page, "^##+ (.*)$")) {
        std::string anchor;
        for (const char c : heading) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte < 0x80 && (std::isalnum(byte) != 0 || c == '-' || c == '_'))
                anchor += static_cast<char>(std::tolower(byte));
            else if (c == ' ')
                anchor += '-';
        }
        anchors.insert(anchor);
    }
    return anchors;
}

} // namespace

TEST_CASE("each alert has its runbook in docs/operations.md, and each link within that page leads somewhere",
          "[docs]") {
    const std::string rules = content_of("deploy/prometheus/rules.yaml");
    const std::string page = content_of("docs/operations.md");
    const auto anchors = anchors_of(page);
    const auto alerts = matches(rules, "- alert: (.*)$");
    const auto runbooks = matches(rules, "runbook_url: docs/operations\\.md#(.*)$");
    CHECK(alerts.size() > 20);
    CHECK(runbooks.size() == alerts.size());
    for (const auto& links : {runbooks, matches(page, "\\]\\(#([^)]*)\\)")}) {
        for (const std::string& link : links) {
            INFO(link);
            CHECK(anchors.contains(link));
        }
    }
}

TEST_CASE("alerts and their cases are about metrics that there are", "[docs]") {
    Metrics metrics("0.1.0");
    metrics.update(Metrics::Health{});
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::applied);
    std::set<std::string> known;
    for (const std::string& name : matches(metrics.text(), "^# TYPE ([a-z0-9_]+) ")) known.insert(name);
    known.insert("bpftune_expected_sysctl"); // where any is expected
    known.insert("bpftune_mode");
    for (const signals::Table& table : signals::catalog())
        for (const signals::Signal& signal : table.signals) known.emplace(signal.metric);
    for (const std::string file : {"deploy/prometheus/rules.yaml", "tests/prometheus/rules_test.yaml",
                                   "deploy/grafana/node.json", "deploy/grafana/fleet.json"}) {
        for (const std::string& name : matches(content_of(file), "(bpftune_[a-z0-9_]+)")) {
            INFO(file << ": " << name);
            CHECK(known.contains(name));
        }
    }
}

} // namespace bpftune::views
