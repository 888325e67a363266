// SPDX-License-Identifier: Apache-2.0
// docs/parity.md says of every signal how each rung sees it, or why that is not compared.
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "paths.hpp"
#include "signals/catalog.hpp"

using namespace bpftune;

namespace {

struct Page {
    std::set<std::string> compared;
    std::set<std::string> not_compared;
};

// "| `signal` | rung | ..." and, below, "| why | `signal`, `signal` |".
Page read_page() {
    Page page;
    std::ifstream file(std::string(testing::source_dir) + "/docs/parity.md");
    static const std::regex name("`([a-z_]+[.][a-z_0-9]+)`");
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("| ")) continue;
        auto& names = line.starts_with("| `") ? page.compared : page.not_compared;
        for (auto at = std::sregex_iterator(line.begin(), line.end(), name); at != std::sregex_iterator(); ++at)
            names.insert((*at)[1]);
    }
    return page;
}

} // namespace

TEST_CASE("docs/parity.md has every signal of the catalog once, compared or with why not, and no other", "[docs]") {
    Page page = read_page();
    for (const signals::Table& table : signals::catalog()) {
        for (const signals::Signal& signal : table.signals) {
            const std::string name(signal.name);
            INFO(name << ": compare it in tests/netns/signals/parity_*test.cpp, or name it in scripts/parity");
            CHECK(page.compared.erase(name) + page.not_compared.erase(name) == 1);
        }
    }
    for (const auto* left : {&page.compared, &page.not_compared})
        for (const std::string& name : *left) FAIL_CHECK(name << " is in docs/parity.md and no signal");
}
