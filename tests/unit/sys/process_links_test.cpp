// SPDX-License-Identifier: Apache-2.0
#include "sys/process_links.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.hpp"

using namespace bpftune;
using namespace bpftune::sys;

namespace {

constexpr pid_t nobody = 0x7fffffff;

Fd make_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

std::uint64_t inode_of(int fd) {
    struct stat about{};
    REQUIRE(::fstat(fd, &about) == 0);
    return about.st_ino;
}

} // namespace

TEST_CASE("processes say their network namespaces in the order in which they are asked") {
    struct stat own{};
    REQUIRE(::stat("/proc/self/ns/net", &own) == 0);
    const auto found = namespaces_of(std::array{nobody, ::getpid()});
    REQUIRE(found.size() == 2);
    CHECK(found[0] == LinkTarget{.code = ENOENT});
    CHECK(found[1] == LinkTarget{.inode = own.st_ino});
    CHECK(namespaces_of({}).empty());
}

TEST_CASE("a descriptor is a socket by its inode number alone") {
    const Fd socket = make_socket();
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::array fds{file.value(), socket.value(), 65000, -1};
    const auto found = descriptors_of(::getpid(), fds);
    CHECK(found == std::vector<LinkTarget>{{.fd = file.value()},
                                           {.inode = inode_of(socket.value()), .fd = socket.value()},
                                           {.fd = 65000, .code = ENOENT},
                                           {.fd = -1, .code = ENOENT}});
    CHECK(descriptors_of(nobody, fds)[1].code == ENOENT);
}

TEST_CASE("the sockets of a process are told part by part, whatever else it has open between them") {
    std::vector<Fd> kept;
    std::set<int> made;
    for (int i = 0; i < 150; ++i) {
        kept.push_back(make_socket());
        made.insert(kept.back().value());
        for (int files = 0; files < 5; ++files) kept.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    std::vector<int> told;
    std::optional<int> next = 0;
    int parts = 0;
    for (; next; ++parts) {
        const int from = *next;
        const auto found = sockets_of(::getpid(), from).value();
        CHECK(found.sockets.size() <= OpenSockets::most);
        CHECK(found.looked_at <= OpenSockets::most_looked_at);
        for (const LinkTarget& socket : found.sockets) {
            CHECK(socket.fd >= from);
            CHECK(socket.inode == inode_of(socket.fd));
            told.push_back(socket.fd);
        }
        next = found.next;
        REQUIRE((!next || *next > from));
    }
    CHECK(parts >= 3);
    CHECK(std::ranges::is_sorted(told));
    CHECK(std::ranges::includes(told, made));
    CHECK(sockets_of(::getpid(), 1'000'000).value().sockets.empty());
    CHECK(sockets_of(::getpid(), -7).value().sockets.front().fd == told.front());
}

TEST_CASE("a process that is gone says so, which is its own matter and not that of who looks") {
    const auto found = sockets_of(nobody, 0);
    REQUIRE_FALSE(found);
    CHECK(found.error().code == ENOENT);
    CHECK(is_of_process(found.error()));
    for (const int code : {0, ETIME, ETIMEDOUT, EMFILE}) CHECK_FALSE(is_of_process({"", code}));
    CHECK(own_looks().sockets(nobody, 0).error().code == ENOENT);
    CHECK(own_looks().namespaces(std::array{nobody}).value()[0].code == ENOENT);
}
