// SPDX-License-Identifier: Apache-2.0
// Which rungs a run of the tests is about: BPFTUNE_TEST_RUNGS="listen=netlink,time_wait=procfs"; without it the best.
#pragma once

#include <cstdlib>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "probes/probes.hpp"

namespace bpftune::testing {

inline std::vector<std::string> rung_words() {
    std::vector<std::string> words;
    const char* text = std::getenv("BPFTUNE_TEST_RUNGS");
    if (text == nullptr || *text == '\0') return words;
    for (const auto word : std::string_view(text) | std::views::split(','))
        words.emplace_back(word.begin(), word.end());
    return words;
}

inline std::vector<probes::RungChoice> test_rungs() {
    std::vector<probes::RungChoice> rungs;
    for (const std::string& word : rung_words()) rungs.push_back(probes::parse_rung_choice(word).value());
    return rungs;
}

// Every probe on the rung that this run is about.
inline probes::Probes open_probes(probes::Options options = {}) {
    options.rungs = test_rungs();
    auto probes = probes::Probes::open(options);
    if (const auto asked = probes.as_asked(); !asked) throw std::runtime_error(asked.error().message);
    return probes;
}

} // namespace bpftune::testing
