// SPDX-License-Identifier: Apache-2.0
// The functions of a kernel module as places for fentry programs. libbpf finds them by itself, but only with
// CAP_SYS_ADMIN, which the service has given up when a module comes late: here the types come from somebody who has it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "probes/types.hpp"
#include "sys/fd.hpp"

namespace bpftune::probes {

// While it lives, programs of SEC("fentry/FUNCTION") are loaded and attached to functions of this module and of nothing
// else. One at a time, by one thread: libbpf's handlers are the process's.
class ModuleFunctions {
public:
    // `types`: sys::module_types() of `module`.
    static Result<std::unique_ptr<ModuleFunctions>> of(const std::string& module, sys::Fd types);

    ModuleFunctions(const ModuleFunctions&) = delete;
    ModuleFunctions& operator=(const ModuleFunctions&) = delete;
    ~ModuleFunctions();

    [[nodiscard]] int types() const { return fd_.value(); }
    // Its number among the types; -ENOENT: the module has no such function, or the compiler inlined it.
    [[nodiscard]] int id_of(std::string_view function) const;

private:
    ModuleFunctions(Types kernel, Types module, sys::Fd fd)
        : kernel_(std::move(kernel)), module_(std::move(module)), fd_(std::move(fd)) {}

    Types kernel_; // what the module's are numbered on from
    Types module_;
    sys::Fd fd_;
    int handler_ = 0;
};

} // namespace bpftune::probes
