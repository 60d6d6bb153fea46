/* Transfers: one event per system call that moved bytes through a socket.
 *
 * What:  the read and write families at system call entry and exit. Entry finds the socket and notes its
 *        addresses; exit has the byte count. No bytes, no event.
 * Why:   entry is where a descriptor still means what the caller meant; at exit it may be closed or reused.
 * Why tracepoints: system calls are the ABI, and they exist in every kernel that traces system calls.
 * Lost without it: the read and write logs of the calls that are not hooked.
 *
 * The peer of an unconnected UDP socket is in user memory: for sends at entry, for receives at exit. recvmmsg and
 * sendmmsg return a number of messages: their bytes are in the headers. On a connected socket they are one
 * transfer and make one event with the sum; on an unconnected one each message has its own peer and makes its own.
 *
 * A look at data that stays queued (MSG_PEEK) and reports of the error queue (MSG_ERRQUEUE) move no payload.
 */

#define MESSAGE_PEEK 0x2
#define MESSAGE_ERROR_QUEUE 0x2000
#define MESSAGES_SUMMED 1024  /* the kernel takes no more: UIO_MAXIOV */
#define MESSAGES_APART 128    /* one event each; the rest is counted as lost */

static __always_inline int is_unconnected_udp(const struct event *event)
{
    return event->protocol == PROTOCOL_UDP && event->remote_port == 0;
}

/* Begins a transfer; returns whether the descriptor is a socket that is watched. */
static __always_inline int begin_transfer(struct call *call, int descriptor, u8 kind, u8 system_call)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;

    if (!is_watched(pid_tgid))
        return 0;
    if (!find_socket(descriptor, &found))
        return 0;
    call->event.start_ns = bpf_ktime_get_ns();
    call->event.kind = kind;
    call->event.system_call = system_call;
    call->event.descriptor = descriptor;
    call->socket = (u64)found.sk;
    describe_task(&call->event, pid_tgid);
    describe_socket(&call->event, &found);
    return 1;
}

static __always_inline int begin_plain(int descriptor, u8 kind, u8 system_call)
{
    struct call call = {};

    if (begin_transfer(&call, descriptor, kind, system_call))
        remember_call(bpf_get_current_pid_tgid(), &call);
    return 0;
}

/* A call that may name its peer. A connected socket needs none, except that UDP may send elsewhere. */
static __always_inline int begin_addressed(int descriptor, u8 kind, u8 system_call, const void *address, u32 peer)
{
    struct call call = {};

    if (!begin_transfer(&call, descriptor, kind, system_call))
        return 0;
    if (call.event.protocol == PROTOCOL_UDP && address && (kind == EVENT_WRITE || is_unconnected_udp(&call.event))) {
        call.address = (u64)address;
        call.peer = peer;
    }
    remember_call(bpf_get_current_pid_tgid(), &call);
    return 0;
}

static __always_inline int begin_messages(int descriptor, u8 kind, u8 system_call, const void *headers)
{
    struct call call = {};

    if (!begin_transfer(&call, descriptor, kind, system_call))
        return 0;
    call.address = (u64)headers;
    call.peer = is_unconnected_udp(&call.event) ? PEER_AT_HEADERS : SUM_OF_HEADERS;
    remember_call(bpf_get_current_pid_tgid(), &call);
    return 0;
}

/* The local port of a UDP socket is chosen during its first send. */
static __always_inline void complete_local_address(struct call *call)
{
    struct event now = {};
    struct found_socket found;

    if (call->event.local_port)
        return;
    if (!find_socket(call->event.descriptor, &found) || (u64)found.sk != call->socket)
        return;
    describe_addresses(&now, found.sk, &found.common);
    call->event.local_port = now.local_port;
    __builtin_memcpy(call->event.local_address, now.local_address, ADDRESS_BYTES);
}

/* The peer in a struct msghdr, when it names one. */
static __always_inline void read_header(struct event *event, const struct user_msghdr *header)
{
    void *name = NULL;

    if (bpf_probe_read_user(&name, sizeof(name), &header->msg_name) ||
        (name && read_remote_address(event, name) < 0))
        count(INCOMPLETE_PEER_UNREADABLE, 1);
}

/* The sum grows in the map's memory, which the verifier does not track: in a register its bounds would grow with every
 * turn, and each way out of the loop would be verified again. */
static __always_inline void end_message_sum(struct call *call, long messages)
{
    const struct mmsghdr *headers = (const void *)call->address;
    int unreadable = 0;

    for (int i = 0; i < MESSAGES_SUMMED; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        unreadable |= bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len);
        call->event.bytes += length;
    }
    if (unreadable)
        count(INCOMPLETE_BYTES_UNREADABLE, 1);
    if (call->event.bytes)
        send_event(&call->event);
}

static __always_inline void end_messages_apart(struct call *call, long messages)
{
    const struct mmsghdr *headers = (const void *)call->address;

    for (int i = 0; i < MESSAGES_APART; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len);
        if (!length)
            continue;
        call->event.bytes = length;
        call->event.remote_port = 0;
        read_header(&call->event, &headers[i].msg_hdr);
        send_event(&call->event);
    }
    if (messages > MESSAGES_APART)
        count(LOST_MESSAGES_BEYOND_BOUND, messages - MESSAGES_APART);
}

