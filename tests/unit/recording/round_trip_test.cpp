// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "core/text.hpp"
#include "recording/json.hpp"

using namespace bpftune;
using namespace bpftune::recording;
using Line = Decoder::Line;

namespace {

const std::string hostile = printable("\"}],\\u0000\n\x1b[2J\xff\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x92\xa5\\\\ \x7f{");

// Another value than any default in each member, and than in every other one.
class Filler {
public:
    template <class T> void fill(T& value) {
        if constexpr (Struct<T>) {
            Fields<T>::each([&](std::string_view, auto& member) { fill(member); }, value);
        } else if constexpr (std::same_as<T, std::string>) {
            value = hostile + std::to_string(++count_);
        } else if constexpr (std::same_as<T, bool>) {
            value = true;
        } else if constexpr (std::floating_point<T>) {
            value = 0.1 + 1e-9 * ++count_;
        } else if constexpr (Number<T>) {
            value = static_cast<T>(std::numeric_limits<T>::max() - ++count_);
        } else if constexpr (std::same_as<T, TunableId>) {
            value = tunables::catalog()[1 + ++count_ % (tunables::catalog().size() - 1)].id;
        } else if constexpr (std::is_enum_v<T>) {
            value = Names<T>::all[1 + ++count_ % (Names<T>::all.size() - 1)];
        } else if constexpr (Duration<T>) {
            value = T(++count_);
        } else if constexpr (Time<T>) {
            value = T(typename T::duration(++count_));
        } else if constexpr (is_optional<T>) {
            fill(value.emplace());
        } else if constexpr (is_array<T>) {
            for (auto& element : value) fill(element);
        } else {
            fill_container(value);
        }
    }

private:
    template <class T> void fill_container(T& value) {
        for (int i = 0; i < 2; ++i) {
            if constexpr (is_map<T>) {
                typename T::key_type key{};
                fill(key);
                fill(value[key]);
            } else {
                typename T::value_type element{};
                fill(element);
                value.insert(value.end(), element);
            }
        }
    }

    int count_ = 0;
};

template <class T> T filled() {
    T value{};
    Filler().fill(value);
    return value;
}

Line must_read(Decoder& decoder, const std::string& line) {
    const auto read = decoder.read(line);
    INFO(line << "\n" << (read ? "" : read.error().message));
    REQUIRE(read);
    return *read;
}

std::string error_of(const std::string& line) {
    Decoder decoder;
    const auto read = decoder.read(line);
    return read ? "no error" : read.error().message;
}

Snapshot with_listeners(std::initializer_list<std::uint64_t> cookies) {
    Snapshot snapshot;
    for (const std::uint64_t cookie : cookies) snapshot.listeners.push_back({.cookie = cookie, .command = "nginx"});
    return snapshot;
}

} // namespace

TEST_CASE("every member of a header and its state comes back, with hostile text") {
    auto header = filled<Header>();
    header.schema = current_schema;
    Decoder decoder;
    CHECK(must_read(decoder, Encoder().begin(header)) == Line::header);
    CHECK(same(decoder.header(), header));
    CHECK_FALSE(same(decoder.header(), Header{}));
}

TEST_CASE("every member of a snapshot and a step comes back") {
    for (const Snapshot::Cause cause : Names<Snapshot::Cause>::all) {
        auto snapshot = filled<Snapshot>();
        snapshot.cause = cause;
        auto step = filled<Step>();
        step.settled.front().decision = 0;
        step.settled.back().decision = 1;
        Decoder decoder;
        CHECK(must_read(decoder, Encoder().step(snapshot, step)) == Line::step);
        CHECK(same(decoder.snapshot(), snapshot));
        CHECK(same(decoder.step(), step));
    }
}

TEST_CASE("the decisions of a line are counted without reading the rest of it") {
    const auto step = filled<Step>();
    CHECK(decisions_in(Encoder().step(filled<Snapshot>(), step)) == step.decisions.size());
    CHECK(decisions_in(Encoder().step({}, {})) == 0U);
    CHECK(decisions_in(R"({"tick":{"listeners")") == 0U);
    CHECK_FALSE(decisions_in(Encoder().begin({})));
    CHECK_FALSE(decisions_in(Encoder::restored()));
}

TEST_CASE("rows that come, change and go are told by what differs") {
    Encoder encoder;
    Decoder decoder;
    Snapshot changed = with_listeners({1, 2, 3, 4});
    changed.listeners[2].queue = 7;
    for (const Snapshot& snapshot : {with_listeners({1, 2, 3}), with_listeners({1, 2, 3, 4}), changed, changed,
                                     with_listeners({2, 4}), with_listeners({}), with_listeners({5, 1})}) {
        must_read(decoder, encoder.step(snapshot, {}));
        CHECK(same(decoder.snapshot(), snapshot));
    }
    CHECK(encoder.step(with_listeners({5, 1}), {}) == R"({"tick":{},"step":{}})");
    CHECK(encoder.step(changed, {.now = MonoTime(std::chrono::nanoseconds(9))}) ==
          R"({"tick":{"listeners":[{"cookie":1},{"cookie":2},{"cookie":3,"command":"nginx","queue":7},)"
          R"({"cookie":4,"command":"nginx"}]},"step":{"now":9}})");
}

