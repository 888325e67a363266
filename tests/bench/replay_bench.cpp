// SPDX-License-Identifier: Apache-2.0
// How many snapshots a second are replayed, of a node on which each pod has traffic in every third of them.
//
//   replay-bench [PODS]     {"pods":10,"snapshots_per_second":...,"bytes_per_snapshot":...}
#include <cstdlib>
#include <filesystem>
#include <random>

#include <unistd.h>

#include <fmt/format.h>

#include "recording/file.hpp"
#include "recording/replay.hpp"
#include "sys/clock.hpp"

using namespace bpftune;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t snapshots = 200'000;

template <class T> T must(Result<T> result) {
    if (!result) {
        fmt::print(stderr, "replay-bench: {}\n", result.error().message);
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Node {
public:
    explicit Node(std::uint64_t pods) {
        snapshot_.node = "n1";
        snapshot_.memory_bytes = std::uint64_t{16} << 30;
        for (std::uint64_t i = 0; i < pods; ++i) {
            const NetnsId netns{.cookie = 100 + i, .inode = static_cast<std::uint32_t>(4026532000 + i)};
            snapshot_.listeners.push_back({.netns = netns,
                                           .cookie = 1000 + i,
                                           .inode = 40000 + i,
                                           .local = {"0.0.0.0", 8080},
                                           .pid = 700,
                                           .fd = 6,
                                           .command = "nginx",
                                           .limit = 4096,
                                           .asked = 65535,
                                           .somaxconn = 4096,
                                           .arrivals = 0});
            snapshot_.tcp.push_back({.netns = netns, .pid = 700, .somaxconn = 4096, .time_wait_limit = 131072});
            snapshot_.conntrack.push_back({.netns = netns, .limit = 262144, .buckets = 262144});
        }
    }

    const Snapshot& next() {
        snapshot_.time.mono += 1s;
        snapshot_.time.wall += 1s;
        snapshot_.guards.memory_available_bytes = (std::uint64_t{8} << 30) + 4096 * some(100000);
        snapshot_.interval = 1s + Nanoseconds(some(100'000));
        ++ticks_;
        for (std::size_t pod = 0; pod < snapshot_.listeners.size(); ++pod) pass(pod, (ticks_ + pod) % 3 == 0);
        return snapshot_;
    }

private:
    void pass(std::size_t pod, bool traffic) {
        const std::uint64_t arrivals = traffic ? some(2000) : 0;
        Listener& listener = snapshot_.listeners[pod];
        listener.arrivals = *listener.arrivals + arrivals;
        listener.queue = static_cast<std::uint32_t>(traffic ? some(3) : 0);
        listener.read = snapshot_.time.mono;
        listener.window = {.length = snapshot_.interval,
                           .peak = static_cast<std::uint32_t>(traffic ? some(900) : 0),
                           .arrivals = arrivals,
                           .accepted = arrivals};
        if (!traffic) return;
        NetnsTcp& tcp = snapshot_.tcp[pod];
        tcp.time_wait_sockets = some(5000);
        tcp.time_wait_entries += some(2000);
        tcp.time_wait_entries_per_second = static_cast<double>(some(20000)) / 10.01;
        Conntrack& table = snapshot_.conntrack[pod];
        table.entries = 50000 + some(5000);
        table.entries_per_second = static_cast<double>(some(900)) / 1.0003 - 450;
        table.inserts_per_second = static_cast<double>(some(2000)) / 1.0003;
    }

    std::uint64_t some(std::uint64_t most) { return dice_() % most; }

    Snapshot snapshot_;
    std::uint64_t ticks_ = 0;
    std::mt19937_64 dice_;
};

void write_recording(const std::filesystem::path& path, std::uint64_t pods) {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    auto file = must(recording::LineWriter::create(path));
    recording::Encoder encoder;
    must(
        file.write(encoder.begin({.schema = recording::current_schema, .policy = recording::lines_of(policy)}) + '\n'));
    Node node(pods);
    for (std::uint64_t i = 0; i < snapshots; ++i) {
        const Snapshot& snapshot = node.next();
        must(file.write(encoder.step(snapshot, {.now = snapshot.time.mono + 1ms}) + '\n'));
    }
    must(file.finish());
}

// CPU time: what else the machine does does not count.
double replay_rate(const std::filesystem::path& path) {
    const Nanoseconds begin = sys::thread_cpu_time();
    auto lines = must(recording::LineReader::open(path));
    recording::Replay replay({});
    while (const auto line = must(lines.next())) must(replay.take(*line));
    return static_cast<double>(replay.report().snapshots) / Seconds(sys::thread_cpu_time() - begin).count();
}

} // namespace

int main(int argc, char** argv) {
    const std::uint64_t pods = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10;
    const auto path = std::filesystem::temp_directory_path() / fmt::format("bpftune-replay-bench.{}", ::getpid());
    write_recording(path, pods);
    const auto size = std::filesystem::file_size(path);
    const double rate = replay_rate(path);
    std::filesystem::remove(path);
    fmt::print("{{\"pods\":{},\"snapshots_per_second\":{:.0f},\"bytes_per_snapshot\":{:.0f}}}\n", pods, rate,
               static_cast<double>(size) / snapshots);
}
