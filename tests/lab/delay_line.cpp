// SPDX-License-Identifier: Apache-2.0
// A long way between two network namespaces of a test: what enters at one end comes out of the other after a set time,
// both ways.
//
//   delay-line NETNS=ADDRESS NETNS=ADDRESS --delay 25ms [--rate 100M [--queue 64KiB]] [--loss 0.01 [--seed 1]]
//
// Each end is a TUN device called `line`, up, with that address (IPv4) and a route to the other one. Further addresses
// and routes are for the caller to add. {"ready":true} on stdout: both are there. They go when the program does: at
// SIGTERM, SIGINT or its parent's end. Then stdout has a line for each way, with what became of all packets.
//
// --rate and --queue make a bottleneck, one for each way. A packet waits until those before it are sent, and comes out
// --delay after its last bit was; one that would make more bytes wait than --queue is dropped. --loss is for each
// packet that the bottleneck has sent. The same seed and the same packets lose the same ones.
//
// TCP hands over up to 64 KiB at once (TSO), so that a gigabit a second is 2,000 reads and writes and not 90,000. Such
// a super-segment is counted, queued and lost as the packets that it stands for, as if they had come back to back, and
// bytes are those of the packets with their headers. It is cut where one is missing, and where its packets take the
// bottleneck more than a millisecond. Taken whole, it would be 45 losses in a row and would never fit a short queue.
// Without TSO the line carried a tenth (docs/contributing.md has figures).

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/parse.hpp"
#include "core/result.hpp"
#include "core/text.hpp"
#include "core/time.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/netns.hpp"

namespace {

using bpftune::failure;
using bpftune::MonoTime;
using bpftune::Nanoseconds;
using bpftune::printable;
using bpftune::Result;
using bpftune::system_failure;
using bpftune::sys::Fd;
using bpftune::sys::NetnsGuard;
using Json = nlohmann::ordered_json;
using Bytes = std::span<const std::byte>;

constexpr const char* device_name = "line";

struct Options {
    std::array<std::string, 2> ends; // NETNS=ADDRESS
    Nanoseconds delay{};
    std::uint64_t rate = 0;  // bits a second; 0: no bottleneck
    std::uint64_t queue = 0; // bytes; 0: all wait
    double loss = 0;
    std::uint64_t seed = 1;
};

// --- The ends --------------------------------------------------------------------------------------------------------

struct Place {
    std::string netns;
    in_addr address{};
};

struct End {
    Place place;
    Fd netns;
    Fd device;
};

Result<Place> place_of(const std::string& text) {
    const std::size_t equals = text.rfind('=');
    Place place;
    if (equals == std::string::npos || equals == 0 ||
        inet_pton(AF_INET, text.substr(equals + 1).c_str(), &place.address) != 1)
        return failure("'{}' is not NETNS=ADDRESS (IPv4)", printable(text));
    place.netns = text.substr(0, equals);
    return place;
}

// Namespaces of `ip netns`. That of the machine gets no such device.
Result<Fd> open_netns(const std::string& name) {
    Fd netns(open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns) return system_failure(errno, "network namespace '{}'", printable(name));
    const auto inside = NetnsGuard::enter(netns);
    if (!inside) return std::unexpected(inside.error());
    const auto entered = bpftune::sys::own_netns();
    const auto machine = bpftune::sys::init_netns();
    if (!entered) return std::unexpected(entered.error());
    if (!machine) return std::unexpected(machine.error());
    if (*entered == *machine) return failure("'{}' is the network namespace of the machine", printable(name));
    return netns;
}

ifreq request_for_device() {
    ifreq request{};
    std::strncpy(request.ifr_name, device_name, IFNAMSIZ - 1);
    return request;
}

// With what is to be left to the line: checksums, and cutting TCP's super-segments into packets.
Result<Fd> open_tun() {
    Fd device(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!device) return system_failure(errno, "/dev/net/tun");
    ifreq request = request_for_device();
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(device.value(), TUNSETIFF, &request) < 0) return system_failure(errno, "make device '{}'", device_name);
    if (ioctl(device.value(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0)
        return system_failure(errno, "TUNSETOFFLOAD");
    return device;
}

sockaddr as_sockaddr(in_addr address) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr = address;
    sockaddr out{};
    std::memcpy(&out, &in, sizeof out);
    return out;
}

// Of the calling thread's namespace.
Result<> bring_up(in_addr own, in_addr peer) {
    constexpr int packets_to_read = 2000; // more than come while the other way has its turn
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_failure(errno, "socket");
    const auto set = [&](unsigned long what, const char* name, const auto& fill) -> Result<> {
        ifreq request = request_for_device();
        fill(request);
        if (ioctl(socket.value(), what, &request) < 0) return system_failure(errno, "{}", name);
        return {};
    };
    auto done = set(SIOCSIFADDR, "set its address", [&](ifreq& request) { request.ifr_addr = as_sockaddr(own); });
    if (done)
        done = set(SIOCSIFDSTADDR, "set its peer", [&](ifreq& request) { request.ifr_dstaddr = as_sockaddr(peer); });
    if (done) done = set(SIOCSIFTXQLEN, "set its queue", [&](ifreq& request) { request.ifr_qlen = packets_to_read; });
    if (done) done = set(SIOCSIFFLAGS, "bring it up", [&](ifreq& request) { request.ifr_flags = IFF_UP; });
    return done;
}

Result<End> open_end(const Place& place, in_addr peer) {
    const auto what = [&](const bpftune::Error& error) {
        return bpftune::with_context(error, "'{}'", printable(place.netns));
    };
    auto netns = open_netns(place.netns);
    if (!netns) return std::unexpected(netns.error());
    const auto inside = NetnsGuard::enter(*netns);
    if (!inside) return what(inside.error());
    auto device = open_tun();
    if (!device) return what(device.error());
    if (auto up = bring_up(place.address, peer); !up) return what(up.error());
    return End{place, std::move(*netns), std::move(*device)};
}

// --- Packets ---------------------------------------------------------------------------------------------------------

// As in linux/virtio_net.h, which is no C++: a member of it is called `class`.
struct VnetHeader {
    static constexpr std::uint8_t none = 0; // gso_type
    static constexpr std::uint8_t tcpv4 = 1;
    static constexpr std::uint8_t tcpv6 = 4;
    static constexpr std::uint8_t ecn = 0x80; // beside one of these

