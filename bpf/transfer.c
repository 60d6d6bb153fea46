/* Transfers: one event per system call that moved bytes through a socket.
 *
 * What:  the read and write families at system call entry and exit. Entry follows the descriptor and notes the
 *        socket; exit has the byte count and reads addresses, role and the rest. No bytes, no event.
 * Why:   at entry a descriptor means what the caller meant; at exit it may be closed or reused. What is read at exit is
 *        read through the pointers noted at entry, so that calls which move nothing (EAGAIN) do not pay for it. The
 *        call held the socket until a moment before; only if another thread gave it up within that moment, and the
 *        memory already serves another socket, would the event name that one.
 * Why there: system calls are the ABI.
 * Lost without it: the read and write logs of the calls that are not hooked.
 *
 * The peer of an unconnected UDP socket is in user memory and is read at exit: by then the kernel has touched it, so it
 * is in memory. recvmmsg and sendmmsg return a number of messages: their bytes are in the headers. On a connected
 * socket they are one transfer and make one event with the sum; on an unconnected one each message has its own peer
 * and makes its own event.
 *
 * A look at data that stays queued (MSG_PEEK) and reports of the error queue (MSG_ERRQUEUE) move no payload.
 */

#define MESSAGE_PEEK 0x2
#define MESSAGE_ERROR_QUEUE 0x2000
#define MESSAGE_OUT_OF_BAND 0x1
#define MESSAGE_TRUNCATE 0x20 /* TCP: what is received is thrown away */
#define PLAIN_BUFFER 0
#define MESSAGES_SUMMED 1024 /* the kernel takes no more: UIO_MAXIOV */
#define MESSAGES_APART 64    /* one event each; the rest is counted as lost. 6.1 refuses 128 as too complex */

/* Where a call has its bytes: a buffer, or an array of struct iovec. NULL: in no buffer of this process, or in those of a
 * header that `address` of the transfer points to. */
struct buffers {
    const void *at;
    u64 vectors; /* PLAIN_BUFFER, or how many */
};

static __always_inline void note_buffers(struct capture *capture, const struct buffers *buffers)
{
    if (!buffers->at)
        return;
    if (buffers->vectors) {
        capture->vector = (u64)buffers->at;
        capture->vectors = buffers->vectors;
    } else {
        capture->segment = (u64)buffers->at;
        capture->segment_bytes = LONGEST_BUFFER;
    }
}

/* Notes a transfer; returns whether the descriptor is a socket that is watched. */
static __always_inline int begin_transfer(int descriptor, u8 kind, u8 system_call, const void *address, u8 peer,
                                          struct buffers buffers)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct found_socket found;
    struct transfer transfer = {};

    if (!find_watched_socket(descriptor, pid_tgid, &found))
        return 0;
    watch_socket(found.sk, found.inode, found.protocol, pid_tgid);
    transfer.conversation = heed_mute(found.sk);
    note_tls_socket(pid_tgid, &found);
    transfer.start_ns = bpf_ktime_get_ns();
    transfer.inode = found.inode;
    transfer.sk = found.sk;
    transfer.address = (u64)address;
    transfer.descriptor = descriptor;
    transfer.kind = kind;
    transfer.system_call = system_call;
    transfer.protocol = found.protocol;
    transfer.peer = address ? peer : PEER_OF_SOCKET;
    if (kind == EVENT_READ && found.protocol == PROTOCOL_TCP)
        transfer.read_from = stream_position(found.sk, EVENT_READ);
    note_buffers(&transfer.capture, &buffers);
    if (transfers.update(&pid_tgid, &transfer))
        count(LOST_IN_FLIGHT_FULL, 1);
    return 1;
}

static __always_inline int begin_plain(int descriptor, u8 kind, u8 system_call, const void *at, u64 vectors)
{
    begin_transfer(descriptor, kind, system_call, NULL, PEER_OF_SOCKET, (struct buffers){at, vectors});
    return 0;
}

static __always_inline int begin_addressed(int descriptor, u8 kind, u8 system_call, const void *address, u8 peer,
                                           const void *buffer)
{
    begin_transfer(descriptor, kind, system_call, address, peer, (struct buffers){buffer, PLAIN_BUFFER});
    return 0;
}

