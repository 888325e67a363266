// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

#include <array>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "tunables/codec.hpp"

namespace bpftune::actuators {

Result<sys::NetnsGuard> enter(const Scope& scope) {
    const auto netns = sys::find_netns(scope.netns, {.pid = scope.netns_pid, .path = {}});
    if (!netns) return std::unexpected(netns.error());
    return sys::NetnsGuard::enter(*netns, scope.netns);
}

Result<> check_is_init(const Scope& scope) {
    const auto init = sys::init_netns();
    if (!init) return with_context(init.error(), "the init network namespace");
    if (init->inode == scope.netns.inode) return {};
    return system_failure(EPERM, "a value of the node, and net:[{}] is not the init network namespace",
                          scope.netns.inode);
}

Result<Sysctl> Sysctl::open(const tunables::Tunable& tunable, const Scope& scope, For use) {
    if (tunable.kind == tunables::Kind::host_sysctl)
        if (const auto init = check_is_init(scope); !init) return with_context(init.error(), "{}", tunable.name);
    auto inside = enter(scope);
    if (!inside) return with_context(inside.error(), "{}", tunable.name);
    std::string path = fmt::format("/proc/sys/{}", tunable.path);
    sys::Fd file(::open(path.c_str(), (use == For::writing ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path);
    return Sysctl(tunable, std::move(*inside), std::move(file), std::move(path));
}

Result<std::string> Sysctl::text() const {
    std::array<char, 64> text{};
    const ssize_t size = ::pread(file_.value(), text.data(), text.size(), 0);
    if (size < 0) return system_failure(errno, "read {}", path_);
    return std::string(text.data(), static_cast<std::size_t>(size));
}

Result<std::uint64_t> Sysctl::value() const {
    const auto text = this->text();
    if (!text) return std::unexpected(text.error());
    auto number = tunables::value_in(tunable_, *text);
    if (!number) return with_context(number.error(), "{}", path_);
    return number;
}

Result<> Sysctl::set(std::uint64_t value) const {
    const auto before = text();
    if (!before) return std::unexpected(before.error());
    const auto text = tunables::text_with(tunable_, *before, value);
    if (!text) return with_context(text.error(), "{}", path_);
    const ssize_t size = ::pwrite(file_.value(), text->data(), text->size(), 0);
    if (size < 0) return system_failure(errno, "write {} to {}", *text, path_);
    if (static_cast<std::size_t>(size) != text->size()) return failure("write {} to {}: cut short", *text, path_);
    return {};
}

} // namespace bpftune::actuators
