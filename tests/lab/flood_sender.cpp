// SPDX-License-Identifier: Apache-2.0
// A flood, for network namespaces of a test only: packets at a fixed rate and for a bounded time, by a raw socket, from
// addresses and ports of 198.18.0.0/15, the range for benchmarks (RFC 2544) that nobody has.
//
//   syn      SYNs; nobody ever answers the SYN-ACKs
//   connect  the same, but every SYN-ACK that is seen on the device is answered, so that handshakes are completed
//   udp      datagrams of one byte
//
// What was missed is not caught up: the rate is a ceiling at every moment.

#include <array>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>

#include "core/parse.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"
#include "sys/netns.hpp"

namespace {

using bpftune::failure;
using bpftune::MonoTime;
using bpftune::Nanoseconds;
using bpftune::Result;
using bpftune::system_failure;
using bpftune::sys::Fd;

enum class Kind { syn, connect, udp };

constexpr std::uint32_t first_source = 0xC6120000; // 198.18.0.0/15
constexpr std::uint32_t sources = 1U << 17;

struct Endpoint {
    std::uint32_t address = 0; // network byte order, as the port
    std::uint16_t port = 0;
};

MonoTime now() {
    return MonoTime{std::chrono::duration_cast<Nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

std::uint32_t sum_of(std::span<const std::uint16_t> words) {
    std::uint32_t sum = 0;
    for (const std::uint16_t word : words) sum += word;
    return sum;
}

// RFC 9293, 3.1: over the pseudo-header and the segment.
std::uint16_t tcp_checksum(const Endpoint& from, const Endpoint& to, const tcphdr& segment) {
    std::array<std::uint16_t, sizeof(tcphdr) / 2> words{};
    std::memcpy(words.data(), &segment, sizeof segment);
    std::uint32_t sum = sum_of(words) + htons(IPPROTO_TCP) + htons(sizeof segment);
    for (const std::uint32_t address : {from.address, to.address}) sum += (address & 0xFFFF) + (address >> 16);
    while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

// The kernel fills in the header's checksum, length and identification (raw(7)).
iphdr ip_header(const Endpoint& from, const Endpoint& to, std::uint8_t protocol) {
    iphdr header{};
    header.version = 4;
    header.ihl = sizeof header / 4;
    header.ttl = 64;
    header.protocol = protocol;
    header.saddr = from.address;
    header.daddr = to.address;
    return header;
}

class Sender {
public:
    static Result<Sender> open(Kind kind, const Endpoint& target);

    void send_one();

    // Handshakes are completed of whatever SYN-ACKs have come.
    void answer() const;

private:
    Sender(Kind kind, const Endpoint& target, Fd raw, Fd device)
        : kind_(kind), target_(target), raw_(std::move(raw)), device_(std::move(device)) {}

    void send_tcp(const Endpoint& from, std::uint32_t sequence, std::uint32_t acknowledged) const;
    void send_udp(const Endpoint& from) const;
    void send(const void* packet, std::size_t size) const;

    Kind kind_;
    Endpoint target_;
    Fd raw_;
    Fd device_;
    std::uint32_t sent_ = 0;
};

Result<Sender> Sender::open(Kind kind, const Endpoint& target) {
    const auto own = bpftune::sys::own_netns();
    const auto machine = bpftune::sys::init_netns();
    if (!own) return std::unexpected(own.error());
    if (!machine) return std::unexpected(machine.error());
    if (*own == *machine) return failure("not in the network namespace of the machine");
    Fd raw(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    if (!raw) return system_failure(errno, "raw socket");
    Fd device;
    if (kind == Kind::connect) {
        device.reset(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
        if (!device) return system_failure(errno, "packet socket");
        const int room = 4 << 20;
        setsockopt(device.value(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    }
    return Sender(kind, target, std::move(raw), std::move(device));
}

void Sender::send(const void* packet, std::size_t size) const {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = target_.address;
    sendto(raw_.value(), packet, size, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

void Sender::send_tcp(const Endpoint& from, std::uint32_t sequence, std::uint32_t acknowledged) const {
    struct {
        iphdr ip;
        tcphdr tcp;
    } packet{.ip = ip_header(from, target_, IPPROTO_TCP), .tcp = {}};
    packet.tcp.source = from.port;
    packet.tcp.dest = target_.port;
    packet.tcp.seq = htonl(sequence);
    packet.tcp.ack_seq = htonl(acknowledged);
    packet.tcp.doff = sizeof packet.tcp / 4;
    packet.tcp.syn = acknowledged == 0 ? 1 : 0;
    packet.tcp.ack = acknowledged == 0 ? 0 : 1;
    packet.tcp.window = htons(65535);
    packet.tcp.check = tcp_checksum(from, target_, packet.tcp);
    send(&packet, sizeof packet);
}

void Sender::send_udp(const Endpoint& from) const {
    struct {
        iphdr ip;
        udphdr udp;
        char payload;
    } packet{.ip = ip_header(from, target_, IPPROTO_UDP), .udp = {}, .payload = 'x'};
    constexpr std::size_t size = sizeof(iphdr) + sizeof(udphdr) + 1;
    packet.udp.source = from.port;
    packet.udp.dest = target_.port;
    packet.udp.len = htons(sizeof(udphdr) + 1); // a checksum of 0 is none
    send(&packet, size);
}

// Addresses in turn, and after all of them the next port.
void Sender::send_one() {
    const std::uint32_t serial = sent_++;
    const Endpoint from{htonl(first_source + serial % sources),
                        htons(static_cast<std::uint16_t>(1024 + serial / sources % 60'000))};
    if (kind_ == Kind::udp) return send_udp(from);
    send_tcp(from, serial, 0);
}

void Sender::answer() const {
    struct {
        iphdr ip;
        tcphdr tcp;
    } packet{};
    while (device_ && recv(device_.value(), &packet, sizeof packet, 0) >= static_cast<ssize_t>(sizeof packet)) {
        const bool is_ours = packet.ip.saddr == target_.address && packet.ip.protocol == IPPROTO_TCP &&
                             packet.ip.ihl * 4 == sizeof(iphdr) && packet.tcp.source == target_.port &&
                             ntohl(packet.ip.daddr) - first_source < sources;
        if (!is_ours || packet.tcp.syn == 0 || packet.tcp.ack == 0) continue;
        send_tcp({packet.ip.daddr, packet.tcp.dest}, ntohl(packet.tcp.ack_seq), ntohl(packet.tcp.seq) + 1);
    }
}

Result<> run(Kind kind, const std::string& target, double per_second, Nanoseconds length) {
    const std::size_t colon = target.rfind(':');
    const auto port = bpftune::parse_number(colon == std::string::npos ? "" : target.substr(colon + 1));
    in_addr address{};
    if (!port || *port == 0 || *port > 65535 || inet_pton(AF_INET, target.substr(0, colon).c_str(), &address) != 1)
        return failure("'{}' is not ADDRESS:PORT (IPv4)", target);
    auto sender = Sender::open(kind, {address.s_addr, htons(static_cast<std::uint16_t>(*port))});
    if (!sender) return std::unexpected(sender.error());

    constexpr Nanoseconds turn = std::chrono::milliseconds(1);
    const MonoTime end = now() + length;
    double due = 0;
    for (MonoTime last = now(); last < end;) {
        poll(nullptr, 0, 1);
        const MonoTime at = now();
        due += per_second * bpftune::Seconds(std::min(at - last, 5 * turn)).count();
        last = at;
        for (; due >= 1; due -= 1) {
            sender->send_one();
            sender->answer();
        }
        sender->answer();
    }
    return {};
}

} // namespace

int main(int argc, char** argv) {
    Kind kind = Kind::syn;
    std::string target;
    std::string length = "5s";
    double per_second = 1000;
    CLI::App app("A flood from addresses that nobody has; only in a network namespace of its own");
    app.add_option("KIND", kind)
        ->required()
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, Kind>{{"syn", Kind::syn}, {"connect", Kind::connect}, {"udp", Kind::udp}}));
    app.add_option("--target", target, "ADDRESS:PORT")->required();
    app.add_option("--per-second", per_second)->check(CLI::Range(1.0, 100'000.0));
    app.add_option("--for", length, "how long, a minute at most");
    CLI11_PARSE(app, argc, argv);
    const auto duration = bpftune::parse_duration(length);
    const auto done = !duration
                          ? Result<>(bpftune::with_context(duration.error(), "--for"))
                          : run(kind, target, per_second, std::min<Nanoseconds>(*duration, std::chrono::minutes(1)));
    if (!done) {
        fmt::print(stderr, "flood-sender: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
