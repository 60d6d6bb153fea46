/* close and its relatives: one event per socket descriptor that goes away.
 *
 * What:  close(fd), and dup2/dup3 onto an open socket, which close it without saying so: the socket is found at
 *        entry, the event is sent at exit with the result. close_range: one event with the first and the last
 *        descriptor, since looking at each would have no bound.
 * Why there: system calls are the ABI.
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

static __always_inline int enter_close(int descriptor)
{
    begin_close(descriptor);
    return 0;
}

static __always_inline int exit_close(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (is_close(call)) {
        call->event.end_ns = bpf_ktime_get_ns();
        call->event.result = result;
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}

static __always_inline int enter_dup2(int old_descriptor, int new_descriptor)
{
    if (old_descriptor != new_descriptor)
        begin_close(new_descriptor);
    return 0;
}

static __always_inline int enter_dup3(int new_descriptor)
{
    begin_close(new_descriptor);
    return 0;
}

/* A dup that fails has closed nothing. */
static __always_inline int exit_dup(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (is_close(call) && result >= 0) {
        call->event.end_ns = bpf_ktime_get_ns();
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}

static __always_inline int enter_close_range(u32 first, u32 last, u32 flags)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call call = {};

    if (!is_watched(pid_tgid))
        return 0;
    if (flags & CLOSE_ON_EXEC_ONLY || first > LARGEST_DESCRIPTOR)
        return 0;
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_CLOSE_RANGE;
    call.event.descriptor = first;
    call.event.result = last > LARGEST_DESCRIPTOR ? LARGEST_DESCRIPTOR : last;
    describe_task(&call.event, pid_tgid);
    remember_call(pid_tgid, &call);
    return 0;
}

static __always_inline int exit_close_range(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (call->event.kind == EVENT_CLOSE_RANGE && !result) {
        call->event.end_ns = bpf_ktime_get_ns();
        send_event(&call->event);
    }
    calls.delete(&pid_tgid);
    return 0;
}
