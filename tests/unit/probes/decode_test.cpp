// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

#include "probes/decode.hpp"
#include "probes/libbpf_log.hpp"
#include "probes/proc_namespaces.hpp"
#include "probes/widened.hpp"

using namespace bpftune;
using namespace bpftune::probes;

namespace {

template <class T> std::span<const std::byte> bytes_of(const T& value) { return std::as_bytes(std::span(&value, 1)); }

template <class T> void append(std::vector<std::byte>& to, const T& value) {
    const auto bytes = bytes_of(value);
    to.insert(to.end(), bytes.begin(), bytes.end());
}

abi_endpoint local(std::initializer_list<__u8> last_bytes, __u16 port) {
    abi_endpoint made{};
    std::ranges::copy(last_bytes, made.address + 16 - last_bytes.size());
    made.port = port;
    return made;
}

listener_record held_by(std::uint64_t cookie, __u32 pid, __s32 fd) {
    listener_record record{.kind = ABI_LISTENER_RECORD, .listener = {}};
    record.listener.cookie = cookie;
    record.listener.pid = pid;
    record.listener.fd = fd;
    return record;
}

// nullopt: something is no record.
std::optional<Census> census(std::span<const std::byte> all) {
    CensusRecords records;
    const auto taken = records.take(all);
    if (!taken || *taken != all.size()) return std::nullopt;
    return std::move(records).all();
}

} // namespace

TEST_CASE("addresses are those of the traffic, not of the socket's family") {
    CHECK(endpoint(local({0xff, 0xff, 10, 0, 0, 1}, 80)) == Endpoint{"10.0.0.1", 80});
    CHECK(endpoint(local({0xff, 0xff, 0, 0, 0, 0}, 80)) == Endpoint{"0.0.0.0", 80});
    CHECK(endpoint(local({}, 443)) == Endpoint{"::", 443});
    CHECK(endpoint(local({1}, 443)) == Endpoint{"::1", 443});
}

TEST_CASE("a process name of sixteen bytes without an end is taken whole") {
    abi_listener listener{};
    std::memset(listener.comm, 'x', sizeof listener.comm);
    CHECK(listener_reading(listener).command == std::string(16, 'x'));
}

TEST_CASE("a time that no machine reaches leaves room to reckon with") {
    using namespace std::chrono_literals;
    for (const __u64 nanoseconds : {~__u64{0}, __u64{1} << 63, (__u64{1} << 63) - 1}) {
        udp_record record{.kind = ABI_UDP_RECORD};
        record.lost_at = nanoseconds;
        const MonoTime lost_at = udp_reading(record).lost_at;
        CHECK(lost_at > MonoTime{});
        CHECK(lost_at + 24h > lost_at);
    }
}

TEST_CASE("an unknown wish is not a wish for nothing") {
    abi_listener listener{};
    CHECK_FALSE(listener_reading(listener).asked.has_value());
    listener.asked_known = 1;
    CHECK(listener_reading(listener).asked == 0U);
}

TEST_CASE("one listener remains of a socket that many hold, by its lowest pid and descriptor") {
    std::vector<std::byte> records;
    append(records, held_by(7, 900, 4));
    append(records, netns_record{.kind = ABI_NETNS_RECORD});
    append(records, held_by(7, 100, 9));
    append(records, held_by(8, 900, 5));
    append(records, held_by(7, 100, 6));
    const auto found = census(records);
    REQUIRE(found->listeners.size() == 2);
    CHECK(found->listeners[0].pid == 100);
    CHECK(found->listeners[0].fd == 6);
    CHECK(found->listeners[1].cookie == 8);
    CHECK(found->namespaces.size() == 1);
}

TEST_CASE("a socket that process 1 keeps for another is the other's, and is known to be kept") {
    std::vector<std::byte> records;
    for (const __u32 pid : {900, 1, 800, 1}) append(records, held_by(7, pid, 4));
    append(records, held_by(8, 1, 5));
    append(records, held_by(9, 900, 6));
    const auto found = census(records);
    REQUIRE(found->listeners.size() == 3);
    CHECK(found->listeners[0].pid == 800);
    CHECK(found->listeners[0].is_held_by_init);
    CHECK(found->listeners[1].pid == 1); // nobody else serves it
    CHECK_FALSE(found->listeners[1].is_held_by_init);
    CHECK(found->listeners[2].pid == 900);
    CHECK_FALSE(found->listeners[2].is_held_by_init);
}