/* The event of a transfer, complete but for bytes and a peer that is named in user memory. */
static __always_inline void describe_transfer(struct event *event, const struct transfer *transfer, u64 pid_tgid)
{
    event->start_ns = transfer->start_ns;
    event->end_ns = bpf_ktime_get_ns();
    event->bytes = 0;
    event->descriptor = transfer->descriptor;
    event->result = 0;
    event->kind = transfer->kind;
    event->system_call = transfer->system_call;
    event->flags = 0;
    event->stages = transfer->stages;
    describe_task(event, pid_tgid);
    describe_socket(event, transfer->inode, transfer->sk, transfer->protocol);
}

/* TCP has one peer. UDP may send elsewhere than to the one it is connected to, and receives only from that one. */
static __always_inline int is_peer_named(const struct event *event)
{
    return event->protocol == PROTOCOL_UDP && (event->kind == EVENT_WRITE || !event->remote_port);
}

static __always_inline void read_named_address(struct event *event, const void *address)
{
    if (read_remote_address(event, address) < 0)
        count(INCOMPLETE_PEER_UNREADABLE, 1);
}

/* The peer in a struct msghdr, when it names one. */
static __always_inline void read_header(struct event *event, const struct user_msghdr *header)
{
    void *name = NULL;

    if (bpf_probe_read_user(&name, sizeof(name), &header->msg_name))
        count(INCOMPLETE_PEER_UNREADABLE, 1);
    else if (name)
        read_named_address(event, name);
}

static __always_inline void end_transfer(struct transfer *transfer, u64 pid_tgid, u64 bytes, subprogram walk)
{
    struct event *event;

    note_tls_records(transfer, pid_tgid);
    /* First, so that who takes an event finds its bytes. */
    capture_transfer(transfer, pid_tgid, bytes, walk);
    event = events.ringbuf_reserve(sizeof(struct event));
    if (!event) {
        count(LOST_RING_FULL, 1);
        return;
    }
    describe_transfer(event, transfer, pid_tgid);
    event->bytes = bytes;
    if (is_peer_named(event)) {
        if (transfer->peer == PEER_AT_ADDRESS)
            read_named_address(event, (void *)transfer->address);
        else if (transfer->peer == PEER_AT_HEADER || transfer->peer == PEER_AT_HIDDEN_HEADER)
            read_header(event, (void *)transfer->address);
    }
    describe_stages(event, transfer->sk, transfer->messages);
    events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    report_trouble(transfer->sk);
}

/* Sum and number are kept in the map's memory, which the verifier does not track: in a register their bounds would change
 * with every turn, and each way out of the loop would be verified again. */
static __always_inline void end_message_sum(struct transfer *transfer, u64 pid_tgid, long messages)
{
    const struct mmsghdr *headers = (const void *)transfer->address;
    int unreadable = 0;

    transfer->messages = messages;
    for (int i = 0; i < MESSAGES_SUMMED; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        unreadable |= bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len);
        transfer->bytes += length;
    }
    if (unreadable)
        count(INCOMPLETE_BYTES_UNREADABLE, 1);
    if (transfer->bytes)
        end_transfer(transfer, pid_tgid, transfer->bytes, NULL);
}

static __always_inline void end_messages_apart(struct transfer *transfer, struct event *event, long messages)
{
    const struct mmsghdr *headers = (const void *)transfer->address;

    for (int i = 0; i < MESSAGES_APART; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        if (bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len))
            count(INCOMPLETE_BYTES_UNREADABLE, 1);
        if (!length)
            continue;
        event->bytes = length;
        event->remote_port = 0;
        read_header(event, &headers[i].msg_hdr);
        send_event(event);
        __builtin_memset(&event->stages, 0, sizeof(event->stages)); /* told with the first message */
    }
    if (messages > MESSAGES_APART)
        count(LOST_MESSAGES_BEYOND_BOUND, messages - MESSAGES_APART);
}

