// SPDX-License-Identifier: Apache-2.0
// What the service does for a transfer that loses packets on a long way, none of which had to wait.
#include <cstdint>
#include <string>

#include "netns/cli/delay_line.hpp"
#include "netns/probes/delay.hpp"
#include "netns/service/fixtures.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr const char* control = "sys/net/ipv4/tcp_congestion_control";
constexpr const char* tunable = "net.ipv4.tcp_congestion_control";

// What namespaces may choose, for as long as this lives; a Home has the lock of the host's sysctls.
class Allowed {
public:
    explicit Allowed(const std::string& names) : before_(sys::read_file(path).value()) {
        must(sys::write_file(path, names).has_value(), "set tcp_allowed_congestion_control");
    }
    Allowed(const Allowed&) = delete;
    Allowed& operator=(const Allowed&) = delete;
    ~Allowed() { static_cast<void>(sys::write_file(path, before_)); }

private:
    static constexpr const char* path = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    std::string before_;
};

std::string lossy_policy() { return policy_text("lossy", "mode: auto", "    net.ipv4.tcp_congestion_control: {}\n"); }

Json change_in(const Json& history, const std::string& state) {
    return row_where(history, {{"tunable", tunable}, {"state", state}});
}

} // namespace

// Of this kernel, which has bbr built in. That the switch loads elsewhere is in docs/verifier.md.
TEST_CASE("a transfer that loses packets without a queue is switched to bbr while it runs, and is faster",
          "[any-kernel]") {
    const LoneHome home;
    home.set_policy(lossy_policy());
    const DelayLine line({"--delay", "25ms", "--loss", "0.01"});
    const Process resident(line.near(), [] { return std::uint64_t{0}; });
    const Running service(home);
    const Allowed allowed("reno cubic bbr");
    for (const Namespace* netns : {&line.near(), &line.far()}) netns->write(control, "cubic");
    if (home.top()["sources"]["buffers"] == "unavailable") return;

    const Stream stream(line.near(), line.far(), {.address = far_address, .chooses = false});
    const bool kept = comes_true([&] { return change_in(home.history(), "kept").is_object(); });
    INFO(home.top()["buffers"].dump(1) << service.err());
    REQUIRE(kept);
    CHECK(line.near().read(control) == "bbr\n");
    CHECK(line.far().read(control) == "cubic\n"); // it only receives
    const Json raise = change_in(home.history(), "kept");
    CHECK(raise["from"] == "cubic");
    CHECK(raise["to"] == "bbr");
    CHECK(mentions(raise["why"], "is held back by losses that no queue goes before"));
    CHECK(raise["evidence"]["bytes_per_second_after"] > raise["evidence"]["bytes_per_second_before"]);

    CHECK(home.restore().size() == 1);
    CHECK(line.near().read(control) == "cubic\n");
}

TEST_CASE("a congestion control that the host does not allow is not tried, which is said", "[any-kernel]") {
    const LoneHome home;
    home.set_policy(lossy_policy());
    const DelayLine line({"--delay", "25ms", "--loss", "0.01"});
    const Process resident(line.near(), [] { return std::uint64_t{0}; });
    const Running service(home);
    const Allowed allowed("reno cubic");
    for (const Namespace* netns : {&line.near(), &line.far()}) netns->write(control, "cubic");
    if (home.top()["sources"]["buffers"] == "unavailable") return;

    const Stream stream(line.near(), line.far(), {.address = far_address, .chooses = false});
    const bool said = comes_true([&] { return change_in(home.history(), "advice").is_object(); });
    INFO(home.top()["buffers"].dump(1) << service.err());
    REQUIRE(said);
    CHECK(mentions(change_in(home.history(), "advice")["why"], "only the host can allow it"));
    CHECK(line.near().read(control) == "cubic\n");
}