    std::uint8_t flags = 0;
    std::uint8_t gso_type = none;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;
    std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

constexpr std::size_t largest_headers = 512;
constexpr std::size_t largest_read = sizeof(VnetHeader) + 65536;

// One read: a packet, or a super-segment that stands for several.
struct Segment {
    VnetHeader about{};
    Bytes bytes;
    std::size_t headers = 0; // bytes of IP and TCP header; of a single packet none are looked at
    std::size_t each = 0;    // bytes of payload in each packet but the last
    std::size_t packets = 1;

    [[nodiscard]] std::size_t end_of(std::size_t packet) const {
        return std::min(headers + (packet + 1) * each, bytes.size());
    }
    [[nodiscard]] std::size_t size_of(std::size_t packet) const { return end_of(packet) - packet * each; }
};

Segment segment_of(Bytes read) {
    Segment segment;
    std::memcpy(&segment.about, read.data(), sizeof segment.about);
    segment.bytes = read.subspan(sizeof segment.about);
    segment.each = segment.bytes.size();
    const int type = segment.about.gso_type & ~VnetHeader::ecn;
    const std::size_t tcp = segment.about.csum_start;
    const bool several = (type == VnetHeader::tcpv4 || type == VnetHeader::tcpv6) && segment.about.gso_size > 0 &&
                         tcp + sizeof(tcphdr) < segment.bytes.size();
    if (!several) return segment;
    tcphdr header{};
    std::memcpy(&header, segment.bytes.data() + tcp, sizeof header);
    const std::size_t headers = tcp + std::size_t{header.doff} * 4;
    if (headers >= segment.bytes.size() || headers > largest_headers) return segment;
    segment.headers = headers;
    segment.each = segment.about.gso_size;
    segment.packets = (segment.bytes.size() - headers + segment.each - 1) / segment.each;
    return segment;
}

std::uint16_t folded(std::uint32_t sum) {
    while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

// RFC 791, 3.1
std::uint16_t header_checksum(const std::byte* header, std::size_t size) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < size; i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, header + i, sizeof word);
        sum += word;
    }
    return static_cast<std::uint16_t>(~folded(sum));
}

