/* listen: one event when a socket begins to listen.
 *
 * What:  the call's entry notes the socket, its exit sends its local address and port when the call
 *        succeeded. An automatic port is chosen during the call, so it is read at exit.
 * Why:   whoever connects to this host can be told by name from the first attempt on, whether it is accepted or
 *        not, and without reading /proc again and again.
 * Why there: system calls are the ABI.
 * Lost without it: until a connection is accepted or the sockets are read from /proc again, the far end of
 *        connections to a new listener of this host is a bare address.
 */

static __always_inline int enter_listen(int descriptor)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct call call = {};

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return 0;
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_LISTEN;
    call.event.descriptor = descriptor;
    remember_call(pid_tgid, &call);
    return 0;
}

static __always_inline int exit_listen(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);
    struct found_socket found;

    if (!call)
        return 0;
    if (call->event.kind != EVENT_LISTEN || result)
        goto done;
    if (!find_socket(call->event.descriptor, &found))
        goto done; /* closed by another thread meanwhile: it listens no more */
    call->event.end_ns = bpf_ktime_get_ns();
    describe_task(&call->event, pid_tgid);
    describe_socket(&call->event, found.inode, found.sk, found.protocol);
    call->event.role = ROLE_SERVER;
    watch_listener(found.sk);
    send_event(&call->event);
done:
    calls.delete(&pid_tgid);
    return 0;
}
