// SPDX-License-Identifier: Apache-2.0
// The policy file on disk: read, checked, and watched for changes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "policy/policy.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

class PolicyFile {
public:
    // `required`: a file that is not there is an error; else it means the default policy, which observes.
    PolicyFile(std::filesystem::path path, bool required) : path_(std::move(path)), required_(required) {}

    // The error is the rendered diagnostics, as `policy check` prints them, or why the file could not be read.
    Result<policy::Policy> load();

    // Readable when something happened in the folders that the file and what it links to are in: an edit in place, a
    // rename over it, the symlink swap of a ConfigMap. -1: it cannot be watched.
    [[nodiscard]] int watch();
    // Takes the waiting notifications; whether the text is another one than `load` saw last.
    bool changed();

    // Whether there was a file when it was loaded last; without one the default policy holds.
    [[nodiscard]] bool found() const { return text_.has_value(); }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    // "FILE:7:5", where the text that was loaded last names a sysctl or tunable; "FILE": nowhere.
    [[nodiscard]] std::string place_of(std::string_view name) const;

private:
    std::filesystem::path path_;
    bool required_;
    std::optional<std::string> text_; // as loaded last
    bool is_refused_ = false;         // it was there then, and could not be read
    sys::Fd watch_;
};

} // namespace bpftune::service
