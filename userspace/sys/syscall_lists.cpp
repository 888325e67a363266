// SPDX-License-Identifier: Apache-2.0
#include "sys/syscall_lists.hpp"

#include <algorithm>
#include <iterator>

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

namespace bpftune::sys {
namespace {

using Names = const char* const[];

constexpr std::uint64_t whole_int = 0xffffffff;
constexpr std::uint64_t new_namespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// --- Both processes --------------------------------------------------------------------------------------------------

constexpr Names heap_and_stacks = {"brk", "madvise", "mremap", "munmap"};

// Nothing that can be written is ever run: libraries are mapped as code, and nothing becomes code.
constexpr ConditionalSyscall no_writable_code[] = {
    {"mmap", 2, PROT_EXEC, 0},
    {"mmap", 2, PROT_WRITE, 0},
    {"mprotect", 2, PROT_EXEC, 0},
};

// Their locks and their ends; tgkill() is abort()'s.
constexpr Names threads = {
    "exit",   "exit_group",        "futex",          "getcpu",         "gettid",          "membarrier",
    "rseq",   "rt_sigaction",      "rt_sigprocmask", "rt_sigreturn",   "set_robust_list", "sigaltstack",
    "tgkill", "sched_getaffinity", "sched_yield",    "restart_syscall"};
constexpr ConditionalSyscall named_threads[] = {{"prctl", 0, whole_int, PR_SET_NAME}};

// capget: what a refusal is for want of; prlimit64: stacks of threads, descriptors, libbpf's RLIMIT_MEMLOCK; sysinfo:
// glibc's qsort().
constexpr Names about_itself = {"capget",  "getegid",   "geteuid",   "getgid",    "getuid",  "getpid",
                                "getppid", "getrandom", "getrusage", "prlimit64", "sysinfo", "uname"};

// Mostly answered without the kernel, but by some clocks.
constexpr Names clocks = {"clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time"};

// /proc, /sys and their like are read, and written, by no more. fcntl: SQLite's locks, too; ioctl: whose a socket is,
// and iostream's FIONREAD.
constexpr Names files = {"close",    "close_range", "dup",        "dup2",    "dup3",     "fcntl",
                         "fstatfs",  "getcwd",      "getdents64", "ioctl",   "lseek",    "open",
                         "openat",   "poll",        "ppoll",      "pread64", "pwrite64", "read",
                         "readlink", "readlinkat",  "readv",      "statfs",  "write",    "writev"};
constexpr Names what_they_are = {"access", "faccessat", "faccessat2", "fstat", "lstat", "newfstatat", "stat", "statx"};

// listen() of the writer gives a listener another limit.
constexpr Names messages = {"getsockname", "getsockopt", "listen",     "recvfrom", "recvmsg",
                            "sendmsg",     "sendto",     "setsockopt", "shutdown", "socketpair"};

// No packet sockets, and none that would load a module for a family that hardly anybody uses.
constexpr ConditionalSyscall families[] = {
    {"socket", 0, whole_int, AF_UNIX},
    {"socket", 0, whole_int, AF_INET},
    {"socket", 0, whole_int, AF_INET6},
    {"socket", 0, whole_int, AF_NETLINK},
};

// The service's is the writer, whose is the one for listeners.
constexpr Names own_children = {"kill", "pidfd_open", "wait4"};

constexpr Names bpf = {"bpf"};

// --- The service -----------------------------------------------------------------------------------------------------

constexpr Names event_loop = {"epoll_create1",   "epoll_ctl",         "epoll_pwait",   "epoll_pwait2",
                              "epoll_wait",      "eventfd2",          "signalfd4",     "timerfd_create",
                              "timerfd_settime", "inotify_add_watch", "inotify_init1", "inotify_rm_watch"};

// Journal, lock and API socket. SQLite gives what it makes beside the journal to the journal's owner; a damaged one is
// renamed.
constexpr Names own_files = {"chmod",    "fallocate", "fchmod",    "fchmodat", "fchown",  "fdatasync",
                             "flock",    "fsync",     "ftruncate", "mkdir",    "mkdirat", "rename",
                             "renameat", "renameat2", "rmdir",     "umask",    "unlink",  "unlinkat"};

// Who comes, and whom it goes to; glibc's resolver where a name is to be listened on. setpriority: who is answered goes
// ahead of nobody.
constexpr Names doors = {"accept", "accept4", "bind", "connect", "getpeername", "sendmmsg", "setpriority"};

// sched: a mutex of abseil's, for a thread that waits; pipe2: gRPC, where it has no eventfd; memfd_create: libbpf since
// 1.4, in the place of a map.
constexpr Names libraries = {"memfd_create", "pipe2", "sched_getparam", "sched_getscheduler"};

constexpr ConditionalSyscall threads_alone[] = {{"clone", 0, new_namespaces | CLONE_THREAD, CLONE_THREAD}};

// --- The writer ------------------------------------------------------------------------------------------------------

// A socket is fetched; the last three: the sysfs of a network namespace, mounted at no place.
constexpr Names objects_of_others = {"pidfd_getfd", "fsopen", "fsconfig", "fsmount"};
constexpr ConditionalSyscall network_namespaces[] = {{"setns", 1, whole_int, CLONE_NEWNET}};

// For listeners: it ends with the writer.
constexpr ConditionalSyscall child[] = {{"clone", 0, new_namespaces, 0}, {"prctl", 0, whole_int, PR_SET_PDEATHSIG}};

// --- What nobody but an intruder calls -------------------------------------------------------------------------------

// Neither this program after its start nor a library of its own: whoever does is not to go on. All else that is in no
// list only fails, also what one of the two needs and the other does not: it may have been forgotten.

constexpr Names other_programs = {"execve", "execveat"};
constexpr Names memory_of_others = {"process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"};
constexpr Names kernel_itself = {"acct",       "delete_module", "finit_module", "init_module", "kexec_file_load",
                                 "kexec_load", "reboot",        "swapoff",      "swapon"};
constexpr Names mounts = {"chroot", "fspick", "mount_setattr", "move_mount", "open_tree", "pivot_root"};
constexpr Names ways_around = {"open_by_handle_at", "personality"};
// Seldom of use to a program, often to an exploit of the kernel.
constexpr Names of_exploits = {"add_key", "io_uring_enter", "io_uring_register", "io_uring_setup",
                               "keyctl",  "modify_ldt",     "request_key",       "userfaultfd"};

constexpr auto both = CalledBy::both;
constexpr auto service = CalledBy::service;
constexpr auto writer = CalledBy::writer;
constexpr auto nobody = CalledBy::nobody;

constexpr SyscallGroup groups[] = {
    {"heap and stacks", both, heap_and_stacks, {}},
    {"libraries and data, of which nothing is both written and run", both, {}, no_writable_code},
    {"threads: their locks and their ends", both, threads, {}},
    {"names of threads", both, {}, named_threads},
    {"what a process asks about itself", both, about_itself, {}},
    {"clocks and pauses", both, clocks, {}},
    {"files, also those of /proc and /sys", both, files, {}},
    {"whether a file is there, and what it is", both, what_they_are, {}},
    {"messages and what is set of a socket", both, messages, {}},
    {"sockets: Unix, IP and netlink, no other", both, {}, families},
    {"its child: the writer; the process for listeners", both, own_children, {}},
    {"BPF: maps and iterators, as far as its capabilities go", both, bpf, {}},
    {"the event loop", service, event_loop, {}},
    {"journal, lock, API socket", service, own_files, {}},
    {"the API, the HTTP port, the container runtime", service, doors, {}},
    {"what libraries call now and then", service, libraries, {}},
    {"threads, and no process", service, {}, threads_alone},
    {"sockets of others, and the sysfs of a network namespace", writer, objects_of_others, {}},
    {"network namespaces, and no other", writer, {}, network_namespaces},
    {"the process for listeners, in the same namespaces, which ends with the writer", writer, {}, child},
    {"other programs", nobody, other_programs, {}},
    {"the memory of other processes", nobody, memory_of_others, {}},
    {"the kernel itself", nobody, kernel_itself, {}},
    {"other mounts", nobody, mounts, {}},
    {"ways around what a process is held to", nobody, ways_around, {}},
    {"what exploits of the kernel begin with", nobody, of_exploits, {}},
};

SyscallFilter filter_of(CalledBy process) {
    SyscallFilter filter;
    for (const SyscallGroup& group : groups) {
        if (group.by == nobody) std::ranges::copy(group.calls, std::back_inserter(filter.fatal));
        if (group.by != both && group.by != process) continue;
        std::ranges::copy(group.calls, std::back_inserter(filter.allowed));
        std::ranges::copy(group.in_some_cases, std::back_inserter(filter.allowed_if));
    }
    return filter;
}

} // namespace

std::span<const SyscallGroup> syscall_groups() { return groups; }

SyscallFilter service_syscalls() { return filter_of(service); }

SyscallFilter writer_syscalls() { return filter_of(writer); }

} // namespace bpftune::sys