// What goes in front of packets [first, end) of a super-segment, so that they are a segment of their own.
class Front {
public:
    Front(const Segment& segment, std::size_t first, std::size_t end) : size_(segment.headers) {
        std::memcpy(bytes_.data(), segment.bytes.data(), size_);
        about_ = segment.about;
        about_.hdr_len = static_cast<std::uint16_t>(size_);
        if (end - first == 1) about_.gso_type = VnetHeader::none;
        if (end - first == 1) about_.gso_size = 0;
        const std::size_t length = segment.end_of(end - 1) - first * segment.each;
        adjust_ip(first, length);
        adjust_tcp(segment, first, end, length);
    }

    [[nodiscard]] Bytes about() const { return std::as_bytes(std::span(&about_, 1)); }
    [[nodiscard]] Bytes headers() const { return {bytes_.data(), size_}; }

private:
    void adjust_ip(std::size_t first, std::size_t length) {
        iphdr ip{};
        std::memcpy(&ip, bytes_.data(), sizeof ip);
        if (ip.version == 4) {
            ip.tot_len = htons(static_cast<std::uint16_t>(length));
            ip.id = htons(static_cast<std::uint16_t>(ntohs(ip.id) + first));
            ip.check = 0;
            std::memcpy(bytes_.data(), &ip, sizeof ip);
            ip.check = header_checksum(bytes_.data(), std::size_t{ip.ihl} * 4);
            std::memcpy(bytes_.data(), &ip, sizeof ip);
        } else {
            const std::uint16_t payload = htons(static_cast<std::uint16_t>(length - sizeof(ip6_hdr)));
            std::memcpy(bytes_.data() + offsetof(ip6_hdr, ip6_ctlun.ip6_un1.ip6_un1_plen), &payload, sizeof payload);
        }
    }

    // The checksum is that of the pseudo-header alone, whose length is another now; the kernel does the rest.
    void adjust_tcp(const Segment& segment, std::size_t first, std::size_t end, std::size_t length) {
        std::byte* at = bytes_.data() + about_.csum_start;
        const auto before = static_cast<std::uint16_t>(segment.bytes.size() - about_.csum_start);
        const auto now = static_cast<std::uint16_t>(length - about_.csum_start);
        tcphdr tcp{};
        std::memcpy(&tcp, at, sizeof tcp);
        tcp.seq = htonl(ntohl(tcp.seq) + static_cast<std::uint32_t>(first * segment.each));
        if (end < segment.packets) tcp.fin = tcp.psh = 0;
        if (first > 0) tcp.res2 &= 1; // CWR is said once
        tcp.check = folded(std::uint32_t{tcp.check} + static_cast<std::uint16_t>(~htons(before)) + htons(now));
        std::memcpy(at, &tcp, sizeof tcp);
    }

    VnetHeader about_{};
    std::array<std::byte, largest_headers> bytes_{};
    std::size_t size_ = 0;
};

// --- One way ---------------------------------------------------------------------------------------------------------

// What is on its way, in order, in one block of memory of fixed size: that is all that a line holds. What was never
// needed of it is never touched.
class Belt {
public:
    static constexpr std::size_t capacity = std::size_t{64} << 20; // 10 Gbit/s for 50 ms

    struct Item {
        MonoTime due;
        std::uint32_t packets = 0;
        std::uint32_t bytes = 0; // of these
        std::uint32_t size = 0;  // here
    };

    // false: no room.
    bool put(Item item, std::initializer_list<Bytes> parts) {
        for (const Bytes part : parts) item.size += static_cast<std::uint32_t>(part.size());
        const std::size_t needed = sizeof item + item.size;
        if (!make_room(needed)) return false;
        std::memcpy(memory_.get() + end_, &item, sizeof item);
        end_ += sizeof item;
        for (const Bytes part : parts) {
            std::memcpy(memory_.get() + end_, part.data(), part.size());
            end_ += part.size();
        }
        return true;
    }

