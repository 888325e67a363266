// SPDX-License-Identifier: Apache-2.0
// Hostile files: whatever the bytes, `parse` returns and `render` gives clean text.
#include "policy/parse.hpp"

#include <random>
#include <string>
#include <vector>

#include "core/text.hpp"
#include "unit/policy/files.hpp"

using namespace bpftune;
using namespace bpftune::policy;
using namespace bpftune::policy::test;

namespace {

std::vector<std::string> corpus() {
    std::vector<std::string> out;
    for (const char* folder : {"policies", "tests/policy/broken"})
        for (const auto& path : files(folder, ".yaml")) out.push_back(content_of(path));
    return out;
}

class Mutator {
public:
    explicit Mutator(std::vector<std::string> seeds) : seeds_(std::move(seeds)) {}

    std::string operator()() {
        std::string text = any_seed();
        for (std::size_t edits = below(4) + 1; edits > 0; --edits) edit(text);
        return text;
    }

private:
    std::size_t below(std::size_t end) { return random_() % end; }
    const std::string& any_seed() { return seeds_[below(seeds_.size())]; }

    void edit(std::string& text) {
        constexpr std::string_view yaml = "{}[],:?-&*!|>'\"%@`#~ \t\r\n0\\<=.";
        const std::size_t at = below(text.size() + 1);
        const std::size_t length = below(9);
        switch (below(6)) {
        case 0: text.insert(at, 1, static_cast<char>(below(256))); break;
        case 1: text.insert(at, length, yaml[below(yaml.size())]); break;
        case 2: text.erase(at, length); break;
        case 3: text.insert(at, any_seed().substr(0, 3 * length)); break;
        case 4: text.resize(at); break;
        default:
            if (at < text.size()) text[at] = yaml[below(yaml.size())];
        }
    }

    std::vector<std::string> seeds_;
    std::mt19937_64 random_{11}; // the same files each time
};

bool clean(std::string_view text) {
    for (; !text.empty();) {
        const CodePoint point = first_code_point(text);
        if (point.length == 0 || (point.value < 0x20 && point.value != '\n')) return false;
        text.remove_prefix(point.length);
    }
    return true;
}

} // namespace

TEST_CASE("any bytes give a policy or diagnostics in clean text") {
    Mutator mutated(corpus());
    for (int round = 0; round < 5000; ++round) {
        const std::string text = mutated();
        const auto policy = parse(text);
        CAPTURE(text);
        if (policy) {
            REQUIRE(parse(show(*policy)).value() == *policy);
            continue;
        }
        REQUIRE_FALSE(policy.error().empty());
        REQUIRE(clean(render("f", text, policy.error())));
    }
}
