// SPDX-License-Identifier: Apache-2.0
// Which rungs a run of the tests is about: BPFTUNE_TEST_RUNGS="listen=netlink,time_wait=procfs"; without it the best.
// What no rung of the run sees is not tested in it, and said.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/utsname.h>
#include <unistd.h>

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

// Whether the BPF rungs are to be had, and wanted: bpf_map_lookup_percpu_elem() came with 5.19.
inline bool expects_bpf() {
    utsname name{};
    int major = 0;
    int minor = 0;
    ::uname(&name);
    std::sscanf(name.release, "%d.%d", &major, &minor); // NOLINT(cert-err34-c)
    return rung_words().empty() && std::pair(major, minor) >= std::pair(5, 19) &&
           ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}

// For what only some rungs see: true, and said, where those of this run do not. Never where BPF is expected.
inline bool is_blind(bool seen, const std::string& to) {
    if (seen) return false;
    WARN("the rungs of this run do not see " << to);
    REQUIRE_FALSE(expects_bpf());
    return true;
}

} // namespace bpftune::testing
