// SPDX-License-Identifier: Apache-2.0
// A container runtime of a test's own (tests/cri/runtime), which goes with all its pods.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "paths.hpp"
#include "pods.hpp"
#include "temporary_directory.hpp"

namespace bpftune::testing {

class ContainerRuntime {
public:
    // `programs` are in /bin of the containers, beside busybox. `containerd`: the directory with another than Debian's.
    explicit ContainerRuntime(const std::string& programs = {}, std::string containerd = {})
        : containerd_(std::move(containerd)), token_(fmt::format("{:08x}", std::random_device()())), pods_(socket()) {
        run("make", token_ + " " + programs);
    }
    ContainerRuntime(const ContainerRuntime&) = delete;
    ContainerRuntime& operator=(const ContainerRuntime&) = delete;
    ~ContainerRuntime() { [[maybe_unused]] const int status = std::system(command("remove").c_str()); } // NOLINT

    [[nodiscard]] std::filesystem::path socket() const { return directory_ / "containerd.sock"; }
    [[nodiscard]] Pods& pods() { return pods_; }
    // A UID as Kubernetes makes them; the same for the same number.
    [[nodiscard]] std::string uid(unsigned number) const {
        return fmt::format("{}-0000-4000-8000-{:012x}", token_, number);
    }

    void stop() { run("stop"); } // pods go on
    void start() { run("start"); }

private:
    [[nodiscard]] std::string command(const std::string& verb, const std::string& arguments = {}) const {
        const std::string path = containerd_.empty() ? "" : fmt::format("PATH='{}':\"$PATH\"", containerd_);
        return fmt::format("{} BUILD_DIR='{}' '{}/tests/cri/runtime' {} '{}' {}", path, build_dir, source_dir, verb,
                           directory_.path().native(), arguments);
    }
    void run(const std::string& verb, const std::string& arguments = {}) const {
        const std::string line = command(verb, arguments);
        if (std::system(line.c_str()) != 0) throw std::runtime_error("failed: " + line); // NOLINT(cert-env33-c)
    }

    TemporaryDirectory directory_;
    std::string containerd_;
    std::string token_;
    Pods pods_;
};

template <class Value> Value must_be(Result<Value> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}
inline void must_be(const Result<>& result) {
    if (!result) throw std::runtime_error(result.error().message);
}

} // namespace bpftune::testing
