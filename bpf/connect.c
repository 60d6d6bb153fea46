/* connect: one event per attempt, when its outcome is known.
 *
 * What:  entry and exit of the system call bracket it; inet_sock_set_state tells the outcome of a TCP attempt
 *        whose call returned first (non-blocking sockets, a signal) and the local address and port of one that
 *        failed: at the exit a refused socket has lost both.
 * Why there: system calls are the ABI, and inet_sock_set_state exists since 4.16.
 * Lost without it: connect logs and the role and start of client connections. Without inet_sock_set_state:
 *        the outcome of non-blocking connects, and the local side of failed ones.
 *
 * Exactly one event. The state change may come before the call's exit (always on loopback) or after it, on
 * another CPU, and neither side can know. So both leave what they know in `connecting` and then take the
 * token in `connect_first`. Deleting a hash entry is atomic and the bucket's lock orders memory on every
 * architecture: one side gets the token, is first, and goes; the other finds it gone, knows that the first
 * one's writes are visible, and sends the event. (An atomic bit set in the entry would need an atomic with a
 * fetched result, which BCC's default instruction set lacks, and plain atomics do not order memory on arm64.)
 *
 * A call that returns a definite result does not need the other side: it takes token and entry away.
 */

/* The kernel's own codes for "start this system call again after the signal"; never seen by user space. */
#define ERROR_RESTART 512
#define ERROR_RESTART_LAST 516
#define ERROR_INTERRUPTED 4
#define ERROR_ALREADY 114
#define ERROR_IN_PROGRESS 115
#define ERROR_CANCELED 125

static __always_inline int is_pending(long result)
{
    return result == -ERROR_IN_PROGRESS || result == -ERROR_INTERRUPTED || result == -ERROR_ALREADY ||
           (result <= -ERROR_RESTART && result >= -ERROR_RESTART_LAST);
}

static __always_inline void forget_attempt(u64 socket)
{
    connect_first.delete(&socket);
    connecting.delete(&socket);
}

/* Returns whether the caller came second: then the attempt is complete, and the caller's to send. */
static __always_inline int came_second(u64 socket)
{
    return connect_first.delete(&socket) != 0;
}

static __always_inline void remember_attempt(u64 socket, struct event *event)
{
    u8 present = 1;

    /* An attempt that is still there belonged to a socket that is gone, and nothing told how it ended. */
    if (connecting.lookup(&socket))
        count(LOST_OUTCOME_MISSED, 1);
    /* A full map is counted only when a result turns out to depend on it: see end_pending_connect. */
    if (connecting.update(&socket, event))
        return;
    if (connect_first.update(&socket, &present))
        connecting.delete(&socket);
}

static __always_inline int enter_connect(int descriptor, const void *address)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct call call = {};
    u16 state = 0;
    int family;

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return 0;
    /* Asking again while an attempt is under way or its result is waiting is no new attempt. */
    bpf_probe_read_kernel(&state, sizeof(state), &found.socket->state);
    if (found.protocol == PROTOCOL_TCP && state != SOCKET_UNCONNECTED)
        return 0;

    call.event.start_ns = bpf_ktime_get_ns();
    call.event.kind = EVENT_CONNECT;
    call.event.descriptor = descriptor;
    describe_task(&call.event, pid_tgid);
    describe_socket(&call.event, found.inode, found.sk, found.protocol);
    call.event.role = ROLE_CLIENT;
    call.socket = (u64)found.sk;
    family = read_remote_address(&call.event, address);
    if (family == FAMILY_UNSPECIFIED)
        return 0; /* dissolves an association, makes none */
    watch_socket(found.sk, found.inode, found.protocol, pid_tgid);
    if (family < 0)
        call.address = (u64)address; /* not in memory yet: the exit tries again */
    if (found.protocol == PROTOCOL_TCP)
        remember_attempt(call.socket, &call.event);
    remember_call(pid_tgid, &call);
    return 0;
}

static __always_inline void end_pending_connect(struct call *call)
{
    struct event *attempt = connecting.lookup(&call->socket);

    if (!attempt) {
        count(LOST_CONNECTING_FULL, 1);
        return;
    }
    attempt->flags |= FLAG_NONBLOCKING;
    if (came_second(call->socket)) {
        send_event(attempt);
        connecting.delete(&call->socket);
    }
}