/* Every sys_exit_* event has the same fields, so one program ends every call but those that return messages. */
#ifdef PROGRAM_exit_transfer
int exit_transfer(struct tracepoint__syscalls__sys_exit_read *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = in_flight.lookup(&pid_tgid);
    long result = args->ret;

    if (!call)
        return 0;
    if (result <= 0 || (call->event.kind != EVENT_READ && call->event.kind != EVENT_WRITE))
        goto done;
    call->event.end_ns = bpf_ktime_get_ns();
    call->event.bytes = result;
    complete_local_address(call);
    if (call->peer == PEER_AT_ADDRESS) {
        if (read_remote_address(&call->event, (void *)call->address) < 0)
            count(INCOMPLETE_PEER_UNREADABLE, 1);
    } else if (call->peer == PEER_AT_HEADER) {
        read_header(&call->event, (void *)call->address);
    }
    send_event(&call->event);
done:
    in_flight.delete(&pid_tgid);
    return 0;
}
#endif

#ifdef PROGRAM_exit_messages
int exit_messages(struct tracepoint__syscalls__sys_exit_recvmmsg *args)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct call *call = in_flight.lookup(&pid_tgid);
    long messages = args->ret;

    if (!call)
        return 0;
    if (messages <= 0 || (call->event.kind != EVENT_READ && call->event.kind != EVENT_WRITE))
        goto done;
    call->event.end_ns = bpf_ktime_get_ns();
    complete_local_address(call);
    if (call->peer == PEER_AT_HEADERS)
        end_messages_apart(call, messages);
    else if (call->peer == SUM_OF_HEADERS)
        end_message_sum(call, messages);
done:
    in_flight.delete(&pid_tgid);
    return 0;
}
#endif

#ifdef PROGRAM_enter_read
int enter_read(struct tracepoint__syscalls__sys_enter_read *args)
{
    return begin_plain(args->fd, EVENT_READ, CALL_READ);
}
#endif

#ifdef PROGRAM_enter_readv
int enter_readv(struct tracepoint__syscalls__sys_enter_readv *args)
{
    return begin_plain(args->fd, EVENT_READ, CALL_READV);
}
#endif

#ifdef PROGRAM_enter_preadv2
int enter_preadv2(struct tracepoint__syscalls__sys_enter_preadv2 *args)
{
    return begin_plain(args->fd, EVENT_READ, CALL_PREADV2);
}
#endif

#ifdef PROGRAM_enter_recvfrom
int enter_recvfrom(struct tracepoint__syscalls__sys_enter_recvfrom *args)
{
    if (args->flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(args->fd, EVENT_READ, CALL_RECVFROM, args->addr, PEER_AT_ADDRESS);
}
#endif

#ifdef PROGRAM_enter_recvmsg
int enter_recvmsg(struct tracepoint__syscalls__sys_enter_recvmsg *args)
{
    if (args->flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(args->fd, EVENT_READ, CALL_RECVMSG, args->msg, PEER_AT_HEADER);
}
#endif

#ifdef PROGRAM_enter_recvmmsg
int enter_recvmmsg(struct tracepoint__syscalls__sys_enter_recvmmsg *args)
{
    if (args->flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_messages(args->fd, EVENT_READ, CALL_RECVMMSG, args->mmsg);
}
#endif

#ifdef PROGRAM_enter_write
int enter_write(struct tracepoint__syscalls__sys_enter_write *args)
{
    return begin_plain(args->fd, EVENT_WRITE, CALL_WRITE);
}
#endif

#ifdef PROGRAM_enter_writev
int enter_writev(struct tracepoint__syscalls__sys_enter_writev *args)
{
    return begin_plain(args->fd, EVENT_WRITE, CALL_WRITEV);
}
#endif

#ifdef PROGRAM_enter_pwritev2
int enter_pwritev2(struct tracepoint__syscalls__sys_enter_pwritev2 *args)
{
    return begin_plain(args->fd, EVENT_WRITE, CALL_PWRITEV2);
}
#endif

#ifdef PROGRAM_enter_sendto
int enter_sendto(struct tracepoint__syscalls__sys_enter_sendto *args)
{
    return begin_addressed(args->fd, EVENT_WRITE, CALL_SENDTO, args->addr, PEER_AT_ADDRESS);
}
#endif

#ifdef PROGRAM_enter_sendmsg
int enter_sendmsg(struct tracepoint__syscalls__sys_enter_sendmsg *args)
{
    return begin_addressed(args->fd, EVENT_WRITE, CALL_SENDMSG, args->msg, PEER_AT_HEADER);
}
#endif

#ifdef PROGRAM_enter_sendmmsg
int enter_sendmmsg(struct tracepoint__syscalls__sys_enter_sendmmsg *args)
{
    return begin_messages(args->fd, EVENT_WRITE, CALL_SENDMMSG, args->mmsg);
}
#endif

#ifdef PROGRAM_enter_sendfile
int enter_sendfile(struct tracepoint__syscalls__sys_enter_sendfile64 *args)
{
    return begin_plain(args->out_fd, EVENT_WRITE, CALL_SENDFILE);
}
#endif

/* One end of a splice is a pipe, so at most one is a socket. */
#ifdef PROGRAM_enter_splice
int enter_splice(struct tracepoint__syscalls__sys_enter_splice *args)
{
    struct call call = {};

    if (begin_transfer(&call, args->fd_in, EVENT_READ, CALL_SPLICE_READ) ||
        begin_transfer(&call, args->fd_out, EVENT_WRITE, CALL_SPLICE_WRITE))
        remember_call(bpf_get_current_pid_tgid(), &call);
    return 0;
}
#endif
