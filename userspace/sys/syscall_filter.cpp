// SPDX-License-Identifier: Apache-2.0
#include "sys/syscall_filter.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <utility>

#include <seccomp.h>

namespace bpftune::sys {
namespace {

#ifdef __has_feature
constexpr bool ends_by_ptrace = __has_feature(address_sanitizer);
#else
constexpr bool ends_by_ptrace = false; // the sanitizers' build is clang's
#endif

struct Release {
    void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>; // a scmp_filter_ctx

constexpr unsigned with_log_and_kill_process = 3; // seccomp_api_get(3): Linux 4.14
constexpr std::uint32_t as_binary_tree = 2;

Result<Filter> begin(std::uint32_t by_default, bool is_logged) {
    Filter filter(seccomp_init(by_default));
    if (!filter) return failure("make a system call filter");
    for (const auto& [attribute, value] :
         {std::pair{SCMP_FLTATR_API_SYSRAWRC, 1U}, // the kernel's own errors
          std::pair{SCMP_FLTATR_CTL_TSYNC, 1U},    // all threads
          std::pair{SCMP_FLTATR_CTL_LOG, is_logged ? 1U : 0U}, std::pair{SCMP_FLTATR_CTL_OPTIMIZE, as_binary_tree},
          std::pair{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS}})
        if (const int error = seccomp_attr_set(filter.get(), attribute, value); error < 0)
            return system_failure(-error, "set up a system call filter ({})", std::to_underlying(attribute));
    return filter;
}

Result<> add(const Filter& filter, std::uint32_t action, const char* name, std::span<const scmp_arg_cmp> where = {}) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) return {}; // another processor's, or newer than this libseccomp
    const auto conditions = static_cast<unsigned>(where.size());
    const int error = seccomp_rule_add_array(filter.get(), action, number, conditions, where.data());
    return error < 0 ? system_failure(-error, "filter {}", name) : Result<>();
}

Result<> allow_if(const Filter& filter, const ConditionalSyscall& call) {
    const std::array where{
        scmp_arg_cmp{.arg = call.index, .op = SCMP_CMP_MASKED_EQ, .datum_a = call.mask, .datum_b = call.value}};
    return add(filter, SCMP_ACT_ALLOW, call.name, where);
}

Result<> load(const Filter& filter) {
    const int error = seccomp_load(filter.get());
    return error < 0 ? system_failure(-error, "load a system call filter") : Result<>();
}

// By itself, for each new thread begins with it, which is nothing to log.
Result<> refuse_clone3() {
    const auto filter = begin(SCMP_ACT_ALLOW, false);
    if (!filter) return std::unexpected(filter.error());
    if (auto added = add(*filter, SCMP_ACT_ERRNO(ENOSYS), "clone3"); !added) return added;
    return load(*filter);
}

} // namespace

Result<> restrict_syscalls(const SyscallFilter& lists) {
    if constexpr (ends_by_ptrace) return failure("LeakSanitizer looks at a process that ends by ptrace");
    const auto filter = begin(SCMP_ACT_ERRNO(EPERM), true);
    if (!filter) return std::unexpected(filter.error());
    if (auto added = add(*filter, SCMP_ACT_ALLOW, "clone3"); !added) return added; // the other one's matter
    for (const char* name : lists.allowed)
        if (auto added = add(*filter, SCMP_ACT_ALLOW, name); !added) return added;
    for (const ConditionalSyscall& call : lists.allowed_if)
        if (auto added = allow_if(*filter, call); !added) return added;
    for (const char* name : lists.fatal)
        if (auto added = add(*filter, SCMP_ACT_KILL_PROCESS, name); !added) return added;
    if (auto refused = refuse_clone3(); !refused) return refused;
    return load(*filter);
}

bool can_restrict_syscalls() { return seccomp_api_get() >= with_log_and_kill_process; }

} // namespace bpftune::sys
