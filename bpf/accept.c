/* accept and accept4: one event per accepted connection.
 *
 * What:  the call's entry notes the time when the descriptor is an internet socket; its exit follows the new
 *        descriptor, whose socket has both addresses by then. A failed accept makes no connection and no event.
 * Why there: system calls are the ABI.
 * Lost without it: accept logs and the start of server connections; their transfers are still seen.
 */

static __always_inline int enter_accept(int descriptor)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct call call = {};

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return 0;
    watch_listener(found.sk);
    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_ACCEPT;
    remember_call(pid_tgid, &call);
    return 0;
}

static __always_inline int exit_accept(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);
    struct found_socket found;
    struct event event = {};

    if (!call)
        return 0;
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
    watch_socket(found.sk, found.inode, found.protocol, pid_tgid);
    describe_round_trip(&event.stages, found.sk);
    send_event(&event);
done:
    calls.delete(&pid_tgid);
    return 0;
}
