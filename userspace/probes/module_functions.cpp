// SPDX-License-Identifier: Apache-2.0
#include "probes/module_functions.hpp"

#include <cerrno>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace bpftune::probes {
namespace {

std::string_view function_of(const bpf_program* program) {
    const std::string_view section = bpf_program__section_name(program);
    return section.substr(section.find('/') + 1);
}

int find(bpf_program* program, bpf_prog_load_opts* options, long cookie) {
    const auto* functions = reinterpret_cast<const ModuleFunctions*>(cookie); // NOLINT(performance-no-int-to-ptr)
    const int id = functions->id_of(function_of(program));
    if (id < 0) return id;
    options->attach_btf_id = static_cast<__u32>(id);
    options->attach_btf_obj_fd = static_cast<__u32>(functions->types());
    return 0;
}

int attach_found(const bpf_program* program, long /*cookie*/, bpf_link** link) {
    *link = bpf_program__attach_trace(program);
    return *link == nullptr ? -errno : 0;
}

// libbpf before 1.3 frees its list of handlers with the last of them, and goes on using it: one stays that fits
// nothing.
int register_handler(const libbpf_prog_handler_opts& handler) {
    static const int never_the_last =
        libbpf_register_prog_handler("bpftune-none", BPF_PROG_TYPE_UNSPEC, BPF_TRACE_FENTRY, nullptr);
    if (never_the_last < 0) return never_the_last;
    return libbpf_register_prog_handler("fentry+", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, &handler);
}

} // namespace

Result<std::unique_ptr<ModuleFunctions>> ModuleFunctions::of(const std::string& module, sys::Fd types) {
    Types kernel(btf__load_vmlinux_btf());
    if (!kernel) return system_failure(errno, "this kernel's BTF");
    Types own(btf__load_module_btf(module.c_str(), kernel.get()));
    if (!own) return system_failure(errno, "the BTF of {}", module);
    std::unique_ptr<ModuleFunctions> functions(
        new ModuleFunctions(std::move(kernel), std::move(own), std::move(types)));
    LIBBPF_OPTS(libbpf_prog_handler_opts, handler, .cookie = reinterpret_cast<long>(functions.get()),
                .prog_prepare_load_fn = find, .prog_attach_fn = attach_found);
    functions->handler_ = register_handler(handler);
    if (functions->handler_ < 0) return system_failure(-functions->handler_, "register with libbpf");
    return functions;
}

ModuleFunctions::~ModuleFunctions() {
    if (handler_ > 0) libbpf_unregister_prog_handler(handler_);
}

// Not by btf__find_by_name_kind(), which would come upon the kernel's function of that name.
int ModuleFunctions::id_of(std::string_view function) const {
    for (__u32 id = btf__type_cnt(kernel_.get()); id < btf__type_cnt(module_.get()); ++id) {
        const btf_type* type = btf__type_by_id(module_.get(), id);
        if (!btf_is_func(type)) continue;
        const char* name = btf__name_by_offset(module_.get(), type->name_off);
        if (name != nullptr && function == name) return static_cast<int>(id);
    }
    return -ENOENT;
}

} // namespace bpftune::probes
