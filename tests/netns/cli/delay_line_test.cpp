// SPDX-License-Identifier: Apache-2.0
// The lab's delay line is what it says: what it delays, drops and carries.
#include <catch2/catch.hpp>

#include <numeric>

#include <linux/tcp.h>

#include "netns/cli/delay_line.hpp"
#include "sys/clock.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

struct Connected {
    sys::Fd near;
    sys::Fd far;
};

void set_blocking(const sys::Fd& socket) { must(::fcntl(socket.value(), F_SETFL, 0) == 0, "F_SETFL"); }

Connected connected(const DelayLine& line) {
    const sys::Fd listener = line.far().inside([] { return listen_on(far_address, 8080, 10); });
    Connected pair;
    pair.near = line.near().inside([] {
        sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ::setsockopt(socket.value(), IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
        must(connect_to(socket, far_address, 8080) == 0, "connect");
        return socket;
    });
    pair.far = accept_one(listener);
    set_blocking(pair.far);
    return pair;
}

// Bytes that are other ones in each packet.
const std::vector<char>& pattern() {
    static const std::vector<char> bytes = [] {
        std::vector<char> made(1'000'003);
        std::mt19937 random(1);
        std::ranges::generate(made, [&] { return static_cast<char>(random()); });
        return made;
    }();
    return bytes;
}

struct Transfer {
    bool intact = true;
    double bits_per_second = 0;       // of the last two thirds
    double whole_bits_per_second = 0; // of all: no more than the way takes, whoever stalled
};

Transfer transfer(const Connected& pair, std::size_t size) {
    const MonoTime first = sys::now().mono;
    std::thread sender([&] {
        for (std::size_t sent = 0; sent < size;) {
            const std::size_t from = sent % pattern().size();
            const ssize_t count = ::send(pair.near.value(), pattern().data() + from,
                                         std::min(pattern().size() - from, size - sent), MSG_NOSIGNAL);
            if (count <= 0) break;
            sent += static_cast<std::size_t>(count);
        }
        ::shutdown(pair.near.value(), SHUT_WR);
    });
    Transfer result;
    std::vector<char> buffer(1 << 18);
    MonoTime begun;
    std::size_t begun_at = 0;
    std::size_t received = 0;
    for (ssize_t count = 0; (count = ::recv(pair.far.value(), buffer.data(), buffer.size(), 0)) > 0;) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(count);) {
            const std::size_t from = (received + i) % pattern().size();
            const std::size_t length = std::min(pattern().size() - from, static_cast<std::size_t>(count) - i);
            result.intact &= std::memcmp(buffer.data() + i, pattern().data() + from, length) == 0;
            i += length;
        }
        received += static_cast<std::size_t>(count);
        if (begun_at == 0 && received > size / 3) std::tie(begun, begun_at) = std::pair(sys::now().mono, received);
    }
    sender.join();
    result.intact &= received == size;
    result.bits_per_second = static_cast<double>(received - begun_at) * 8 / Seconds(sys::now().mono - begun).count();
    result.whole_bits_per_second = static_cast<double>(received) * 8 / Seconds(sys::now().mono - first).count();
    return result;
}

double ratio(std::uint64_t part, std::uint64_t rest) {
    return static_cast<double>(part) / static_cast<double>(part + rest);
}