/* Ends every call but those that return messages. */
static __always_inline int exit_transfer(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);

    if (!transfer)
        return 0;
    if (result > 0) {
        transfer->messages = 1;
        end_transfer(transfer, pid_tgid, result, SUBPROGRAM(walk_transfer));
    }
    transfers.delete(&pid_tgid);
    return 0;
}

/* The event is built in the map's memory: on the stack the verifier would track each of its fields, and verify the loop
 * again for each way of describing the stages. A thread that is in a transfer is in no other call. */
static __always_inline void end_messages_of_peers(struct transfer *transfer, u64 pid_tgid, long messages)
{
    struct call call = {};
    struct call *kept;

    describe_transfer(&call.event, transfer, pid_tgid);
    remember_call(pid_tgid, &call);
    kept = calls.lookup(&pid_tgid);
    if (!kept)
        return;
    describe_stages(&kept->event, transfer->sk, messages);
    end_messages_apart(transfer, &kept->event, messages);
    calls.delete(&pid_tgid);
}

static __always_inline int exit_messages(long messages)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);
    __be16 remote_port = 0;

    if (!transfer)
        return 0;
    if (messages <= 0 || transfer->peer != PEER_AT_HEADERS)
        goto done;
    bpf_probe_read_kernel(&remote_port, sizeof(remote_port), &transfer->sk->__sk_common.skc_dport);
    if (transfer->protocol == PROTOCOL_UDP && !remote_port)
        end_messages_of_peers(transfer, pid_tgid, messages);
    else
        end_message_sum(transfer, pid_tgid, messages);
done:
    transfers.delete(&pid_tgid);
    return 0;
}

static __always_inline int enter_read(int descriptor, const void *buffer)
{
    return begin_plain(descriptor, EVENT_READ, CALL_READ, buffer, PLAIN_BUFFER);
}

static __always_inline int enter_readv(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_READ, CALL_READV, vector, vectors);
}

static __always_inline int enter_preadv2(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_READ, CALL_PREADV2, vector, vectors);
}

static __always_inline int enter_recvfrom(int descriptor, const void *buffer, u32 flags, const void *address)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    if (flags & (MESSAGE_TRUNCATE | MESSAGE_OUT_OF_BAND))
        buffer = NULL;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVFROM, address, PEER_AT_ADDRESS, buffer);
}

static __always_inline int enter_recvmsg(int descriptor, const void *header, u32 flags)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVMSG, header,
                           flags & (MESSAGE_TRUNCATE | MESSAGE_OUT_OF_BAND) ? PEER_AT_HIDDEN_HEADER : PEER_AT_HEADER,
                           NULL);
}

static __always_inline int enter_recvmmsg(int descriptor, const void *headers, u32 flags)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVMMSG, headers, PEER_AT_HEADERS, NULL);
}

static __always_inline int enter_write(int descriptor, const void *buffer)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_WRITE, buffer, PLAIN_BUFFER);
}

static __always_inline int enter_writev(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_WRITEV, vector, vectors);
}

static __always_inline int enter_pwritev2(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_PWRITEV2, vector, vectors);
}

static __always_inline int enter_sendto(int descriptor, const void *buffer, u32 flags, const void *address)
{
    if (flags & MESSAGE_OUT_OF_BAND)
        buffer = NULL;
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDTO, address, PEER_AT_ADDRESS, buffer);
}

static __always_inline int enter_sendmsg(int descriptor, const void *header)
{
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDMSG, header, PEER_AT_HEADER, NULL);
}

static __always_inline int enter_sendmmsg(int descriptor, const void *headers)
{
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDMMSG, headers, PEER_AT_HEADERS, NULL);
}

static __always_inline int enter_sendfile(int descriptor)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_SENDFILE, NULL, PLAIN_BUFFER);
}

/* One end of a splice is a pipe, so at most one is a socket. */
static __always_inline int enter_splice(int descriptor_in, int descriptor_out)
{
    struct buffers none = {};

    if (!begin_transfer(descriptor_in, EVENT_READ, CALL_SPLICE_READ, NULL, PEER_OF_SOCKET, none))
        begin_plain(descriptor_out, EVENT_WRITE, CALL_SPLICE_WRITE, NULL, PLAIN_BUFFER);
    return 0;
}
