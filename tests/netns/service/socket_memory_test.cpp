// SPDX-License-Identifier: Apache-2.0
// What the service does where the memory runs out that all sockets of a protocol share. All namespaces share it, other
// tests' too: a machine of its own is needed, and tests/kernels/inside runs them by name.
#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "netns/service/fixtures.hpp"
#include "sys/procfs.hpp"
#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr int sockets = 48;

// By which a pool is soon full, and in which what each CPU keeps aside (SK_MEMORY_PCPU_RESERVE, 1 MiB) is little.
const std::vector<std::uint64_t> pages{1500, 2000, 3000};
const std::vector<std::uint64_t> twice_as_many{3000, 4000, 6000};

// The three numbers of a sysctl of this node, which are put back.
class ThreePages {
public:
    explicit ThreePages(std::string path) : path_(std::move(path)), original_(text()) {
        write(fmt::format("{}", fmt::join(pages, " ")));
    }
    ThreePages(const ThreePages&) = delete;
    ThreePages& operator=(const ThreePages&) = delete;
    ~ThreePages() { static_cast<void>(sys::write_file(path_, original_)); }

    [[nodiscard]] std::vector<std::uint64_t> now() const { return sys::sysctl_numbers(text()); }

private:
    [[nodiscard]] std::string text() const { return take(sys::read_file(path_)); }
    void write(const std::string& numbers) const { must(sys::write_file(path_, numbers).has_value(), "set " + path_); }

    std::string path_;
    std::string original_;
};

std::string only(std::string_view prefix) {
    std::string text = "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: memory}\n"
                       "spec:\n  mode: auto\n  tunables:\n";
    for (const auto& row : tunables::catalog())
        text += fmt::format("    {}: {{mode: {}}}\n", row.name, row.name.starts_with(prefix) ? "auto" : "observe");
    return text;
}

// Sockets of one namespace into which more is sent than is read: a little at a time, or nothing.
class Traffic {
public:
    Traffic(const Namespace& netns, int type, bool reads) : reads_(reads) {
        netns.inside([&] {
            for (int i = 0; i < sockets; ++i) add_pair(type);
        });
        thread_ = std::thread([this] { run(); });
    }
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic() { stop(); }

    void stop() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
        senders_.clear();
        receivers_.clear();
    }

private:
    void add_pair(int type) {
        sys::Fd receiver(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
        sys::Fd sender(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
        sockaddr_in here{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof here;
        auto* address = reinterpret_cast<sockaddr*>(&here);
        must(::bind(receiver.value(), address, size) == 0, "bind");
        must(::getsockname(receiver.value(), address, &size) == 0, "getsockname");
        if (type == SOCK_STREAM) must(::listen(receiver.value(), 1) == 0, "listen");
        must(::connect(sender.value(), address, size) == 0, "connect");
        if (type == SOCK_STREAM) receiver = sys::Fd(::accept4(receiver.value(), nullptr, nullptr, SOCK_CLOEXEC));
        senders_.push_back(std::move(sender));
        receivers_.push_back(std::move(receiver));
    }

    void run() {
        std::array<char, 16384> data{};
        while (!stop_) {
            for (const sys::Fd& sender : senders_)
                for (int i = 0; i < 8; ++i)
                    (void)::send(sender.value(), data.data(), 8192, MSG_DONTWAIT | MSG_NOSIGNAL);
            for (const sys::Fd& receiver : receivers_)
                if (reads_) (void)::recv(receiver.value(), data.data(), data.size(), MSG_DONTWAIT);
            ::poll(nullptr, 0, 50);
        }
    }

    bool reads_;
    std::vector<sys::Fd> senders_;
    std::vector<sys::Fd> receivers_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

struct Loopback {
    Namespace netns;
    Process resident{netns, [] { return std::uint64_t{0}; }};
    Loopback() { shell(fmt::format("ip -n {} link set lo up", netns.name())); }
};

Json pool(const Home& home, const char* protocol) {
    return row_where(home.top()["socket_memory"], {{"protocol", protocol}});
}

struct Protocol {
    const char* name;
    const char* sysctl;
    int type;
    const char* file; // in which the kernel counts what it lacked
    const char* group;
    const char* counter;
    const char* counted; // as `top` has it
};

std::uint64_t counter_in(const Namespace& netns, const Protocol& protocol) {
    std::string text;
    netns.inside([&] { text = take(sys::read_file(fmt::format("/proc/thread-self/net/{}", protocol.file))); });
    return sys::netstat_value(text, protocol.group, protocol.counter).value();
}

} // namespace

TEST_CASE("memory that sockets share is raised where those that move run out of it, and put back", "[.][own-machine]") {
    const auto protocol = GENERATE(
        Protocol{"tcp", "net.ipv4.tcp_mem", SOCK_STREAM, "netstat", "TcpExt", "TCPMemoryPressures", "pressures"},
        Protocol{"udp", "net.ipv4.udp_mem", SOCK_DGRAM, "snmp", "Udp", "MemErrors", "lost"});
    const LoneHome home;
    const ThreePages limits(fmt::format("/proc/sys/net/ipv4/{}_mem", protocol.name));
    const Loopback pod;
    home.set_policy(only(protocol.sysctl));
    const Running service(home);
    Traffic traffic(pod.netns, protocol.type, true);
    const bool raised = comes_true([&] { return limits.now() == twice_as_many; });
    INFO(home.top()["socket_memory"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    const Json row = row_where(home.history(), {{"tunable", protocol.sysctl}});
    CHECK(row["from"] == "3000");
    CHECK(mentions(row["why"], fmt::format("held by {}:", pod.netns.name())));
    CHECK(pool(home, protocol.name)["largest_netns"] == pod.netns.inode());
    CHECK(pool(home, protocol.name)["held_bytes"].get<std::uint64_t>() > 0);

    traffic.stop();
    const std::uint64_t counted = counter_in(pod.netns, protocol);
    CHECK(counted > 0);
    CHECK(comes_true([&] { return pool(home, protocol.name)[protocol.counted] == counted; }));
    CHECK(comes_true([&] {
        (void)home.restore();
        return limits.now() == pages;
    }));
}

TEST_CASE("memory that is held by sockets that nobody reads is raised for nobody, and whose they are is said",
          "[.][own-machine]") {
    const LoneHome home;
    const ThreePages limits("/proc/sys/net/ipv4/tcp_mem");
    const Loopback pod;
    home.set_policy(only("net.ipv4.tcp_mem"));
    const Running service(home);
    const Traffic traffic(pod.netns, SOCK_STREAM, false);
    const auto row = [&] { return row_where(home.history(), {{"tunable", "net.ipv4.tcp_mem"}}); };
    const bool said = comes_true([&] { return !row().is_null(); });
    INFO(home.top()["socket_memory"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(row()["state"] == "advice");
    CHECK(mentions(row()["why"], fmt::format("held by {}:", pod.netns.name())));
    CHECK(mentions(row()["why"], "look for a leak of sockets"));
    CHECK(limits.now() == pages);
    const Json tcp = pool(home, "tcp");
    CHECK(tcp["under_pressure"] == 1);
    CHECK(2 * tcp["largest_still_bytes"].get<std::uint64_t>() > tcp["bytes"].get<std::uint64_t>());
}
