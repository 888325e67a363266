// SPDX-License-Identifier: Apache-2.0
#include "sys/module_types.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <utility>

#include <bpf/bpf.h>

namespace bpftune::sys {
namespace {

// Empty: of a program, not of the kernel.
Result<std::string> name_of(const Fd& types) {
    std::array<char, 64> name{}; // MODULE_NAME_LEN is less
    bpf_btf_info info{};
    info.name = reinterpret_cast<std::uintptr_t>(name.data());
    info.name_len = name.size();
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(types.value(), &info, &size) != 0) return system_failure(errno, "types without a name");
    return info.kernel_btf != 0 ? std::string(name.data()) : std::string();
}

Error none(const std::string& module) { return {fmt::format("{} has no types of its own", module), ENOENT}; }

} // namespace

Result<Fd> module_types(const std::string& module) {
    // Asked first: before 5.11 the kernel does not know of names.
    if (!std::filesystem::exists("/sys/kernel/btf/" + module)) return std::unexpected(none(module));
    for (std::uint32_t id = 0; bpf_btf_get_next_id(id, &id) == 0;) {
        Fd types(bpf_btf_get_fd_by_id(id));
        if (!types && errno == ENOENT) continue; // gone since
        if (!types) return system_failure(errno, "get the types of {}", module);
        const auto name = name_of(types);
        if (!name) return std::unexpected(name.error());
        if (*name == module) return types;
    }
    if (errno == EPERM) return std::unexpected(Error{fmt::format("the types of {} take CAP_SYS_ADMIN", module), EPERM});
    if (errno != ENOENT) return system_failure(errno, "look for the types of {}", module);
    return std::unexpected(none(module));
}

} // namespace bpftune::sys
