// SPDX-License-Identifier: Apache-2.0
// Pods that come and go all day: the service keeps nothing of them, and takes none for another.
#include <atomic>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <sched.h>

#include "cri/service/web.hpp"
#include "netns/service/http_client.hpp"
#include "sys/procfs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr unsigned pods = 200; // in two rounds
constexpr unsigned at_once = 4;
constexpr std::uint64_t least = 1024; // what the policy grants to shop
constexpr auto tick = std::chrono::milliseconds(250);

// From within the pod's network namespace; 0: it has gone.
std::uint64_t somaxconn_of(pid_t process) {
    std::uint64_t value = 0;
    std::thread([&] { // goes there alone
        const sys::Fd netns(::open(fmt::format("/proc/{}/ns/net", process).c_str(), O_RDONLY | O_CLOEXEC));
        if (netns && ::setns(netns.value(), CLONE_NEWNET) == 0)
            value = sys::read_number("/proc/sys/net/core/somaxconn").value_or(0);
    })
        .join();
    return value;
}

// What became of the pods that are gone.
struct Lives {
    std::atomic<unsigned> raised = 0;    // of shop
    std::atomic<unsigned> untouched = 0; // of pay, whose namespace is now and then one that shop had
    std::mutex lock;
    std::string wrong; // the others
};

bool is_shop(unsigned number) { return number % 2 == 0; }

void live(Pods& own, const testing::Pod& pod, bool of_shop, Lives& lives) {
    const pid_t process = must_be(own.process_of(pod.containers.front()));
    if (of_shop) {
        if (!comes_true([&] { return somaxconn_of(process) == least; })) throw std::runtime_error("not raised");
        ++lives.raised;
        return;
    }
    std::this_thread::sleep_for(2 * tick); // time to be taken for another
    if (const auto value = somaxconn_of(process); value != 128)
        throw std::runtime_error(fmt::format("pay was given {}", value));
    ++lives.untouched;
}

// Each thread makes and removes its share, one after the other.
void come_and_go(const ContainerRuntime& runtime, unsigned first, unsigned end, Lives& lives) {
    Pods own(runtime.socket());
    for (unsigned number = first; number < end; ++number) {
        PodSpec spec = web(runtime, is_shop(number) ? "shop" : "pay", number);
        spec.name = fmt::format("web-{}", number);
        try {
            const auto pod = must_be(own.run(spec));
            live(own, pod, is_shop(number), lives);
            must_be(own.remove(pod.sandbox));
        } catch (const std::exception& error) {
            const std::scoped_lock held(lives.lock);
            lives.wrong += fmt::format("{}: {}\n", spec.name, error.what());
        }
    }
}

// Half of them, from this number on.
void all_come_and_go(const ContainerRuntime& runtime, unsigned first, Lives& lives) {
    constexpr unsigned share = pods / 2 / at_once;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < at_once; ++i)
        threads.emplace_back(
            [&runtime, &lives, from = first + i * share] { come_and_go(runtime, from, from + share, lives); });
    for (std::thread& thread : threads) thread.join();
}

// KiB
std::uint64_t anonymous_memory(pid_t pid) {
    std::istringstream status(contents(fmt::format("/proc/{}/status", pid)));
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::stoull(line.substr(line.find_first_of("0123456789")));
    return 0;
}

// The least that it has within so long: what the runtime's answers take goes back.
std::uint64_t settled_memory(pid_t pid) {
    std::uint64_t least_seen = anonymous_memory(pid);
    for (int i = 0; i < 40; ++i) {
        std::this_thread::sleep_for(tick);
        least_seen = std::min(least_seen, anonymous_memory(pid));
    }
    return least_seen;
}

// Of both processes. BPF maps are a descriptor each, and of fixed size.
std::size_t descriptors_of(const Service& service) {
    return open_descriptors(service.pid()) + open_descriptors(writer_of(service));
}

// Once one pod, and no other, has a row.
bool shows_one_pod(const Home& home) {
    return comes_true([&] {
        const Json rows = home.top()["listeners"];
        return std::ranges::count_if(rows, [](const Json& row) {
                   return row["pod"].is_object() &&
                          (row["pod"]["namespace"] == "shop" || row["pod"]["namespace"] == "pay");
               }) == 1;
    });
}

} // namespace

TEST_CASE("200 pods that came and went leave nothing behind, and nothing is written to a successor") {
    ContainerRuntime runtime(server_program());
    const Home home;
    home.set_policy(policy_text_for("{match: {namespace: shop, labels: {app: web}}}", "shop", "mode: auto",
                                    fmt::format("    net.core.somaxconn: {{min: {}}}\n", least)));
    Service::Settings settings = asking(runtime);
    settings.interval = "250ms";
    settings.listen = "127.0.0.1:0";
    const Running service(home, settings);
    Lives lives;
    all_come_and_go(runtime, 1, lives);
    const auto left = must_be(runtime.pods().run(web(runtime, "shop", 0)));
    REQUIRE(shows_one_pod(home));
    const std::size_t descriptors = descriptors_of(service);
    const std::uint64_t memory = settled_memory(service.pid());
    const std::uint64_t memory_of_writer = anonymous_memory(writer_of(service));

    all_come_and_go(runtime, 1 + pods / 2, lives);

    INFO(lives.wrong);
    CHECK(lives.raised == pods / 2);
    CHECK(lives.untouched == pods / 2);
    CHECK(shows_one_pod(home));
    CHECK(descriptors_of(service) <= descriptors + 2);
    constexpr std::uint64_t tolerated = 4096; // the series of pods that are gone stay for a quarter of an hour
    CHECK(comes_true([&] { return anonymous_memory(service.pid()) <= memory + tolerated; }));
    CHECK(anonymous_memory(writer_of(service)) <= memory_of_writer + tolerated);
    for (const Json& change : home.history()) CHECK(change["scope"]["pod"]["namespace"] == "shop");
    constexpr unsigned of_a_pod = 3; // its namespace, its listener, and one of them a second time
    CHECK(home.history().size() <= of_a_pod * (pods / 2 + 1));
    const Json to_undo = json_of(home.restored({"--dry-run"}));
    CHECK_FALSE(to_undo.empty());
    for (const Json& line : to_undo) {
        INFO(line.dump());
        CHECK(mentions(line["object"], "shop/web-0")); // the others have higher numbers
    }
    const std::string metrics = get(http_port(service), "/metrics");
    const std::string series = "\nbpftune_metrics_series ";
    REQUIRE(mentions(metrics, series));
    CHECK(std::stoul(metrics.substr(metrics.find(series) + series.size())) <= 1000);
    CHECK(somaxconn_of(must_be(runtime.pods().process_of(left.containers.front()))) == least);
}
