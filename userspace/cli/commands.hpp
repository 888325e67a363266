// SPDX-License-Identifier: Apache-2.0
// The subcommands: one file each. `add_X` declares options on `app` and sets `status` when the command has run.
// Exit status: 0 done; 1 it failed, the reason on stderr; 2 usage or invalid policy.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/result.hpp"
#include "policy/policy.hpp"
#include "probes/probes.hpp"
#include "views/json.hpp"

namespace bpftune::cli {

inline constexpr int done = 0;
inline constexpr int failed = 1;
inline constexpr int usage = 2;

inline constexpr auto default_socket = "/run/bpftune-k8s/api.sock";
inline constexpr auto default_state_dir = "/var/lib/bpftune-k8s";

void add_run(CLI::App& app, int& status);
void add_top(CLI::App& app, int& status);
void add_doctor(CLI::App& app, int& status);
void add_health(CLI::App& app, int& status);
void add_policy(CLI::App& app, int& status);
void add_history(CLI::App& app, int& status);
void add_restore(CLI::App& app, int& status);
void add_record(CLI::App& app, int& status);
void add_replay(CLI::App& app, int& status);
void add_measure(CLI::App& app, int& status);

// "bpftune-k8s: <message>" on stderr, in one line. Names of files and processes are in it as they are, or escaped
// already: what of it a terminal would obey is escaped here.
void tell(std::string_view message);

// Tells it; returns `failed`.
int fail(const Error& error);

// Error: not all that was printed has reached standard output. To be asked before the exit status says that it has.
Result<> flush_output();

// Before any file is opened: it would get the place of a standard stream that was closed at the start, and what is
// printed would go into it. Such a stream can be neither read nor written from then on.
void keep_standard_streams();

struct PolicyText {
    std::string name; // as in messages: that of the file, or <stdin>
    std::string text;
    policy::Policy policy;
};
// The policy in `file`, or with "-" on standard input; or the exit status, and the reason on stderr.
std::expected<PolicyText, int> read_policy(const std::string& file);
std::expected<policy::Policy, int> load_policy(const std::string& file);

// For CLI::Option::check(): "500ms", "10s", "5m", "2h", "7d".
std::string check_duration(const std::string& text);

// The same: a path. "-" is none but where it is standard input: read_policy().
std::string check_path(const std::string& text);
std::string check_path_or_input(const std::string& text);

// Error: no service has kept its state there, or that cannot be seen. Makes nothing.
Result<> check_state_dir(const std::string& directory);

// The same error; where it is for want of rights, with what to do about that.
Error with_rights_hint(Error error);

// Adds --rung to `command`. What it checks is whether the ladder has that rung; whether the kernel has it,
// Probes::as_asked says.
void add_rungs(CLI::App& command, std::vector<std::string>& choices);
std::vector<probes::RungChoice> rungs_of(const std::vector<std::string>& choices);

// Adds --cri-socket to `command`, for PodNames::ask_runtime_at().
void add_cri_socket(CLI::App& command, std::string& socket);

// What the service at `socket` says of itself (service/health.hpp). Error: it gave no answer within 2 s; or, with a
// code, it could not be asked: none is there, or the rights are missing.
Result<views::Json> ask_health(const std::string& socket);

// Columns of the terminal, or of a plain table where standard output is none.
std::size_t output_width();

} // namespace bpftune::cli