TEST_CASE("a census that is read in pieces is the same, wherever a record is cut") {
    std::vector<std::byte> all;
    append(all, held_by(7, 900, 4));
    append(all, netns_record{.kind = ABI_NETNS_RECORD});
    append(all, held_by(8, 900, 5));
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        CensusRecords records;
        const auto taken = records.take(std::span(all).first(cut));
        REQUIRE(*taken <= cut);
        CHECK(records.take(std::span(all).subspan(*taken)).value() == all.size() - *taken);
        const Census found = std::move(records).all();
        CHECK(found.listeners.size() == 2);
        CHECK(found.namespaces.size() == 1);
    }
}

TEST_CASE("a census of an unknown kind is refused, and what is cut short is left") {
    std::vector<std::byte> records;
    append(records, held_by(7, 900, 4));
    records.pop_back();
    CHECK(CensusRecords().take(records).value() == 0U);
    records.clear();
    append(records, listener_record{.kind = 99, .listener = {}});
    CHECK_FALSE(CensusRecords().take(records).has_value());
    CHECK(census({})->listeners.empty());
}

TEST_CASE("events of a later version are passed over, and so is half of one") {
    pressure_event raw{.kind = ABI_PRESSURE_EVENT, .depth = 65};
    raw.limit = 128;
    const auto decoded = event(bytes_of(raw));
    REQUIRE(decoded.has_value());
    CHECK(std::get<PressureEvent>(*decoded).depth == 65);
    CHECK(std::get<PressureEvent>(*decoded).limit == 128);
    CHECK_FALSE(event(bytes_of(raw).first(sizeof raw - 1)).has_value());
    raw.kind = 99;
    CHECK_FALSE(event(bytes_of(raw)).has_value());
    CHECK_FALSE(event({}).has_value());
}

TEST_CASE("who writes a sysctl is told in the bytes that they are") {
    sysctl_write_event raw{.kind = ABI_SYSCTL_WRITE_EVENT, .pid = 812, .time = 7};
    raw.netns = {.cookie = 3, .inode = 4026532247};
    std::ranges::fill(raw.comm, 0xff); // no NUL
    std::ranges::copy(std::string_view("net/core/somaxconn"), std::begin(raw.name));
    std::ranges::copy(std::string_view("300\n"), std::begin(raw.value));
    const auto decoded = event(bytes_of(raw));
    REQUIRE(decoded.has_value());
    const auto& write = std::get<SysctlWriteEvent>(*decoded);
    CHECK(write.time == MonoTime(Nanoseconds(7)));
    CHECK(write.netns == NetnsId{.cookie = 3, .inode = 4026532247});
    CHECK(write.pid == 812);
    CHECK(write.command == std::string(16, '\xff'));
    CHECK(write.sysctl == "net/core/somaxconn");
    CHECK(write.value == "300\n");
}

TEST_CASE("an epoch's arrivals end where the next one's begin") {
    queue_stats stats{.arrivals = 30};
    stats.epochs[1] = {.arrivals_before = 10, .epoch = 5, .peak = 4, .floor = 2};
    SECTION("nothing came since") { CHECK(queue_reading({}, stats, 5).epoch_arrivals == 20); }
    SECTION("some came between the end of the epoch and the reading") {
        stats.epochs[0] = {.arrivals_before = 25, .epoch = 6, .peak = 9, .floor = 9};
        const auto reading = queue_reading({}, stats, 5);
        CHECK(reading.epoch_arrivals == 15);
        CHECK(reading.epoch_peak == 4);
        CHECK(reading.epoch_floor == 2);
    }
    SECTION("nothing came in the epoch") {
        const auto reading = queue_reading({}, stats, 7);
        CHECK(reading.arrivals == 30);
        CHECK(reading.epoch_arrivals == 0);
        CHECK(reading.epoch_peak == 0);
    }
}

