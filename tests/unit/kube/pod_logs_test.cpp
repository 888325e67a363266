// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_logs.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>

#include "sys/clock.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::kube;
using namespace std::chrono_literals;

namespace fs = std::filesystem;

namespace {

const std::string uid = "6c7a8f2e-3b1d-4e5f-9a0b-1c2d3e4f5a6b";

// As if it had last changed then: what was read within the same moment is read again.
void set_change(const fs::path& folder, std::time_t seconds) {
    const std::array<timespec, 2> times{timespec{seconds, 0}, timespec{seconds, 0}};
    REQUIRE(::utimensat(AT_FDCWD, folder.c_str(), times.data(), 0) == 0);
}

} // namespace

TEST_CASE("a folder of the kubelet's logs is a pod's namespace, name and UID, and nothing else is") {
    CHECK(parse_pod_folder("shop_web-0_" + uid) == PodName{uid, "shop", "web-0"});
    CHECK(parse_pod_folder("kube-system_kube-proxy-x_8f9b1c3d5e7a9b1c3d5e7a9b1c3d5e7a") ==
          PodName{"8f9b1c3d5e7a9b1c3d5e7a9b1c3d5e7a", "kube-system", "kube-proxy-x"});
    CHECK(parse_pod_folder("\x1b[2J_a\"b\xff_u")->name == "a\"b\\xff");
    CHECK(parse_pod_folder("\x1b[2J_a_u")->ns == "\\x1b[2J");
    for (const char* bad : {"", ".", "..", "_", "__", "a_b", "a__b", "_a_b", "a_b_", "a_b_c_d", "shop"})
        CHECK_FALSE(parse_pod_folder(bad));
}

TEST_CASE("folders are looked at again where they have changed, and once a second at most") {
    const testing::TemporaryDirectory folder;
    fs::create_directory(folder / ("shop_web-0_" + uid));
    set_change(folder.path(), 1000);
    PodLogs logs(folder.path());
    Now now = sys::now();
    REQUIRE(logs.find(uid, now) != nullptr);
    CHECK(logs.find(uid, now)->name == "web-0");
    CHECK(logs.find("other", now) == nullptr);

    fs::create_directory(folder / "shop_db-0_other");
    CHECK(logs.find("other", now) == nullptr); // not within the second
    now.mono += 1s;
    REQUIRE(logs.find("other", now) != nullptr);
    CHECK(logs.find("other", now)->name == "db-0");

    set_change(folder.path(), 2000);
    now.mono += 1s;
    CHECK(logs.find("third", now) == nullptr);
    fs::create_directory(folder / "shop_db-1_third");
    set_change(folder.path(), 2000); // not as the kernel would have it
    now.mono += 1s;
    CHECK(logs.find("third", now) == nullptr);
    set_change(folder.path(), 2001);
    now.mono += 1s;
    CHECK(logs.find("third", now) != nullptr);
}

TEST_CASE("what changed in the same moment as it was read is read again") {
    const testing::TemporaryDirectory folder;
    PodLogs logs(folder.path());
    Now now = sys::now();
    set_change(folder.path(), std::chrono::system_clock::to_time_t(now.wall));
    CHECK(logs.find(uid, now) == nullptr);
    fs::create_directory(folder / ("shop_web-0_" + uid));
    set_change(folder.path(), std::chrono::system_clock::to_time_t(now.wall));
    now.mono += 1s;
    CHECK(logs.find(uid, now) != nullptr);
}

TEST_CASE("without the kubelet's folder no pod has a name by it") {
    const testing::TemporaryDirectory folder;
    PodLogs logs(folder / "none");
    Now now = sys::now();
    CHECK_FALSE(logs.are_there(now));
    CHECK(logs.find(uid, now) == nullptr);
    CHECK_FALSE(check_pod_logs(folder / "none"));
    CHECK(check_pod_logs(folder.path()));
    fs::create_directories(folder / "none" / ("shop_web-0_" + uid));
    now.mono += 1s;
    CHECK(logs.are_there(now));
    CHECK(logs.find(uid, now) != nullptr);
}
