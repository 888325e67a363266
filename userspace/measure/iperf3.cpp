// SPDX-License-Identifier: Apache-2.0
#include "measure/iperf3.hpp"

#include <array>
#include <cmath>
#include <csignal>
#include <vector>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "core/text.hpp"
#include "core/time.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace bpftune::measure {
namespace {

using Json = nlohmann::json;

constexpr std::size_t largest_answer = 4 << 20;

const Json* find(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() ? &*found : nullptr;
}

// A finite number that is not negative, below end.PART.
std::optional<double> figure(const Json& answer, const char* part, const char* name) {
    const Json* at = find(answer, "end");
    at = at != nullptr ? find(*at, part) : nullptr;
    at = at != nullptr ? find(*at, name) : nullptr;
    if (at == nullptr || !at->is_number()) return std::nullopt;
    const double value = at->get<double>();
    return std::isfinite(value) && value >= 0 ? std::optional(value) : std::nullopt;
}

class Program {
public:
    // Its standard output is read, its standard error is not. Error code ENOENT: it is not installed.
    static Result<Program> start(const std::vector<std::string>& words) {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) < 0) return system_failure(errno, "pipe");
        sys::Fd reader(ends[0]);
        const sys::Fd writer(ends[1]);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, writer.value(), STDOUT_FILENO);
        ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        std::vector<char*> arguments;
        arguments.reserve(words.size() + 1);
        for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        pid_t pid = 0;
        const int error = ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (error != 0) return system_failure(error, "{}", words[0]);
        return Program(pid, std::move(reader));
    }
    Program(Program&& other) noexcept : pid_(std::exchange(other.pid_, -1)), output_(std::move(other.output_)) {}
    Program& operator=(Program&&) = delete;
    ~Program() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    // All that it says until it ends.
    [[nodiscard]] Result<std::string> output(MonoTime until) const {
        std::string text;
        std::array<char, 65536> chunk{};
        while (text.size() <= largest_answer) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - sys::now().mono);
            pollfd waited{.fd = output_.value(), .events = POLLIN, .revents = 0};
            const int ready = left.count() <= 0 ? 0 : ::poll(&waited, 1, static_cast<int>(left.count()));
            if (ready == 0) return failure("it did not end in time");
            if (ready < 0 && errno == EINTR) continue; // stopped, and gone on with
            const ssize_t count = ::read(output_.value(), chunk.data(), chunk.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return system_failure(errno, "read");
            if (count == 0) return text;
            text.append(chunk.data(), static_cast<std::size_t>(count));
        }
        return failure("its answer is too long");
    }

private:
    Program(pid_t pid, sys::Fd output) : pid_(pid), output_(std::move(output)) {}

    pid_t pid_;
    sys::Fd output_;
};

} // namespace

Result<Throughput> parse_iperf3(std::string_view text) {
    const Json answer = Json::parse(text, nullptr, false);
    if (const Json* error = find(answer, "error"); error != nullptr && error->is_string())
        return failure("{}", truncated(printable(error->get<std::string>()), 100));
    const auto bits = figure(answer, "sum_received", "bits_per_second");
    if (!bits) return failure("its answer is not understood");
    return Throughput{*bits, figure(answer, "sum_sent", "retransmits").value_or(0)};
}

Result<Throughput> iperf3(const std::string& host, std::uint16_t port, std::uint64_t seconds) {
    const auto program = Program::start({"iperf3", "-c", host, "-p", std::to_string(port), "-t",
                                         std::to_string(seconds), "-J", "--connect-timeout", "2000"});
    if (!program && program.error().code == ENOENT) return failure("iperf3 is not installed");
    if (!program) return std::unexpected(program.error());
    const auto output = program->output(sys::now().mono + std::chrono::seconds(seconds + 10));
    const auto result = output ? parse_iperf3(*output) : std::unexpected(output.error());
    if (!result) return with_context(result.error(), "iperf3 on port {}", port);
    return result;
}

} // namespace bpftune::measure
