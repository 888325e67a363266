// SPDX-License-Identifier: Apache-2.0
// Each test of the tiers on real namespaces holds QuietLock, and one that is "[loud]" holds it alone.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>

#include <unistd.h>

#include "netns/lock.hpp"

namespace bpftune::testing {
namespace {

class HoldsQuiet : public Catch::TestEventListenerBase {
public:
    using TestEventListenerBase::TestEventListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& test) override {
        if (::geteuid() != 0) return; // it can do nothing loud
        const bool is_loud = std::ranges::find(test.lcaseTags, "loud") != test.lcaseTags.end();
        quiet_.emplace(is_loud ? Use::alone : Use::shared);
    }
    void testCaseEnded(const Catch::TestCaseStats& /*test*/) override { quiet_.reset(); }

private:
    std::optional<QuietLock> quiet_;
};
CATCH_REGISTER_LISTENER(HoldsQuiet)

} // namespace
} // namespace bpftune::testing