TEST_CASE("a listener's queue comes with its identity, and with SYNs where some came") {
    listener_queue queue{};
    queue.stats.epochs[1] = {.epoch = 5, .syn_peak = 3};
    queue.netns = {.cookie = 12, .inode = 4026531833, .unused = 0};
    const auto reading = queue_reading(77, queue, 5);
    CHECK(reading.cookie == 77);
    CHECK(reading.netns == NetnsId{.cookie = 12, .inode = 4026531833});
    CHECK(reading.epoch_syn_peak == 3U);
    CHECK_FALSE(queue_reading(77, queue, 6).epoch_syn_peak.has_value());
}

TEST_CASE("a listener's overflows are unknown where nobody counts them") {
    abi_listener listener{.overflows = 4};
    CHECK_FALSE(listener_reading(listener).overflows.has_value());
    listener.overflows_known = 1;
    CHECK(listener_reading(listener).overflows == 4U);
}

TEST_CASE("a queue's namespace has no cookie where the kernel has none") {
    const queue_stats stats{.netns_inode = 4026531833};
    CHECK(queue_reading({.netns = 4026531833}, stats, 1).netns == NetnsId{.cookie = 0, .inode = 4026531833});
    CHECK(queue_reading({.netns = 12}, stats, 1).netns == NetnsId{.cookie = 12, .inode = 4026531833});
}

namespace {

// Each counter of the reading, wrapped by itself.
template <class Reading> void check_wraps() {
    for (const Counter<Reading>& counter : narrow_counters<Reading>) {
        const std::uint64_t width = std::uint64_t{1} << counter.bits;
        Widened<int, Reading> counters;
        const auto read = [&](std::uint64_t true_count) {
            Reading reading{};
            reading.*counter.member = true_count % width;
            counters.update(1, reading);
            return reading.*counter.member;
        };
        std::uint64_t count = width - 16;
        for (const std::uint64_t step :
             {std::uint64_t{0}, std::uint64_t{32}, width / 2, width / 2, width / 2 - 1, width / 2 - 17, width / 2}) {
            count += step;
            CHECK(read(count) == count);
            CHECK(read(count) == count);
            counters.end_of_reading();
        }
    }
}

// Each of them, when what counts it is made anew.
template <class Reading> void check_begins_anew() {
    for (const Counter<Reading>& counter : narrow_counters<Reading>) {
        const std::uint64_t half = std::uint64_t{1} << (counter.bits - 1);
        for (const auto& [before, after] : std::initializer_list<std::pair<std::uint64_t, std::uint64_t>>{
                 {1, 0}, {7, 0}, {7, 6}, {half - 1, 0}, {half, 1}, {2 * half - 1, half}, {2 * half + 7, 3}}) {
            Widened<int, Reading> counters;
            const auto read = [&](std::uint64_t value) {
                Reading reading{};
                reading.*counter.member = value;
                counters.update(1, reading);
                counters.end_of_reading();
                return reading.*counter.member;
            };
            CHECK(read(before) == before);
            CHECK(read(after) == before);
            CHECK(read(after + 5) == before + 5);
        }
    }
}

} // namespace

TEST_CASE("every counter that is narrower in the kernel goes on where it wraps, and never falls") {
    check_wraps<SoftirqReading>();
    check_wraps<ConntrackReading>();
    check_wraps<ListenerReading>();
}

namespace {

// As many as it may gain between two readings, any number of times.
template <class Reading> void check_random_walk(std::mt19937_64& random) {
    for (const Counter<Reading>& counter : narrow_counters<Reading>) {
        const std::uint64_t width = std::uint64_t{1} << counter.bits;
        Widened<int, Reading> counters;
        std::uint64_t count = random() % width;
        for (int i = 0; i < 1000; ++i) {
            Reading reading{};
            reading.*counter.member = count % width;
            counters.update(1, reading);
            REQUIRE(reading.*counter.member == count);
            counters.end_of_reading();
            count += random() % (width / 2);
        }
        REQUIRE(count > 100 * width);
    }
}

} // namespace

