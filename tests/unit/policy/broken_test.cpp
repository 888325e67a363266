// SPDX-License-Identifier: Apache-2.0
// tests/policy/broken: each NAME.yaml is refused with exactly the text of NAME.expected.
#include "policy/parse.hpp"

#include "unit/policy/files.hpp"

using namespace bpftune::policy;
using namespace bpftune::policy::test;

TEST_CASE("a broken policy is refused with its diagnostics, as whole text") {
    for (const auto& path : files("tests/policy/broken", ".yaml")) {
        const std::string text = content_of(path);
        const auto parsed = parse(text);
        CAPTURE(path.filename());
        REQUIRE_FALSE(parsed);
        auto expected = path;
        CHECK(render(path.filename().string(), text, parsed.error()) ==
              content_of(expected.replace_extension(".expected")));
    }
}

TEST_CASE("every broken policy has its expected text, and every text its policy") {
    const auto stems = [](const std::string& extension) {
        std::vector<std::string> out;
        for (const auto& path : files("tests/policy/broken", extension)) out.push_back(path.stem().string());
        return out;
    };
    CHECK(stems(".yaml") == stems(".expected"));
    CHECK(stems(".yaml").size() >= 30);
}