// From near to far, `count` datagrams of 1,000 bytes: 1,028 with their headers.
void send_datagrams(const DelayLine& line, int count, int pause_after = 100) {
    line.near().inside([&] {
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in to = address_of(far_address, 9); // to nobody: each is answered, as far as ICMP's limits go
        const std::vector<char> payload(1000);
        for (int i = 0; i < count; ++i) {
            ::sendto(socket.value(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                     sizeof to);
            if (i % pause_after == pause_after - 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
}

// After what was sent has come out: there is no other sign of it than time.
std::array<Json, 2> counts_of_all(DelayLine& line, std::chrono::milliseconds after) {
    std::this_thread::sleep_for(after);
    auto counts = line.counts();
    REQUIRE(counts[0]["on_the_way"] == 0);
    return counts;
}

} // namespace

TEST_CASE("a delay line has the round trip that was set", "[any-kernel]") {
    const DelayLine line({"--delay", "25ms"});
    const Connected pair = connected(line);
    for (int i = 0; i < 10; ++i) {
        char byte = 'x';
        must(::send(pair.near.value(), &byte, 1, 0) == 1 && ::recv(pair.far.value(), &byte, 1, 0) == 1, "there");
        must(::send(pair.far.value(), &byte, 1, 0) == 1 && ::recv(pair.near.value(), &byte, 1, 0) == 1, "and back");
    }
    tcp_info info{};
    socklen_t size = sizeof info;
    must(::getsockopt(pair.near.value(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0, "TCP_INFO");
    CHECK(info.tcpi_min_rtt >= 50'000);
    CHECK(info.tcpi_min_rtt < 55'000); // the best of all
}

TEST_CASE("a delay line carries TCP by super-segments and loses nothing", "[any-kernel]") {
    DelayLine line({"--delay", "25ms"});
    const Transfer result = transfer(connected(line), 400'000'000);
    CHECK(result.intact);
    const auto counts = line.counts();
    for (const char* reason : {"queue", "loss", "memory"}) CHECK(counts[0][std::string("dropped_by_") + reason] == 0);
    CHECK(counts[0]["refused"] == 0);
    CHECK(counts[0]["carried"] > counts[0]["carried_writes"].get<int>() * 8);
    fmt::print("delay line, 25 ms each way: {:.2f} Gbit/s, goal >= 1; {:.1f} packets a write, {} not read in time\n",
               result.bits_per_second / 1e9,
               counts[0]["carried"].get<double>() / counts[0]["carried_writes"].get<double>(),
               counts[0]["dropped_by_device"].dump());
}

TEST_CASE("a delay line loses the part of the packets that was set", "[any-kernel]") {
    constexpr int sent = 20'000;
    DelayLine line({"--delay", "1ms", "--loss", "0.05", "--seed", "7"});
    send_datagrams(line, sent);
    const auto counts = counts_of_all(line, std::chrono::seconds(1));
    const auto carried = counts[0]["carried"].get<std::uint64_t>();
    const auto lost = counts[0]["dropped_by_loss"].get<std::uint64_t>();
    CHECK(carried + lost + counts[0]["dropped_by_device"].get<std::uint64_t>() == sent);
    CHECK(ratio(lost, carried) == Approx(0.05).margin(0.01)); // six standard deviations
    CHECK(counts[0]["carried_bytes"] == carried * 1028);
}

TEST_CASE("the packets of a super-segment are lost one by one, and what is left of it is intact", "[any-kernel]") {
    DelayLine line({"--delay", "1ms", "--loss", "0.01"});
    const Transfer result = transfer(connected(line), 100'000'000);
    CHECK(result.intact);
    const auto counts = line.counts();
    const auto carried = counts[0]["carried"].get<std::uint64_t>();
    CHECK(ratio(counts[0]["dropped_by_loss"].get<std::uint64_t>(), carried) == Approx(0.01).margin(0.003));
    CHECK(carried > counts[0]["carried_writes"].get<std::uint64_t>() * 2);
    CHECK(counts[0]["refused"] == 0);
}

TEST_CASE("a delay line's queue holds what was set, and the rest of a burst is dropped", "[any-kernel]") {
    constexpr int sent = 200;
    constexpr int fit = 19; // of 1,028 bytes in 20 KiB
    DelayLine line({"--delay", "1ms", "--rate", "100k", "--queue", "20KiB"});
    send_datagrams(line, sent, sent);
    const auto counts = counts_of_all(line, std::chrono::seconds(4));
    const auto carried = counts[0]["carried"].get<int>();
    CHECK(carried + counts[0]["dropped_by_queue"].get<int>() == sent);
    CHECK(carried >= fit);
    CHECK(carried < fit + 20); // one more for each 82 ms in which the burst was sent
}

TEST_CASE("a short queue cuts a super-segment and the bottleneck keeps its rate", "[any-kernel]") {
    DelayLine line({"--delay", "2ms", "--rate", "100M", "--queue", "32KiB"});
    const Transfer result = transfer(connected(line), 20'000'000);
    CHECK(result.intact);
    CHECK(result.whole_bits_per_second < 100e6);
    const auto counts = line.counts();
    CHECK(counts[0]["dropped_by_queue"] > 0);
    CHECK(ratio(counts[0]["dropped_by_queue"].get<std::uint64_t>(), counts[0]["carried"].get<std::uint64_t>()) < 0.2);
    fmt::print("delay line, 2 ms, 100 Mbit/s, queue 32 KiB: {:.1f} Mbit/s, {} of {} dropped\n",
               result.bits_per_second / 1e6, counts[0]["dropped_by_queue"].dump(), counts[0]["carried"].dump());
}

TEST_CASE("a delay line ends with its parent", "[any-kernel]") {
    const Namespace near;
    const Namespace far;
    const auto is_there = [&] { return near.read("net/dev").find("line:") != std::string::npos; };
    Process parent([&] {
        const pid_t pid = ::fork();
        if (pid == 0) {
            const std::string path = std::string(build_dir) + "/delay-line";
            ::execl(path.c_str(), path.c_str(), (near.name() + "=10.88.0.1").c_str(),
                    (far.name() + "=10.88.0.2").c_str(), "--delay", "1ms", nullptr);
            ::_exit(127);
        }
        must(comes_true(is_there), "wait for the line");
        return static_cast<std::uint64_t>(pid);
    });
    parent.end();
    const bool ended = comes_true([&] { return !is_there(); });
    CHECK(ended);
    if (!ended) ::kill(static_cast<pid_t>(parent.value()), SIGKILL);
}

TEST_CASE("a delay line says what is wrong with its ends", "[any-kernel]") {
    const TemporaryDirectory folder;
    const auto error_of = [&](const Words& words) {
        Program program(words, folder / "out", folder / "err", {}, std::string(build_dir) + "/delay-line");
        CHECK(program.wait() != 0);
        return program.err();
    };
    const Namespace netns;
    const std::string good = netns.name() + "=10.88.0.1";
    CHECK(mentions(error_of({good, "bpftune-nobody=10.88.0.2", "--delay", "1ms"}), "'bpftune-nobody': No such file"));
    CHECK(mentions(error_of({good, netns.name() + "=somewhere", "--delay", "1ms"}), "is not NETNS=ADDRESS"));
    CHECK(mentions(error_of({good, good, "--delay", "25"}), "--delay"));
    CHECK(mentions(error_of({good, good, "--delay", "25ms", "--queue", "64KiB"}), "--rate"));
}
