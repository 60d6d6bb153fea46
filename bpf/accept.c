/* accept and accept4: one event per accepted connection.
 *
 * What:  sys_enter_accept* notes the time when the descriptor is an internet socket; sys_exit_accept* follows the
 *        new descriptor, whose socket has both addresses by then. A failed accept makes no connection and no event.
 * Why tracepoints: system calls are the ABI.
 * Lost without it: accept logs and the start of server connections; their transfers are still seen.
 */

static __always_inline void begin_accept(int descriptor)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct call call = {};

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return;
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_ACCEPT;
    remember_call(pid_tgid, &call);
}

static __always_inline void end_accept(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);
    struct found_socket found;
    struct event event = {};

    if (!call)
        return;
    if (call->event.kind != EVENT_ACCEPT || result < 0)
        goto done;
    if (!find_socket(result, &found)) {
        count(LOST_ACCEPTED_NOT_FOUND, 1);
        goto done;
    }
    event.start_ns = call->event.start_ns;
    event.end_ns = bpf_ktime_get_ns();
    event.kind = EVENT_ACCEPT;
    event.descriptor = result;
    describe_task(&event, pid_tgid);
    describe_socket(&event, found.inode, found.sk, found.protocol);
    event.role = ROLE_SERVER;
    send_event(&event);
done:
    calls.delete(&pid_tgid);
}

#ifdef PROGRAM_enter_accept
int enter_accept(struct tracepoint__syscalls__sys_enter_accept *args)
{
    begin_accept(args->fd);
    return 0;
}
#endif

#ifdef PROGRAM_enter_accept4
int enter_accept4(struct tracepoint__syscalls__sys_enter_accept4 *args)
{
    begin_accept(args->fd);
    return 0;
}
#endif

#ifdef PROGRAM_exit_accept
int exit_accept(struct tracepoint__syscalls__sys_exit_accept *args)
{
    end_accept(args->ret);
    return 0;
}
#endif
