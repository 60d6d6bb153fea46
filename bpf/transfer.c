/* Transfers: one event per system call that moved bytes through a socket.
 *
 * What:  begin and end of a transfer; which calls make one is in transfer_calls.c. Begin follows the descriptor and notes
 *        the socket; end has the byte count and reads addresses, role and the rest. No bytes, no event.
 * Why:   at entry a descriptor means what the caller meant; at exit it may be closed or reused. What is read at exit is
 *        read through the pointers noted at entry, so that calls which move nothing (EAGAIN) do not pay for it. The
 *        call held the socket until a moment before; only if another thread gave it up within that moment, and the
 *        memory already serves another socket, would the event name that one.
 * Lost without it: the read and write logs.
 *
 * The peer of an unconnected UDP socket is in user memory and is read at exit: by then the kernel has touched it, so it
 * is in memory.
 */

#define PLAIN_BUFFER 0

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

/* The event of a transfer, complete but for bytes and a peer that is named in user memory. */
static __always_inline void describe_transfer(struct event *event, struct transfer *transfer, u64 pid_tgid)
{
    /* Softirq may send on this socket, in this thread, before the transfer is gone. */
    *(volatile u32 *)&transfer->is_told = 1;
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
    events.ringbuf_submit(event, wakeup_for(event, 1));
    report_trouble(transfer->sk);
}
