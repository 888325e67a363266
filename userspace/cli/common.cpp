// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actuators/journal.hpp"
#include "cli/commands.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "policy/keys.hpp"
#include "policy/parse.hpp"
#include "sys/files.hpp"
#include "views/text.hpp"

namespace bpftune::cli {

void tell(std::string_view message) { fmt::print(stderr, "bpftune-k8s: {}\n", views::terminal_safe(message)); }

int fail(const Error& error) {
    tell(error.message);
    return failed;
}

Result<> flush_output() {
    if (std::fflush(stdout) != 0) return system_failure(errno, "cannot write to standard output");
    if (std::ferror(stdout) != 0) return failure("cannot write to standard output");
    return {};
}

namespace {

// execve() closes what has FD_CLOEXEC: a descriptor that has it was opened since, by a library before main(). gRPC
// tries whether there are eventfds, and leaves the one that it got open where that is 0.
bool was_there_at_start(int stream) {
    const int flags = ::fcntl(stream, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

} // namespace

void keep_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (was_there_at_start(stream)) continue;
        // For the other direction, so that using it fails; of stderr nobody is told.
        const int nothing = ::open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
        if (nothing < 0 || nothing == stream) continue;
        ::dup2(nothing, stream);
        ::close(nothing);
    }
}

namespace {

// One byte past what is taken is enough to refuse it.
Result<std::string> read_standard_input() {
    std::string text;
    for (std::array<char, 4096> part{}; text.size() <= policy::largest_file_bytes;) {
        const ssize_t length = ::read(STDIN_FILENO, part.data(), part.size());
        if (length == 0) break;
        if (length < 0) return system_failure(errno, "standard input");
        text.append(part.data(), static_cast<std::size_t>(length));
    }
    return text;
}

} // namespace

std::expected<PolicyText, int> read_policy(const std::string& file) {
    const bool is_standard_input = file == "-";
    auto text = is_standard_input ? read_standard_input() : sys::read_file(file);
    if (!text) return std::unexpected(fail(text.error()));
    PolicyText read{.name = is_standard_input ? "<stdin>" : file, .text = std::move(*text), .policy = {}};
    auto parsed = policy::parse(read.text);
    if (!parsed) {
        fmt::print(stderr, "{}", policy::render(read.name, read.text, parsed.error()));
        return std::unexpected(usage);
    }
    read.policy = std::move(*parsed);
    read.policy.file.value = printable(std::filesystem::path(read.name).filename().string());
    return read;
}

std::expected<policy::Policy, int> load_policy(const std::string& file) {
    auto read = read_policy(file);
    if (!read) return std::unexpected(read.error());
    return std::move(read->policy);
}

std::string check_duration(const std::string& text) {
    const auto duration = parse_duration(text);
    return duration ? std::string() : duration.error().message;
}

std::string check_path_or_input(const std::string& text) { return text.empty() ? "it is empty: a path is wanted" : ""; }

std::string check_path(const std::string& text) {
    constexpr auto no_stream = "it is neither standard input nor output here: for a file called '-' write ./-";
    return text == "-" ? no_stream : check_path_or_input(text);
}

// A journal that is a link, whatever it leads to, is refused by whoever opens it.
Result<> check_state_dir(const std::string& directory) {
    const std::filesystem::path journal = std::filesystem::path(directory) / actuators::journal_file_name;
    struct stat status{};
    if (::lstat(journal.c_str(), &status) == 0) return {};
    const int code = errno;
    constexpr auto empty = "no service has kept its state in it";
    if (code == ENOTDIR) return failure("{} is no directory: {}", directory, empty);
    if (code != ENOENT) return system_failure(code, "{}", journal.string());
    std::error_code ignored;
    if (!std::filesystem::exists(directory, ignored)) return failure("{} is not there: {}", directory, empty);
    return failure("{} has no {}: {}", directory, actuators::journal_file_name, empty);
}

Error with_rights_hint(Error error) {
    const bool is_denied = error.code == EACCES || error.code == EPERM;
    if (is_denied && ::geteuid() != 0) error.message += ": run it as root";
    return error;
}

void add_rungs(CLI::App& command, std::vector<std::string>& choices) {
    const auto check = [](const std::string& text) {
        const auto choice = probes::parse_rung_choice(text);
        return choice ? std::string() : choice.error().message;
    };
    command
        .add_option("--rung", choices, "PROBE=METHOD: measure by that method and not by the best; doctor lists them")
        ->type_name("PROBE=METHOD")
        ->check(check)
        ->allow_extra_args(false);
}

std::vector<probes::RungChoice> rungs_of(const std::vector<std::string>& choices) {
    std::vector<probes::RungChoice> rungs;
    rungs.reserve(choices.size());
    for (const std::string& choice : choices) rungs.push_back(*probes::parse_rung_choice(choice));
    return rungs;
}

void add_cri_socket(CLI::App& command, std::string& socket) {
    command
        .add_option("--cri-socket", socket,
                    "The container runtime's, for the names of pods; or none (default: cri-dockerd's, k3s', CRI-O's, "
                    "containerd's, the first that answers)")
        ->type_name("PATH|none")
        ->check(check_path);
}

std::size_t output_width() {
    constexpr std::size_t plain = 160;
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return plain;
}

} // namespace bpftune::cli
