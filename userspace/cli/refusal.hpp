// SPDX-License-Identifier: Apache-2.0
// What is said of a command line that is not understood.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace bpftune::cli {

// For CLI::App::failure_message(). Of the first word that nothing takes, whatever else is missing for its sake:
// "unknown command 'polcy'; did you mean 'policy'?", "unknown option '--sinc' of history; ...", "history takes no 'x'".
// Of all else what CLI11 says. A second line says how to get help.
std::string refusal(const CLI::App* app, const CLI::Error& error);

} // namespace bpftune::cli