    [[nodiscard]] bool empty() const { return !wrapped_ && begin_ == end_; }
    [[nodiscard]] Item first() const {
        Item item;
        std::memcpy(&item, memory_.get() + begin_, sizeof item);
        return item;
    }
    [[nodiscard]] Bytes first_bytes() const { return {memory_.get() + begin_ + sizeof(Item), first().size}; }
    void drop_first() {
        begin_ += sizeof(Item) + first().size;
        if (wrapped_ && begin_ == top_) {
            begin_ = 0;
            wrapped_ = false;
        }
        if (empty()) begin_ = end_ = 0;
    }

private:
    bool make_room(std::size_t needed) {
        if (wrapped_) return end_ + needed <= begin_;
        if (end_ + needed <= capacity) return true;
        if (needed > begin_) return false;
        top_ = std::exchange(end_, 0);
        wrapped_ = true;
        return true;
    }

    std::unique_ptr<std::byte[]> memory_ = std::make_unique_for_overwrite<std::byte[]>(capacity);
    std::size_t begin_ = 0; // of the first item
    std::size_t end_ = 0;   // of the last one
    std::size_t top_ = 0;   // where the items before the wrap end
    bool wrapped_ = false;
};

struct Counts {
    std::uint64_t carried = 0;
    std::uint64_t carried_bytes = 0;
    std::uint64_t carried_writes = 0; // that took them
    std::uint64_t dropped_by_queue = 0;
    std::uint64_t dropped_by_loss = 0;
    std::uint64_t dropped_by_memory = 0; // more than the line holds
    std::uint64_t refused = 0;           // by the end that they came to
    std::uint64_t on_the_way = 0;
};

class Way {
public:
    Way(const Options& options, const End& from, const End& to, std::uint64_t seed)
        : options_(options), from_(from), to_(to), random_(seed), lost_(options.loss) {}

