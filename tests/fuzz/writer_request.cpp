// SPDX-License-Identifier: Apache-2.0
// A request to the writer, which does what it is asked for, in a network namespace of the target's own. It has a user
// namespace of its own too, so that it has no rights to anything else on the node, whoever starts it.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actuators/serve.hpp"
#include "fuzz/fuzz.hpp"
#include "sys/directory.hpp"
#include "sys/netns.hpp"
#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::actuators;

namespace {

constexpr int cannot_run = 77;

bool write_to(const char* path, const std::string& text) {
    std::ofstream file(path);
    return !!(file << text << std::flush);
}

// Only a process of one thread may: before libFuzzer has any.
bool leave_the_node() {
    const auto uid = ::geteuid();
    const auto gid = ::getegid();
    const bool left = ::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0 &&
                      write_to("/proc/self/setgroups", "deny") &&
                      write_to("/proc/self/uid_map", fmt::format("0 {} 1", uid)) &&
                      write_to("/proc/self/gid_map", fmt::format("0 {} 1", gid));
    if (left) return true;
    std::fprintf(stderr, "cannot run here: no user namespace can be made\n");
    std::_Exit(cannot_run);
}
const bool left_the_node = leave_the_node();

// A socket of this process, which the seeds call by its place here, from 1.
struct Own {
    sys::Fd socket;
    std::uint64_t cookie = 0;
    std::uint64_t inode = 0;
};

Own own_socket(int type) {
    Own own{.socket = sys::Fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0))};
    const sockaddr_in any{.sin_family = AF_INET};
    socklen_t length = sizeof own.cookie;
    struct stat status{};
    const int fd = own.socket.value();
    fuzz::must(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 &&
                   (type == SOCK_DGRAM || ::listen(fd, 128) == 0) && ::fstat(fd, &status) == 0 &&
                   ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &own.cookie, &length) == 0,
               "a socket can be made");
    own.inode = status.st_ino;
    return own;
}

// What is 0, or the place of a socket, is what there is here: identities are others each time.
void name_what_there_is(Request& request) {
    static const NetnsId here = sys::own_netns().value();
    static const std::array sockets{own_socket(SOCK_STREAM), own_socket(SOCK_DGRAM)};
    if (request.netns_inode == 0) request.netns_inode = here.inode;
    if (request.netns_cookie == 0) request.netns_cookie = here.cookie;
    if (request.operation == Operation::namespaces && request.asked[0] == 0) request.asked[0] = ::getpid();
    const bool is_look = request.operation == Operation::descriptors || request.operation == Operation::sockets;
    if (is_look && request.listener_pid == 0) request.listener_pid = ::getpid();
    if (request.listener_cookie == 0 || request.listener_cookie > sockets.size()) return;
    const Own& own = sockets.at(request.listener_cookie - 1);
    request.listener_cookie = own.cookie;
    if (request.listener_inode == 0) request.listener_inode = own.inode;
    if (request.listener_pid != 0) return;
    request.listener_pid = ::getpid();
    request.listener_fd = own.socket.value();
}

std::uint64_t network_namespace() {
    struct stat status{};
    fuzz::must(::stat("/proc/thread-self/ns/net", &status) == 0, "there is a network namespace");
    return status.st_ino;
}

void must_be_an_answer(const Answer& answer, const Request& request) {
    fuzz::must(answer.version == protocol_version, "an answer has a version");
    fuzz::must(answer.kind <= static_cast<std::uint32_t>(Outcome::Kind::failed), "an answer is of a kind");
    fuzz::must(answer.error_size <= answer.error.size(), "an error is no longer than it may be");
    fuzz::must(answer.found_count <= answer.found.size(), "no more is found than there is room for");
    const bool writes = request.operation == Operation::write || request.operation == Operation::lower;
    if (!writes || answer.kind != static_cast<std::uint32_t>(Outcome::Kind::written)) return;
    const tunables::Tunable& tunable = tunables::catalog()[request.tunable];
    fuzz::must(answer.value == request.to, "what was written is what was asked for");
    fuzz::must(request.to >= tunable.kernel_min && request.to <= tunable.kernel_max, "what was written may be");
}

} // namespace

// The bytes are a request without its version, cut short or too long.
void fuzz::run(std::span<const std::byte> bytes) {
    constexpr std::size_t begin = offsetof(Request, operation);
    Request request;
    std::memcpy(reinterpret_cast<std::byte*>(&request) + begin, bytes.data(),
                std::min(bytes.size(), sizeof request - begin));
    name_what_there_is(request);
    const std::uint64_t before = network_namespace();
    const std::size_t files = sys::numbered_entries("/proc/self/fd").value().size();
    {
        Passed passed;
        const Answer answer = serve(request, std::max(sizeof request, begin + bytes.size()), serve_apart, passed);
        must_be_an_answer(answer, request);
        must(passed.size() <= most_passed, "no more is passed than fits");
        must(passed.empty() || answer.kind == static_cast<std::uint32_t>(Outcome::Kind::written),
             "nothing goes with a refusal");
    }
    must(network_namespace() == before, "the writer is back in its namespace");
    must(sys::numbered_entries("/proc/self/fd").value().size() == files, "no descriptor stays open");
}