TEST_CASE("a tick builds on the last tick, whatever bursts came between") {
    Encoder encoder;
    Decoder decoder;
    Snapshot burst = with_listeners({9});
    burst.cause = Snapshot::Cause::pressure;
    for (const Snapshot& snapshot :
         {with_listeners({1, 2}), burst, with_listeners({1, 2}), burst, with_listeners({2, 1})}) {
        must_read(decoder, encoder.step(snapshot, {}));
        CHECK(same(decoder.snapshot(), snapshot));
    }
}

TEST_CASE("another header in the middle makes everything be told anew") {
    Encoder encoder;
    Decoder first;
    Decoder second;
    must_read(first, encoder.begin({.schema = current_schema}));
    must_read(first, encoder.step(with_listeners({1, 2}), {}));
    const std::string header = encoder.begin({.schema = current_schema});
    const std::string step = encoder.step(with_listeners({1, 2, 3}), {});
    for (Decoder* decoder : {&first, &second}) {
        CHECK(must_read(*decoder, header) == Line::header);
        must_read(*decoder, step);
        CHECK(same(decoder->snapshot(), with_listeners({1, 2, 3})));
    }
}

TEST_CASE("a policy comes back") {
    policy::Policy policy;
    policy.name = "web";
    policy.mode = policy::Mode::automatic;
    policy.memory_budget_ratio = 0.035;
    policy.of(TunableId::listener_backlog) = {true, policy::Mode::recommend, 64, 512};
    Decoder decoder;
    CHECK(must_read(decoder, Encoder::reloaded(policy)) == Line::reloaded);
    const auto read = policy_of(decoder.policy(), decoder.origin());
    REQUIRE(read);
    CHECK(*read == policy);
    CHECK(decoder.origin() == Origin{});
    CHECK(must_read(decoder, Encoder::restored()) == Line::restored);
}

TEST_CASE("where a policy's entries stood comes back, since decisions name it; one of before has none") {
    policy::Policy policy;
    policy.file.value = "policy.yaml";
    for (const std::size_t line : {12, 40}) policy.pods.push_back({.match = {.ns = "a"}, .line = {line}});
    policy.pods[1].match.ns = "b";
    Decoder decoder;
    must_read(decoder, Encoder::reloaded(policy));
    auto read = policy_of(decoder.policy(), decoder.origin());
    REQUIRE(read);
    CHECK(place_of(*read, read->pods[1]) == "policy.yaml:40");
    must_read(decoder,
              Encoder().begin({.schema = current_schema, .policy = lines_of(policy), .origin = origin_of(policy)}));
    read = policy_of(decoder.header().policy, decoder.header().origin);
    CHECK(place_of(*read, read->pods[0]) == "policy.yaml:12");
    must_read(decoder, R"({"reloaded":["a"]})");
    CHECK(decoder.origin() == Origin{});
}

TEST_CASE("text of a recording that somebody else wrote is made fit to show") {
    Decoder decoder;
    must_read(decoder, "{\"tick\":{\"node\":\"\\u001b[2J\xff\"},\"step\":{}}");
    CHECK(decoder.snapshot().node == R"(\x1b[2J\xff)");
}

