/* close and its relatives: one event per socket descriptor that goes away.
 *
 * What:  close(fd), and dup2/dup3 onto an open socket, which close it without saying so: the socket is found at
 *        entry, the event is sent at exit with the result. close_range: one event with the first and the last
 *        descriptor, since looking at each would have no bound.
 * Why tracepoints: system calls are the ABI.
 * Lost without it: the end of connections. Without close_range and dup: they stay open in user space until
 *        the process ends or the socket is found gone.
 * Not seen: descriptors that execve closes because of FD_CLOEXEC.
 *
 * A listening socket has no connection to close: its end is told apart, once, with its last descriptor. A socket
 * without a peer is told like any other: its connect may have failed, and user space knows sockets by inode and
 * ignores those it never heard of.
 */

#define CLOSE_ON_EXEC_ONLY 4 /* CLOSE_RANGE_CLOEXEC: marks the descriptors, closes none */
#define LARGEST_DESCRIPTOR 0x7fffffff

/* Whether this descriptor holds the only reference to the open file, so that closing it releases the socket. Another
 * process or thread that is inside a system call on it holds one, too. */
static __always_inline int is_last_reference(struct file *file)
{
    long references = 0;

    bpf_probe_read_kernel(&references, sizeof(references), &file->FILE_REFERENCES);
    return references == FILE_REFERENCES_OF_ONE;
}

static __always_inline void begin_close(int descriptor)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct call call = {};
    int is_last, is_listening;
    u8 state = 0;

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return;
    bpf_probe_read_kernel(&state, sizeof(state), &found.sk->__sk_common.skc_state);
    is_last = is_last_reference(found.file);
    is_listening = found.protocol == PROTOCOL_TCP && state == STATE_LISTEN;
    if (is_listening && !is_last)
        return;
    if (found.protocol == PROTOCOL_TCP && !is_listening)
        settle_attempt((u64)found.sk, state);
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = is_listening ? EVENT_LISTEN_END : EVENT_CLOSE;
    call.event.descriptor = descriptor;
    describe_task(&call.event, pid_tgid);
    describe_socket(&call.event, found.inode, found.sk, found.protocol);
    if (is_last)
        call.event.flags = FLAG_LAST_REFERENCE;
    remember_call(pid_tgid, &call);
}

static __always_inline int is_close(const struct call *call)
{
    return call->event.kind == EVENT_CLOSE || call->event.kind == EVENT_LISTEN_END;
}

#ifdef PROGRAM_enter_close
int enter_close(struct tracepoint__syscalls__sys_enter_close *args)
{
    begin_close(args->fd);
    return 0;
}
#endif

#ifdef PROGRAM_exit_close
int exit_close(struct tracepoint__syscalls__sys_exit_close *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (is_close(call)) {
        call->event.end_ns = bpf_ktime_get_ns();
        call->event.result = args->ret;
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}
#endif

#ifdef PROGRAM_enter_dup2
int enter_dup2(struct tracepoint__syscalls__sys_enter_dup2 *args)
{
    if (args->oldfd != args->newfd)
        begin_close(args->newfd);
    return 0;
}
#endif

#ifdef PROGRAM_enter_dup3
int enter_dup3(struct tracepoint__syscalls__sys_enter_dup3 *args)
{
    begin_close(args->newfd);
    return 0;
}
#endif

/* A dup that fails has closed nothing. */
#ifdef PROGRAM_exit_dup
int exit_dup(struct tracepoint__syscalls__sys_exit_dup3 *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (is_close(call) && args->ret >= 0) {
        call->event.end_ns = bpf_ktime_get_ns();
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}
#endif

#ifdef PROGRAM_enter_close_range
int enter_close_range(struct tracepoint__syscalls__sys_enter_close_range *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call call = {};
    u32 first = args->fd;
    u32 last = args->max_fd;

    if (!is_watched(pid_tgid))
        return 0;
    if (args->flags & CLOSE_ON_EXEC_ONLY || first > LARGEST_DESCRIPTOR)
        return 0;
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_CLOSE_RANGE;
    call.event.descriptor = first;
    call.event.result = last > LARGEST_DESCRIPTOR ? LARGEST_DESCRIPTOR : last;
    describe_task(&call.event, pid_tgid);
    remember_call(pid_tgid, &call);
    return 0;
}
#endif

#ifdef PROGRAM_exit_close_range
int exit_close_range(struct tracepoint__syscalls__sys_exit_close_range *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (call->event.kind == EVENT_CLOSE_RANGE && !args->ret) {
        call->event.end_ns = bpf_ktime_get_ns();
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}
#endif
