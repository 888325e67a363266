// SPDX-License-Identifier: Apache-2.0
// Pods that come and go all day: the service keeps nothing of them, and takes none for another.
#include <thread>

#include "cri/service/web.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr unsigned pods = 200;
constexpr unsigned at_once = 4;

// Each thread makes and removes its share, one after the other.
void come_and_go(const ContainerRuntime& runtime, unsigned first) {
    Pods own(runtime.socket());
    for (unsigned number = first; number < first + pods / at_once; ++number) {
        const auto pod = own.run(web(runtime, "shop", number));
        if (pod) (void)own.remove(pod->sandbox);
        if (!pod) UNSCOPED_INFO(pod.error().message);
    }
}

void all_come_and_go(const ContainerRuntime& runtime, unsigned first) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < at_once; ++i)
        threads.emplace_back([&runtime, from = first + i * (pods / at_once)] { come_and_go(runtime, from); });
    for (std::thread& thread : threads) thread.join();
}

// KiB
std::uint64_t anonymous_memory(pid_t pid) {
    std::istringstream status(contents(fmt::format("/proc/{}/status", pid)));
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::stoull(line.substr(line.find_first_of("0123456789")));
    return 0;
}

// Once one pod, and no other, has a row.
bool shows_one_pod(const Home& home) {
    return comes_true([&] {
        const Json rows = home.top()["listeners"];
        return std::ranges::count_if(rows, [](const Json& row) {
                   return row["pod"].is_object() && row["pod"]["namespace"] == "shop";
               }) == 1;
    });
}

} // namespace

TEST_CASE("200 pods that came and went leave nothing behind, and nothing is written to a successor") {
    ContainerRuntime runtime(server_program());
    const Home home;
    home.set_policy(policy_text_for("{match: {namespace: shop}}", "shop", "mode: auto"));
    const Running service(home, asking(runtime));
    must_be(runtime.pods().run(web(runtime, "shop", 0)));
    REQUIRE(shows_one_pod(home));
    const std::size_t files = open_descriptors(service.pid());
    const std::uint64_t memory = anonymous_memory(service.pid());

    all_come_and_go(runtime, 1);

    CHECK(shows_one_pod(home));
    CHECK(open_descriptors(service.pid()) <= files + 2);
    constexpr std::uint64_t tolerated = 6 * 1024;
    CHECK(anonymous_memory(service.pid()) <= memory + tolerated);
    CHECK(home.history().empty());
}