TEST_CASE("what is no line of a recording is refused, with its place") {
    CHECK(error_of("") == "not a line of a recording");
    CHECK(error_of(R"({"answer":42})") == "not a line of a recording");
    CHECK(error_of(R"({"tick":{"qeue":1}})") == "column 17: 'qeue' is not known here");
    CHECK(error_of(R"({"tick":{"cause":"whim"}})") == "column 24: 'whim' is not known here");
    CHECK(error_of(R"({"tick":{"lost_events":-1}})") == "column 24: a number was expected, one that fits");
    CHECK(error_of(R"({"tick":{"listeners":[1]}})") == "column 24: so many rows were not known before");
    CHECK(error_of(R"({"tick":{"node":"a)") == "column 18: the text does not end");
    CHECK(error_of(R"({"tick":{}}{})") == "more than one value on the line");
    CHECK(error_of(R"({"tick":{},"step":{"settled":[{"decision":0}]}})") ==
          "the outcome of a decision that is not there");
    CHECK(error_of(R"({"recording":{"schema":99,"version":"9","later":1}})") ==
          "recorded with schema 99 by version 9: this program reads schema 2");
    CHECK(error_of(R"({"recording":{}})") == "recorded with schema 0 by version ?: this program reads schema 2");
}

TEST_CASE("a time that none of a recording can be is refused: sums of two would not fit") {
    const auto tick = [](std::string_view interval) {
        return fmt::format(R"({{"tick":{{"interval":{}}}}})", interval);
    };
    const std::string refused = ": a time that none of a recording is";
    CHECK(error_of(tick("4611686018427387903")) == "no error");
    CHECK_THAT(error_of(tick("4611686018427387904")), Catch::EndsWith(refused));
    CHECK_THAT(error_of(tick("-1")), Catch::EndsWith(refused));
    CHECK(error_of(R"({"tick":{"time":{"mono":4611686018427387903,"wall":4611686018427}}})") == "no error");
    CHECK_THAT(error_of(R"({"tick":{"time":{"mono":-9223372036854775808}}})"), Catch::EndsWith(refused));
    CHECK_THAT(error_of(R"({"tick":{"time":{"wall":4611686018428}}})"), Catch::EndsWith(refused));
}

TEST_CASE("no line that was cut or changed crashes, and none takes more than it says") {
    auto snapshot = filled<Snapshot>();
    snapshot.cause = Snapshot::Cause::tick;
    const std::string line = Encoder().step(snapshot, {});
    for (std::size_t length = 0; length < line.size(); ++length) CHECK(error_of(line.substr(0, length)) != "no error");
    for (std::size_t i = 0; i < line.size(); i += 3) {
        std::string other = line;
        other[i] = static_cast<char>(other[i] ^ 0x15);
        (void)error_of(other);
    }
}

TEST_CASE("a line of short rows that would take much memory is refused") {
    const std::string rows = [] {
        std::string text = "{}";
        for (int i = 0; i < 400'000; ++i) text += ",{}";
        return text;
    }();
    CHECK_THAT(error_of(R"({"tick":{"listeners":[)" + rows + R"(]},"step":{}})"),
               Catch::EndsWith(": more than 64 MiB of one line"));
    CHECK_THAT(error_of(R"({"tick":{},"step":{"decisions":[)" + rows + "]}}"),
               Catch::EndsWith(": more than 64 MiB of one line"));
}

TEST_CASE("snapshots that grow without end, line by line, are refused") {
    const std::string rows = [] {
        std::string text;
        for (int i = 0; i < 20'000; ++i) text += ",{}";
        return text;
    }();
    Decoder decoder;
    std::string error;
    std::size_t lines = 0;
    for (; error.empty() && lines < 10'000; ++lines) {
        const char* const list = lines % 2 == 0 ? "listeners" : "tcp";
        const std::size_t known = lines / 2 * 20'000;
        const auto read = decoder.read(fmt::format(R"({{"tick":{{"{}":[{}{}]}},"step":{{}}}})", list, known, rows));
        if (!read) error = read.error().message;
    }
    CHECK(error == "what is recorded takes more than 128 MiB");
    CHECK(held_bytes(decoder.snapshot()) < most_held_bytes + most_grown_bytes);
    CHECK(lines > 1);
}

TEST_CASE("what comes and goes for a long time is read, however much it is in all") {
    Decoder decoder;
    Encoder encoder;
    Snapshot many = with_listeners({1});
    many.listeners.resize(5'000, many.listeners.front());
    std::size_t grown = 0;
    while (grown < 2 * most_held_bytes) {
        must_read(decoder, encoder.step(many, {}));
        must_read(decoder, encoder.step(with_listeners({1}), {}));
        grown += 5'000 * sizeof(Listener);
    }
}

TEST_CASE("lists that were long once count as what they take, empty as they are now") {
    const std::string rows = [] {
        std::string text = "{}";
        for (int i = 1; i < 32'768; ++i) text += ",{}";
        return text;
    }();
    Decoder decoder;
    std::string error;
    for (const char* cause : {"tick", "pressure"})
        for (const char* list : {"listeners", "tcp", "buffers", "udp", "conntrack", "fragments", "steered"})
            for (const std::string& content : {rows, std::string()}) {
                if (!error.empty()) break; // no recording is read any further
                const auto read =
                    decoder.read(fmt::format(R"({{"{}":{{"{}":[{}]}},"step":{{}}}})", cause, list, content));
                if (!read) error = read.error().message;
            }
    CHECK(error == "what is recorded takes more than 128 MiB");
}

TEST_CASE("what a policy's file was called is no place for more than a name") {
    CHECK(policy_of(lines_of(policy::Policy()), {.file = std::string(4096, 'x'), .lines = {}}));
    CHECK_FALSE(policy_of(lines_of(policy::Policy()), {.file = std::string(4097, 'x'), .lines = {}}));
}
