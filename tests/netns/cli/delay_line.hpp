// SPDX-License-Identifier: Apache-2.0
// Two namespaces that are a long way apart: 10.88.0.1 and 10.88.0.2.
#pragma once

#include "netns/lock.hpp"
#include "netns/service/fixtures.hpp"

namespace bpftune::testing {

inline constexpr const char* near_address = "10.88.0.1";
inline constexpr const char* far_address = "10.88.0.2";

// A namespace in which nothing sends by itself, and whose TCP fills a long way.
struct Quiet {
    Namespace netns;

    Quiet() {
        netns.write("sys/net/ipv6/conf/default/disable_ipv6", "1");
        for (const char* buffer : {"tcp_rmem", "tcp_wmem"})
            netns.write(std::string("sys/net/ipv4/") + buffer, "4096 131072 67108864");
    }
};

class DelayLine {
public:
    explicit DelayLine(Words options)
        : program_(words(std::move(options)), folder_ / "out", folder_ / "err", {},
                   std::string(build_dir) + "/delay-line") {
        must(comes_true([&] { return program_.out().starts_with("{\"ready\":true}\n") || program_.ended(); }), "wait");
        if (program_.ended()) throw std::runtime_error("no delay line: " + program_.err());
    }

    [[nodiscard]] const Namespace& near() const { return near_.netns; }
    [[nodiscard]] const Namespace& far() const { return far_.netns; }

    // Ends it. What became of the packets: from near to far, and from far to near.
    std::array<Json, 2> counts() {
        program_.signal(SIGTERM);
        REQUIRE(program_.wait() == 0);
        std::istringstream lines(program_.out());
        std::string ready;
        std::array<std::string, 2> ways;
        std::getline(lines, ready);
        for (std::string& way : ways) std::getline(lines, way);
        UNSCOPED_INFO(ways[0] << '\n' << ways[1]);
        return {Json::parse(ways[0]), Json::parse(ways[1])};
    }

private:
    Words words(Words options) {
        const Words ends{near_.netns.name() + '=' + near_address, far_.netns.name() + '=' + far_address};
        options.insert(options.begin(), ends.begin(), ends.end());
        return options;
    }

    LongWay long_way_;
    Quiet near_;
    Quiet far_;
    TemporaryDirectory folder_;
    Program program_;
};

} // namespace bpftune::testing