    // Hands over what is due.
    void deliver(MonoTime at) {
        for (; !belt_.empty() && belt_.first().due <= at; belt_.drop_first()) {
            const Bytes bytes = belt_.first_bytes();
            const Belt::Item item = belt_.first();
            const bool taken =
                write(to_.device.value(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
            (taken ? counts_.carried : counts_.refused) += item.packets;
            counts_.carried_bytes += taken ? item.bytes : 0;
            counts_.carried_writes += taken ? 1 : 0;
            counts_.on_the_way -= item.packets;
        }
    }

    // Takes what has come: some of it, so that the other way has its turn.
    void take() {
        for (int i = 0; i < 32; ++i) {
            const ssize_t size = read(from_.device.value(), buffer_.data(), buffer_.size());
            if (size <= static_cast<ssize_t>(sizeof(VnetHeader))) return;
            take(segment_of(Bytes(buffer_).first(static_cast<std::size_t>(size))), bpftune::sys::now().mono);
        }
    }

    [[nodiscard]] MonoTime next() const { return belt_.empty() ? MonoTime::max() : belt_.first().due; }
    [[nodiscard]] Json report() const;

private:
    struct Run {
        std::size_t first = 0;
        std::size_t end = 0; // none: nothing is in it
        MonoTime begins;     // when its first packet is due
        MonoTime due;        // when its last one is
    };

    void take(const Segment& segment, MonoTime at) {
        constexpr Nanoseconds longest_run = std::chrono::milliseconds(1);
        Run run;
        for (std::size_t i = 0; i < segment.packets; ++i) {
            const auto due = pass(segment.size_of(i), at);
            const bool goes_on = due && run.end == i && run.end > run.first && *due - run.begins <= longest_run;
            if (!goes_on) {
                put(segment, run);
                run = {.first = i, .end = i, .begins = due.value_or(at), .due = at};
            }
            if (!due) continue;
            run.end = i + 1;
            run.due = *due;
        }
        put(segment, run);
    }

    // When a packet that comes now comes out.
    std::optional<MonoTime> pass(std::size_t bytes, MonoTime at) {
        MonoTime sent = at;
        if (options_.rate > 0) {
            const MonoTime turn = std::max(at, free_at_);
            const auto waiting =
                static_cast<std::uint64_t>((turn - at).count()) * options_.rate / 8 / nanoseconds_a_second;
            if (options_.queue > 0 && waiting + bytes > options_.queue) {
                ++counts_.dropped_by_queue;
                return std::nullopt;
            }
            sent = free_at_ = turn + Nanoseconds(bytes * 8 * nanoseconds_a_second / options_.rate);
        }
        if (options_.loss > 0 && lost_(random_)) {
            ++counts_.dropped_by_loss;
            return std::nullopt;
        }
        return sent + options_.delay;
    }

    void put(const Segment& segment, const Run& run) {
        if (run.end == run.first) return;
        const std::size_t packets = run.end - run.first;
        const std::size_t begin = segment.headers + run.first * segment.each;
        const Bytes payload = segment.bytes.subspan(begin, segment.end_of(run.end - 1) - begin);
        const Belt::Item item{.due = run.due,
                              .packets = static_cast<std::uint32_t>(packets),
                              .bytes = static_cast<std::uint32_t>(packets * segment.headers + payload.size())};
        bool fits = false;
        if (packets == segment.packets) {
            fits = belt_.put(item, {std::as_bytes(std::span(&segment.about, 1)), segment.bytes});
        } else {
            const Front front(segment, run.first, run.end);
            fits = belt_.put(item, {front.about(), front.headers(), payload});
        }
        (fits ? counts_.on_the_way : counts_.dropped_by_memory) += packets;
    }

    static constexpr std::uint64_t nanoseconds_a_second = 1'000'000'000;

    const Options& options_;
    const End& from_;
    const End& to_;
    std::mt19937_64 random_;
    std::bernoulli_distribution lost_;
    MonoTime free_at_; // the bottleneck: all before is sent by then
    Belt belt_;
    Counts counts_;
    std::array<std::byte, largest_read> buffer_{};
};

// Packets that the device dropped before they were read: it was not read fast enough.
std::optional<std::uint64_t> dropped_by_device(const End& end) {
    const auto inside = NetnsGuard::enter(end.netns);
    const auto text = inside ? bpftune::sys::read_file("/proc/thread-self/net/dev") : std::unexpected(inside.error());
    if (!text) return std::nullopt;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string word;
        if (!(words >> word) || word != std::string(device_name) + ":") continue;
        constexpr int tx_drop = 12; // the 12th number: after eight of receiving, bytes, packets and errors of sending
        for (int i = 0; i < tx_drop; ++i) words >> word;
        if (const auto count = bpftune::parse_number(word)) return *count;
    }
    return std::nullopt;
}

Json Way::report() const {
    std::array<char, INET_ADDRSTRLEN> from{};
    std::array<char, INET_ADDRSTRLEN> to{};
    inet_ntop(AF_INET, &from_.place.address, from.data(), from.size());
    inet_ntop(AF_INET, &to_.place.address, to.data(), to.size());
    const auto dropped = dropped_by_device(from_);
    return {{"from", from.data()},
            {"to", to.data()},
            {"carried", counts_.carried},
            {"carried_bytes", counts_.carried_bytes},
            {"carried_writes", counts_.carried_writes},
            {"dropped_by_queue", counts_.dropped_by_queue},
            {"dropped_by_loss", counts_.dropped_by_loss},
            {"dropped_by_memory", counts_.dropped_by_memory},
            {"dropped_by_device", dropped ? Json(*dropped) : Json()},
            {"refused", counts_.refused},
            {"on_the_way", counts_.on_the_way}};
}

// --- The line --------------------------------------------------------------------------------------------------------

// From now on they are read, and end nothing by themselves.
Result<Fd> open_signals() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, nullptr);
    Fd signals(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) return system_failure(errno, "signalfd");
    return signals;
}

