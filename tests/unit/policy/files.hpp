// SPDX-License-Identifier: Apache-2.0
// Policies of the repository, as the tests of this room use them.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "paths.hpp"

namespace bpftune::policy::test {

inline std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

// In `folder` of the repository, sorted.
inline std::vector<std::filesystem::path> files(const std::string& folder, const std::string& extension) {
    std::vector<std::filesystem::path> out;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(testing::source_dir) / folder))
        if (entry.path().extension() == extension) out.push_back(entry.path());
    std::ranges::sort(out);
    return out;
}

// A whole policy around the lines of a spec.
inline std::string with_spec(const std::string& lines) {
    return "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata:\n  name: test\nspec:\n" + lines;
}

} // namespace bpftune::policy::test
