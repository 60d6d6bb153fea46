/* Capturing what parsers of HTTP need of the bytes that a call has moved: payload_plan.c says what that is.
 *
 * What:  the payload of system calls on TCP sockets; tls_plaintext.c captures that of TLS libraries by the same functions.
 * How:   by a function that the verifier looks at once, however often it is called: see subprograms.h.
 * Why at exit: only then is known how many bytes were moved, and the kernel has just touched them: they are in memory.
 * Why by user pointer: it is the one place where every kind of call has its bytes. An application that overwrites a
 *        buffer while it is being written would be misread, as would its peer.
 * Not captured: a call whose socket was destroyed between its last look at it and its exit, because another thread has closed
 *        it meanwhile; what is known of the connection went with it. Counted as cut, unless it was known not to be HTTP.
 * Lost without it: protocolLog.
 */

/* Captures what is needed of a call. `capture` knows the call and its buffers; `walk` is the subprogram that finds it again
 * by `key` and takes steps. Without one (known when compiled) only the number of its bytes is told. */
static __always_inline void capture_call(struct capture *capture, struct conversation *conversation, subprogram walk,
                                         u64 key)
{
    struct direction *direction = &conversation->directions[capture->kind & 1];

    capture->left = capture->call_bytes;
    capture->pending_bytes = 0;
    capture->pending_offset = 0;
    capture->pending_first = 0;
    if (!capture->segment_bytes)
        next_segment(capture);
    if (!plan(capture, conversation, direction)) {
        if (capture->protocol == CONVERSATION_TLS)
            goto tell; /* that it is */
        return;
    }
    for (int i = 0; walk && i < TURNS; i++) {
        if (!walk(key))
            break;
    }
    if (capture->left)
        direction->is_lost = 1;
    if (capture->segment && (capture->left || (capture->protocol == CONVERSATION_HTTP2 && capture->tail)))
        count(INCOMPLETE_PAYLOAD_CUT, 1);
tell:
    send_pending(capture, FRAGMENT_LAST);
}

static __always_inline u32 stream_position(const struct sock *sk, u8 kind)
{
    const struct tcp_sock *tcp = (const struct tcp_sock *)sk;
    u32 position = 0;

    if (kind == EVENT_READ)
        bpf_probe_read_kernel(&position, sizeof(position), &tcp->copied_seq);
    else
        bpf_probe_read_kernel(&position, sizeof(position), &tcp->write_seq);
    return position;
}

/* Whether user space wants no more of a connection, or of a TLS session; asked until it does not. */
static __always_inline int is_muted(u64 key, u64 inode)
{
    u64 *muted = muted_sockets.lookup(&key);
    int is_this;

    if (!muted)
        return 0;
    is_this = *muted == inode;
    muted_sockets.delete(&key);
    return is_this;
}

/* Ends the conversation of a socket of which user space wants no more; what it is taken for now. At the entry of a call: at its
 * exit the verifier would follow all that comes after this twice. */
static __always_inline u8 heed_mute(const struct sock *sk)
{
    struct watched *watched = watched_of(sk);

    if (!watched)
        return CONVERSATION_OTHER;
    if (watched->conversation.protocol && watched->conversation.protocol < CONVERSATION_TLS &&
        is_muted((u64)sk, watched->inode))
        watched->conversation.protocol = CONVERSATION_OTHER;
    return watched->conversation.protocol;
}

/* The buffers of a struct msghdr. */
static __always_inline void note_header(struct capture *capture, const struct user_msghdr *header)
{
    u64 vectors = 0;

    bpf_probe_read_user(&capture->vector, sizeof(capture->vector), &header->msg_iov);
    bpf_probe_read_user(&vectors, sizeof(vectors), &header->msg_iovlen);
    capture->vectors = vectors;
}

/* Where in its stream a call's first byte stands. The end of a stream takes a number, too: a read that has come to it ends one
 * further than its bytes do. */
static __always_inline u32 first_position(const struct transfer *transfer, u64 bytes)
{
    u32 position = stream_position(transfer->sk, transfer->kind) - (u32)bytes;

    return transfer->kind == EVENT_READ && position - transfer->read_from == 1 ? transfer->read_from : position;
}

/* Takes steps through the transfer that a thread is in. */
int walk_transfer(u64 pid_tgid)
{
    struct transfer *transfer = transfers.lookup(&pid_tgid);
    struct watched *watched;

    if (!transfer)
        return 0;
    watched = watched_of(transfer->sk);
    return watched ? take_steps(&transfer->capture, &watched->conversation.directions[transfer->kind & 1]) : 0;
}

/* Captures a system call on a TCP socket, whose bytes have just been moved. */
static __always_inline void capture_transfer(struct transfer *transfer, u64 pid_tgid, u64 bytes, subprogram walk)
{
    struct watched *watched;
    struct capture *capture = &transfer->capture;
    unsigned long number = 0;
    u16 protocol = 0;

    if (transfer->protocol != PROTOCOL_TCP)
        return;
    watched = watched_of(transfer->sk);
    bpf_probe_read_kernel(&number, sizeof(number), &transfer->inode->i_ino);
    if (!watched || watched->inode != number) { /* destroyed, and maybe another one since */
        if (transfer->conversation < CONVERSATION_TLS)
            count(INCOMPLETE_PAYLOAD_CUT, 1);
        return;
    }
    if (watched->conversation.protocol >= CONVERSATION_TLS)
        return;
    bpf_probe_read_kernel(&protocol, sizeof(protocol), &transfer->sk->sk_protocol);
    if (protocol != PROTOCOL_TCP)
        return; /* multipath TCP numbers its bytes elsewhere */
    capture->socket = (u64)transfer->sk;
    capture->start_ns = transfer->start_ns;
    capture->end_ns = bpf_ktime_get_ns();
    capture->inode = number;
    capture->position = first_position(transfer, bytes);
    capture->call_bytes = bytes;
    capture->kind = transfer->kind;
    if (transfer->peer == PEER_AT_HEADER)
        note_header(capture, (const void *)transfer->address);
    capture_call(capture, &watched->conversation, walk, pid_tgid);
}
