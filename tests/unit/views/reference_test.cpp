// SPDX-License-Identifier: Apache-2.0
#include "views/reference.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

#include "paths.hpp"

namespace bpftune::views {
namespace {

void check_page(const std::string& name, const std::string& text) {
    const std::string path = std::string(testing::source_dir) + "/docs/" + name;
    if (std::getenv("UPDATE_DOCS") != nullptr) std::ofstream(path) << text;
    std::ifstream file(path);
    const std::string committed{std::istreambuf_iterator<char>(file), {}};
    INFO("to make it again: UPDATE_DOCS=1 unit-views-tests \"[docs]\"");
    CHECK(committed == text);
}

} // namespace

TEST_CASE("docs/signals.md is what the catalog says", "[docs]") { check_page("signals.md", signals_reference()); }

TEST_CASE("docs/tunables.md is what the catalog says", "[docs]") { check_page("tunables.md", tunables_reference()); }

} // namespace bpftune::views