static __always_inline void end_connect(struct call *call, long result)
{
    struct event *event = &call->event;
    struct event *attempt = NULL;
    struct found_socket found;

    if (event->protocol == PROTOCOL_TCP)
        attempt = connecting.lookup(&call->socket);
    if (attempt && attempt->end_ns) {
        /* The state change has left what the socket knew then. */
        event->local_port = attempt->local_port;
        event->remote_port = attempt->remote_port;
        __builtin_memcpy(event->local_address, attempt->local_address, ADDRESS_BYTES);
        __builtin_memcpy(event->remote_address, attempt->remote_address, ADDRESS_BYTES);
        event->stages = attempt->stages;
    } else if (!result && find_socket(event->descriptor, &found) && (u64)found.sk == call->socket) {
        describe_addresses(event, found.sk);
    }
    event->end_ns = bpf_ktime_get_ns();
    event->result = result;
    send_event(event);
    forget_attempt(call->socket);
}

static __always_inline int exit_connect(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&pid_tgid);

    if (!call)
        return 0;
    if (call->event.kind != EVENT_CONNECT)
        goto done;
    if (call->address) {
        int family = read_remote_address(&call->event, (void *)call->address);

        if (family == FAMILY_UNSPECIFIED) {
            forget_attempt(call->socket);
            goto done;
        }
    }
    if (call->event.protocol == PROTOCOL_TCP && is_pending(result))
        end_pending_connect(call);
    else
        end_connect(call, result);
done:
    calls.delete(&pid_tgid);
    return 0;
}

/* The connection is at its end and was never seen to begin: when it did is not known. */
static __always_inline void miss_outcome(u64 socket)
{
    count(LOST_OUTCOME_MISSED, 1);
    forget_attempt(socket);
}

/* A socket that is no longer waiting for an answer, while its attempt is: called when it is closed. */
static __always_inline void settle_attempt(u64 socket, u8 state)
{
    struct event *attempt = connecting.lookup(&socket);

    if (attempt && !attempt->end_ns && state != STATE_SYN_SENT && state != STATE_SYN_RECEIVED)
        miss_outcome(socket);
}

/* inet_sock_set_state(sk, old state, new state): runs wherever the change happens, often in softirq on behalf of an
 * unrelated task, so nothing of the current task is used. */
static __always_inline void note_outcome(struct sock *sk, int old_state, int new_state)
{
    u64 socket = (u64)sk;
    struct event *attempt;
    __be16 remote_port = 0;
    int error = 0;

    if (new_state != STATE_ESTABLISHED && new_state != STATE_CLOSE && new_state != STATE_SYN_SENT)
        return;
    attempt = connecting.lookup(&socket);
    if (!attempt || attempt->end_ns)
        return;
    if (new_state == STATE_SYN_SENT) {
        attempt->stages.l4_ns = bpf_ktime_get_ns(); /* becomes the time of the handshake */
        return;
    }
    if (old_state != STATE_SYN_SENT && old_state != STATE_SYN_RECEIVED) {
        miss_outcome(socket);
        return;
    }
    if (new_state == STATE_CLOSE) {
        bpf_probe_read_kernel(&error, sizeof(error), &sk->sk_err);
        attempt->result = error ? -error : -ERROR_CANCELED;
        attempt->stages.l4_ns = 0;
    } else {
        if (attempt->stages.l4_ns)
            attempt->stages.l4_ns = bpf_ktime_get_ns() - attempt->stages.l4_ns;
        describe_round_trip(&attempt->stages, sk);
    }
    bpf_probe_read_kernel(&remote_port, sizeof(remote_port), &sk->__sk_common.skc_dport);
    if (remote_port)
        describe_addresses(attempt, sk);
    attempt->end_ns = bpf_ktime_get_ns();
    if (came_second(socket)) {
        send_event(attempt);
        connecting.delete(&socket);
    }
}

/* The kernel leaves a program out when it is already running on this CPU, as when a package arrives (softirq) while a
 * task changes the state of another socket: measured, 10 to 40 times in 40,000 changes. A second program at the same
 * place, with the same handler, sees what the first one misses, and finds done what it did. Hardened kernels may run no
 * program at all while certain tasks are current; an outcome that comes in softirq on top of one of those is missed, and
 * counted when the socket is closed. */
static __always_inline int change_state(struct sock *sk, int old_state, int new_state)
{
    note_outcome(sk, old_state, new_state);
    return 0;
}