TEST_CASE("whatever it gains from one reading to the next, a narrow counter is right, hundreds of wraps later") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    check_random_walk<SoftirqReading>(random);
    check_random_walk<ConntrackReading>(random);
    check_random_walk<ListenerReading>(random);
}

TEST_CASE("a counter that falls without a wrap began anew: it counts from then") {
    check_begins_anew<SoftirqReading>();
    check_begins_anew<ConntrackReading>();
    check_begins_anew<ListenerReading>();
}

TEST_CASE("a counter that was gone begins anew, unless it may come back as it was") {
    Widened<int, SoftirqReading> counters;
    const auto read = [&](std::uint64_t value) {
        SoftirqReading reading{.processed = value};
        counters.update(1, reading);
        return reading.processed;
    };
    CHECK(read(0xfffffff0) == 0xfffffff0);
    SECTION("gone") {
        counters.end_of_reading();
        counters.end_of_reading();
        CHECK(read(5) == 5);
    }
    SECTION("a CPU that is switched off") {
        counters.end_of_reading_keeping_gone();
        counters.end_of_reading_keeping_gone();
        CHECK(read(5) == 0x100000005);
    }
}

TEST_CASE("a refusal is one line that says what matters") {
    CHECK(refusal("", EPERM) == "refused by this kernel: Operation not permitted");
    CHECK(refusal("libbpf: prog 'x': BPF program load failed: Invalid argument\n"
                  "3: (79) r1 = *(u64 *)(r1 +24)\n"
                  "func 'kfree_skb' doesn't have 4-th argument\n"
                  "processed 4 insns (limit 1000000) max_states_per_insn 0\n",
                  EACCES) == "refused by this kernel: Permission denied (func 'kfree_skb' doesn't have 4-th argument)");
    CHECK(refusal("171: <invalid CO-RE relocation>\n"
                  "failed to resolve CO-RE relocation <enumval_value> [26] enum skb_drop_reason::"
                  "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW = 1\n"
                  "processed 3 insns (limit 1000000)\n",
                  EINVAL) == "not in this kernel: skb_drop_reason::SKB_DROP_REASON_TCP_LISTEN_OVERFLOW");
}

TEST_CASE("a flow is read with what held it back, which is nothing before it was looked at twice") {
    flow_record record{.kind = ABI_FLOW_RECORD, .netns = {.cookie = 3, .inode = 4026532247}};
    record.local = local({0xff, 0xff, 10, 0, 0, 1}, 80);
    record.remote = local({1}, 40000);
    record.cookie = 7;
    record.received_in_round_trip = 90000;
    record.held_by = ABI_HELD_BY_RMEM | ABI_HELD_BY_OWN_SNDBUF;
    std::vector<std::byte> records;
    append(records, record);
    record.decided = 1;
    append(records, record);
    const auto found = flows(records).value();
    REQUIRE(found.size() == 2);
    CHECK_FALSE(found[0].decided);
    CHECK(found[1].decided);
    CHECK(found[1].netns == NetnsId{3, 4026532247});
    CHECK(found[1].local == Endpoint{"10.0.0.1", 80});
    CHECK(found[1].remote == Endpoint{"::1", 40000});
    CHECK(found[1].received_in_round_trip == 90000);
    CHECK((found[1].held_by.rmem && found[1].held_by.own_sndbuf));
    CHECK_FALSE((found[1].held_by.wmem || found[1].held_by.own_rcvbuf || found[1].held_by.window_scale));
}

TEST_CASE("a rate of before is known where both looks since were taken at one limit") {
    flow_record record{.kind = ABI_FLOW_RECORD};
    record.received_before = 1000;
    record.rmem_max = record.rmem_looked = 262144;
    const auto seen = [&] {
        std::vector<std::byte> records;
        append(records, record);
        return flows(records).value().front();
    };
    CHECK(seen().received_before == 1000U);
    CHECK_FALSE(seen().acked_before.has_value());
    record.rmem_max = 524288; // raised since the last look
    CHECK_FALSE(seen().received_before.has_value());
    CHECK(seen().limit_changed);
    record.rmem_looked = 524288; // the last look is of both
    record.changed = 1;
    CHECK_FALSE(seen().received_before.has_value());
    record.changed = 0;
    CHECK(seen().received_before == 1000U);
    CHECK_FALSE(seen().limit_changed);
}

