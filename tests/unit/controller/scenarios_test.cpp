// SPDX-License-Identifier: Apache-2.0
// The specification of the controller is in tests/scenarios: each of them holds.
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "paths.hpp"
#include "unit/controller/scenario.hpp"

using namespace bpftune::testing;

namespace {

std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string error_of(const std::string& text) {
    const auto scenarios = read_scenarios("broken.yaml", text);
    REQUIRE_FALSE(scenarios);
    return scenarios.error();
}

// A scenario with these steps, from line 5 on.
std::string with_steps(const std::string& steps) {
    return "- scenario: a sentence\n  policy: {mode: auto}\n  node: {listener: {port: 80, limit: 128}}\n  steps:\n" +
           steps;
}

} // namespace

TEST_CASE("every scenario comes out as it says") {
    const auto folder = std::filesystem::path(source_dir) / "tests/scenarios";
    std::size_t played = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".yaml") continue;
        const auto scenarios =
            read_scenarios("tests/scenarios/" + entry.path().filename().string(), content_of(entry.path()));
        if (!scenarios) FAIL(scenarios.error());
        for (const Scenario& scenario : *scenarios) {
            if (const std::string different = play(scenario); !different.empty()) FAIL_CHECK(different);
            ++played;
        }
    }
    CHECK(played >= 40);
}

TEST_CASE("a mistake in a scenario is said with its file and line") {
    CHECK(error_of("scenario: x") == "broken.yaml:1: a list of scenarios is expected");
    CHECK(error_of(with_steps("    - {at: 1s, tock: {port: 80}}\n")) == "broken.yaml:5: 'tock' is not known here");
    CHECK(error_of(with_steps("    - {at: 1s}\n    - {at: 1 s}\n")).starts_with("broken.yaml:6: '1 s' is no duration"));
    CHECK(error_of(with_steps("    - {at: 1s}\n    - {at: 2s, at: 3s}\n")) == "broken.yaml:6: 'at' comes twice");
    CHECK(error_of(with_steps("    - {at: 2s}\n    - {at: 1s}\n")) == "broken.yaml:6: earlier than the step before it");
    CHECK(error_of(with_steps("    - {at: 1s, tick: {port: 81}}\n")) ==
          "broken.yaml:5: no listener of this scenario has port 81");
    CHECK(error_of(with_steps("    - {at: 1s\n")).starts_with("broken.yaml:"));
}

TEST_CASE("a scenario that comes out otherwise says where, what came and what was expected") {
    const auto scenarios = read_scenarios(
        "broken.yaml",
        with_steps("    - at: 0s\n      pressure: {port: 80, peak: 65}\n      expect: write x 1 -> 2\n"));
    REQUIRE(scenarios);
    const std::string different = play(scenarios->front());
    CHECK(different.starts_with("broken.yaml:5: a sentence:\n  came      write net.core.somaxconn 128 -> 512, accept"));
    CHECK(different.ends_with("\n  expected  write x 1 -> 2"));
}
