// SPDX-License-Identifier: Apache-2.0
#include "service/survey.hpp"

#include <fstream>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::service;

namespace fs = std::filesystem;

TEST_CASE("how pods are called is told by the best that is there, and what is wrong with the others") {
    const testing::TemporaryDirectory root;
    Result<> runtime = failure("no container runtime");
    const auto summary = [&] {
        std::string text;
        for (const PodsStep& step : survey_pods(runtime, root.path()))
            text += fmt::format("{}{}: {}\n", to_string(step.source), step.taken ? " taken" : "",
                                step.reason.substr(step.reason.find_last_of('/') + 1));
        return text;
    };
    CHECK(summary() == "cri: cgroup: No such file or directory\n"
                       "logs: cgroup: No such file or directory\n"
                       "cgroup: cgroup: No such file or directory\n");
    fs::create_directories(root / "proc/1");
    std::ofstream(root / "proc/1/cgroup") << "0::/init.scope\n";
    CHECK(summary() == "cri: no container runtime\n"
                       "logs: pods: No such file or directory\n"
                       "cgroup taken: \n");
    fs::create_directories(root / "var/log/pods");
    CHECK(summary() == "cri: no container runtime\n"
                       "logs taken: \n"
                       "cgroup: a better one is taken\n");
    runtime = {};
    CHECK(summary() == "cri taken: \n"
                       "logs: a better one is taken\n"
                       "cgroup: a better one is taken\n");
}