Result<> carry(const std::array<End, 2>& ends, std::array<Way, 2>& ways, const Fd& signals) {
    std::array<pollfd, 3> waited{
        pollfd{ends[0].device.value(), POLLIN, 0}, {ends[1].device.value(), POLLIN, 0}, {signals.value(), POLLIN, 0}};
    while (true) {
        const MonoTime at = bpftune::sys::now().mono;
        for (Way& way : ways) way.deliver(at);
        const MonoTime due = std::min({ways[0].next(), ways[1].next(), at + std::chrono::seconds(1)});
        const Nanoseconds left = std::max(due - bpftune::sys::now().mono, Nanoseconds::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec timeout{seconds.count(), (left - seconds).count()};
        if (ppoll(waited.data(), waited.size(), &timeout, nullptr) < 0 && errno != EINTR)
            return system_failure(errno, "ppoll");
        if (waited[2].revents != 0) return {};
        for (std::size_t i = 0; i < ways.size(); ++i) {
            if ((waited[i].revents & POLLERR) != 0)
                return failure("the device in '{}' has gone", printable(ends[i].place.netns));
            if ((waited[i].revents & POLLIN) != 0) ways[i].take();
        }
    }
}

Result<> run(const Options& options) {
    const auto signals = open_signals(); // first: what ends us meanwhile is seen as soon as we wait
    if (!signals) return std::unexpected(signals.error());
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1UL); // nanosecond; else a wait may take 50 µs more

    const auto a = place_of(options.ends[0]);
    const auto b = place_of(options.ends[1]);
    if (!a) return std::unexpected(a.error());
    if (!b) return std::unexpected(b.error());
    auto first = open_end(*a, b->address);
    if (!first) return std::unexpected(first.error());
    auto second = open_end(*b, a->address);
    if (!second) return std::unexpected(second.error());
    const std::array<End, 2> ends{std::move(*first), std::move(*second)};

    const auto ways = std::make_unique<std::array<Way, 2>>(std::array<Way, 2>{
        Way(options, ends[0], ends[1], options.seed), Way(options, ends[1], ends[0], ~options.seed)});
    fmt::print("{{\"ready\":true}}\n");
    std::fflush(stdout);
    auto carried = carry(ends, *ways, *signals);
    for (const Way& way : *ways) fmt::print("{}\n", way.report().dump());
    return carried;
}

void add_options(CLI::App& app, Options& options, std::int64_t& delay_us, std::string& queue) {
    const std::map<std::string, std::int64_t> times{{"us", 1}, {"ms", 1000}, {"s", 1'000'000}};
    const std::map<std::string, std::uint64_t> rates{{"k", 1000}, {"M", 1'000'000}, {"G", 1'000'000'000}};
    app.add_option("END", options.ends[0], "NETNS=ADDRESS, a namespace of `ip netns` and its IPv4 address")->required();
    app.add_option("OTHER_END", options.ends[1], "the same")->required();
    app.add_option("--delay", delay_us, "one way: 100us, 25ms, 1s")
        ->required()
        ->transform(CLI::AsNumberWithUnit(times, CLI::AsNumberWithUnit::Options(CLI::AsNumberWithUnit::CASE_SENSITIVE |
                                                                                CLI::AsNumberWithUnit::UNIT_REQUIRED)))
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{10'000'000}));
    CLI::Option* rate =
        app.add_option("--rate", options.rate, "bits a second that the bottleneck sends: 100M, 1G; none: no bottleneck")
            ->transform(CLI::AsNumberWithUnit(rates, CLI::AsNumberWithUnit::CASE_SENSITIVE))
            ->check(CLI::Range(std::uint64_t{1000}, std::uint64_t{100'000'000'000}));
    app.add_option("--queue", queue, "what may wait there: 64KiB, 1MiB; none: all")
        ->needs(rate)
        ->check([](const std::string& text) {
            const auto size = bpftune::parse_size(text);
            if (!size) return size.error().message;
            const bool fits = *size >= 1500 && *size <= Belt::capacity;
            return fits ? std::string() : fmt::format("a packet, 1500, to all that the line holds, {}", Belt::capacity);
        });
    CLI::Option* loss =
        app.add_option("--loss", options.loss, "probability for each packet: 0.01")->check(CLI::Range(0.0, 1.0));
    app.add_option("--seed", options.seed, "which packets are lost")->needs(loss)->capture_default_str();
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    std::int64_t delay_us = 0;
    std::string queue;
    CLI::App app("A long way between two network namespaces");
    add_options(app, options, delay_us, queue);
    CLI11_PARSE(app, argc, argv);
    options.delay = std::chrono::microseconds(delay_us);
    if (!queue.empty()) options.queue = *bpftune::parse_size(queue);
    if (const auto done = run(options); !done) {
        fmt::print(stderr, "delay-line: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