TEST_CASE("flows that are cut short or of an unknown kind are refused") {
    std::vector<std::byte> records;
    append(records, flow_record{.kind = ABI_FLOW_RECORD});
    records.pop_back();
    CHECK_FALSE(flows(records).has_value());
    records.clear();
    append(records, flow_record{.kind = ABI_LISTENER_RECORD});
    CHECK_FALSE(flows(records).has_value());
}

TEST_CASE("sockets are told apart by the kernel's numbers of their states, handshakes by both of theirs") {
    netns_sockets raw{.netns = {.cookie = 3, .inode = 4026532247}, .walk = 9};
    for (__u32 state = 0; state < ABI_TCP_STATES; ++state) raw.by_state[state] = 100 + state;
    const auto reading = sockets_reading(raw);
    CHECK(reading.netns == NetnsId{.cookie = 3, .inode = 4026532247});
    CHECK(reading.states == TcpStates{.established = 101,
                                      .syn_sent = 102,
                                      .syn_recv = 103 + 112,
                                      .fin_wait1 = 104,
                                      .fin_wait2 = 105,
                                      .time_wait = 106,
                                      .close_wait = 108,
                                      .last_ack = 109,
                                      .closing = 111});
}

TEST_CASE("a walk counts if all of its parts were walked, each to its end") {
    std::vector<std::byte> records;
    for (int i = 0; i < ABI_SOCKET_PARTS - 1; ++i) append(records, sockets_record{.walk = 9});
    CHECK_FALSE(socket_walk(records)->whole);
    std::vector<std::byte> torn = records;
    append(records, sockets_record{.walk = 9});
    CHECK(socket_walk(records)->whole);
    CHECK(socket_walk(records)->number == 9);
    append(torn, sockets_record{.walk = 9, .missed = 1});
    CHECK_FALSE(socket_walk(torn)->whole);
    torn.pop_back();
    CHECK_FALSE(socket_walk(torn).has_value());
    CHECK_FALSE(socket_walk({})->whole);
}

TEST_CASE("who made the user namespace of a network namespace is known where that is not the node's") {
    netns_record raw{.kind = ABI_NETNS_RECORD, .user_ns_owner = 7};
    CHECK_FALSE(netns_reading(raw).user_ns_owner.has_value());
    raw.in_user_ns = 1;
    CHECK(netns_reading(raw).user_ns_owner == 7U);
    raw.user_ns_owner = 0;
    CHECK(netns_reading(raw).user_ns_owner == 0U);
}

TEST_CASE("segments are known where the kernel says where they are counted") {
    netns_record raw{.kind = ABI_NETNS_RECORD};
    raw.tcp_mibs[ABI_TCP_MIB_OUTSEGS] = 50;
    raw.tcp_mibs[ABI_TCP_MIB_RETRANSSEGS] = 3;
    raw.tcp_mibs[ABI_TCP_MIB_ACTIVEOPENS] = 7;
    CHECK_FALSE(netns_reading(raw).segments.has_value());
    raw.tcp_mibs_known = 1;
    REQUIRE(netns_reading(raw).segments.has_value());
    CHECK(netns_reading(raw).segments->sent == 50);
    CHECK(netns_reading(raw).segments->retransmitted == 3);
    CHECK(netns_reading(raw).segments->connects == 7);
    const auto read = segments_in("Tcp: ActiveOpens OutSegs RetransSegs\nTcp: 1 50 3\n");
    REQUIRE(read.has_value());
    CHECK(read->sent == 50);
    CHECK(read->retransmitted == 3);
    CHECK(read->connects == 1);
    CHECK_FALSE(segments_in("Tcp: ActiveOpens OutSegs\nTcp: 1 50\n").has_value());
    CHECK_FALSE(segments_in("").has_value());
}
