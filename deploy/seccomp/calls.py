"""The system calls of an agent and of its loader, by what they are for.

Found by tracing both (strace -f) while programs were compiled, loaded and attached to tracepoints, logs delivered,
questions answered and connections tracked. Beside them are calls that the C library of another version or machine makes
for the same purpose. A test runs the agent under a filter that kills it for any other call.
"""

from typing import Final

GROUPS: Final = {
    "memory": (
        *("brk", "madvise", "mbind", "membarrier", "mmap", "mprotect", "mremap", "munmap"),
        *("get_mempolicy", "getrandom"),
    ),
    "threads and signals": (
        *("arch_prctl", "clone", "clone3", "exit", "exit_group", "futex", "get_robust_list", "gettid"),
        *("restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
        *("rt_sigtimedwait", "sched_getaffinity", "sched_yield", "set_robust_list"),
        *("set_tid_address", "sigaltstack", "tgkill"),
    ),
    "the loader as a process of its own": (
        *("chdir", "close_range", "dup", "dup2", "dup3", "execve", "kill", "pipe", "pipe2", "vfork"),
        *("wait4", "waitid"),
    ),
    "who and where it is": (
        *("getcpu", "getcwd", "getegid", "geteuid", "getgid", "getpid", "getppid", "getrlimit", "getrusage"),
        *("getuid", "prlimit64", "setrlimit", "sysinfo", "uname"),
    ),
    "/proc, compiled programs, certificates, the spool": (
        *("access", "chmod", "close", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchmod", "fchmodat"),
        *("fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getdents64", "ioctl", "lseek"),
        *("lstat", "memfd_create", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pread64", "preadv"),
        *("pwrite64", "read", "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir", "stat"),
        *("statfs", "statx", "umask", "unlink", "unlinkat", "write", "writev"),
    ),
    "the backend, the API server, netlink, questions": (
        *("accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom"),
        *("recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "socketpair"),
    ),
    "waiting": (
        *("clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create1", "epoll_ctl", "epoll_pwait"),
        *("epoll_wait", "eventfd2", "gettimeofday", "nanosleep", "poll", "ppoll", "pselect6", "select", "time"),
    ),
    "programs in the kernel": ("bpf", "perf_event_open"),
    "network namespaces of pods": ("setns",),
    "tracefs, where it is not mounted": ("fsconfig", "fsmount", "fsopen", "mount", "unshare"),
    "giving privileges away": ("capget", "capset", "prctl"),
}
"""Names as the kernel has them; what a machine has not is left out there."""

CALLS: Final = tuple(sorted(name for group in GROUPS.values() for name in group))
"""All of them."""
