/* SPDX-License-Identifier: GPL-2.0 */
/* The system call that the current task is in. */
#ifndef BPFTUNE_LIB_SYSCALL_H
#define BPFTUNE_LIB_SYSCALL_H

#include "bpf/lib/kernel.h"

#if defined(__TARGET_ARCH_x86)
#define SYSCALL_NUMBER(regs) ((long)BPF_CORE_READ(regs, orig_ax))
enum { NR_listen = 50 };
#elif defined(__TARGET_ARCH_arm64)
#define SYSCALL_NUMBER(regs) ((long)BPF_CORE_READ(regs, syscallno))
enum { NR_listen = 201 };
#endif

/*
 * Whether the task is in listen(2), and with what. Not for io_uring: another system call, or a
 * kernel thread whose registers are left from elsewhere. A 32-bit task cannot be taken for one:
 * these numbers are other calls there, none of which makes a socket listen.
 */
static __always_inline bool listen_arguments(struct task_struct *task, __s32 *fd, __u32 *backlog)
{
	struct pt_regs *regs;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (SYSCALL_NUMBER(regs) != NR_listen)
		return false;
	*fd = (__s32)PT_REGS_PARM1_CORE_SYSCALL(regs);
	/* The kernel compares it as unsigned (__sys_listen): a negative one asks for all that there
	 * is. */
	*backlog = (__u32)PT_REGS_PARM2_CORE_SYSCALL(regs);
	return true;
}

#endif
