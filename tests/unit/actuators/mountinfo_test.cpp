// SPDX-License-Identifier: Apache-2.0
#include "sys/netns.hpp"

#include <catch2/catch.hpp>

using bpftune::sys::bound_netns;

namespace {

constexpr const char* mountinfo = "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
                                  "70 24 0:4 net:[4026532247] /run/netns/cni\\040one\\134 rw - nsfs nsfs rw\n"
                                  "71 24 0:4 net:[40265322471] /run/netns/longer rw shared:9 - nsfs nsfs rw\n"
                                  "72 24 0:4 pid:[4026532999] /run/pidns rw - nsfs nsfs rw\n"
                                  "short line";

} // namespace

TEST_CASE("a bound namespace is found by its number, its path unescaped") {
    CHECK(bound_netns(mountinfo, 4026532247) == "/run/netns/cni one\\");
}

TEST_CASE("a namespace of another kind or number is not taken for it") {
    CHECK(bound_netns(mountinfo, 4026532999) == std::nullopt);
    CHECK(bound_netns(mountinfo, 402653224) == std::nullopt);
    CHECK(bound_netns("", 1) == std::nullopt);
}
