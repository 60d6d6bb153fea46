/* Capturing what parsers of HTTP need of the bytes that a call has moved.
 *
 * What:  the first bytes of a connection's calls are looked at until they are those of HTTP/1 (a request line, a status
 *        line) or HTTP/2 (its preface, a frame); DETECTION_CALLS calls in vain end it. From then on:
 *        HTTP/1: up to TURN_BYTES from the beginning of a message, or since the other side had its turn; after that
 *          the first and the last EDGE_BYTES of each call, where chunks begin and bodies end. Of requests that have no
 *          body, and so are heads alone, and of the answers to many of them, up to PIPELINE_BYTES. Where the connection becomes
 *          something else, turns are no reason to capture more.
 *        HTTP/2: everything but the payload of DATA frames over DATA_BYTES. Its frames are walked from header to header.
 *        Of a call at most TURNS * STEPS steps are taken: over a buffer, over a frame's header, over its payload. What is
 *        cut off is counted, and user space sees that it is missing.
 * How:   by a function that the verifier looks at once, however often it is called: see subprograms.h.
 * Why at exit: only then is known how many bytes were moved, and the kernel has just touched them: they are in memory.
 * Why by user pointer: it is the one place where every kind of call has its bytes. An application that overwrites a
 *        buffer while it is being written would be misread, as would its peer.
 * Not captured: a call whose socket was destroyed between its last look at it and its exit, because another thread has closed
 *        it meanwhile; what is known of the connection went with it. Counted as cut, unless it was known not to be HTTP.
 * Lost without it: protocolLog.
 */

#define DETECTION_CALLS 6
#define TURN_BYTES 32768
#define PIPELINE_BYTES 1048576
#define ONE_REQUEST_BYTES 256 /* requests of a turn that are more may be several */
#define ANSWER_BYTES 64       /* captured of the answers for each byte of requests beyond that */
#define EDGE_BYTES 32
#define DATA_BYTES 512
#define STEPS 8
#define TURNS 1024
#define RAW_BYTES 53248 /* of a call while it is not known where frames begin */

#define PREFACE_BYTES 24
#define KNOWN_TYPES 0x20 /* of frames, with room for those to come */

static __always_inline void advance(struct capture *capture, u64 bytes)
{
    capture->segment += bytes;
    capture->segment_bytes -= bytes;
    capture->left -= bytes;
}

/* Goes on to the next buffer of the call; whether there is one. */
static __always_inline int next_segment(struct capture *capture)
{
    struct vector vector = {};

    if (!capture->vectors)
        return 0;
    if (bpf_probe_read_user(&vector, sizeof(vector), (const void *)capture->vector)) {
        count(INCOMPLETE_PAYLOAD_UNREADABLE, 1);
        return 0;
    }
    capture->vector += sizeof(vector);
    capture->vectors--;
    capture->pending_others++;
    capture->segment = vector.base;
    capture->segment_bytes = vector.bytes;
    return 1;
}

/* How many of the next `bytes` to pass over at once, and in `is_captured` whether they are captured. */
static __always_inline u64 step_http1(const struct capture *capture, u64 bytes, int *is_captured)
{
    u64 offset = capture->call_bytes - capture->left;

    if (offset < capture->keep)
        return least(bytes, capture->keep - offset);
    if (offset < capture->tail) {
        *is_captured = 0;
        return least(bytes, capture->tail - offset);
    }
    return bytes;
}

/* The frame header in `direction` is complete. */
static __always_inline void begin_frame(struct direction *direction)
{
    const u8 *header = direction->header;
    u64 length = (u64)header[0] << 16 | (u64)header[1] << 8 | header[2];

    direction->header_bytes = 0;
    direction->left = length;
    direction->leaves_out = header[3] == FRAME_DATA && length > DATA_BYTES;
    direction->is_lost = header[3] >= KNOWN_TYPES || header[5] & 0x80;
}

/* As step_http1. */
static __always_inline u64 step_http2(struct capture *capture, struct direction *direction, u64 bytes, int *is_captured)
{
    u64 at = direction->header_bytes & 15;
    u64 header;

    if (direction->is_lost) {
        *is_captured = capture->call_bytes - capture->left < capture->keep;
        capture->tail |= !*is_captured;
        return bytes;
    }
    if (direction->left) {
        bytes = least(bytes, direction->left);
        *is_captured = !direction->leaves_out;
        if (*is_captured)
            bytes = least(bytes, FRAGMENT_LARGE);
        direction->left -= bytes;
        return bytes;
    }
    header = least(bytes, (FRAME_HEADER - at) & 15);
    /* The compiler knows that the mask below changes nothing, and would leave it out; the verifier of 6.1 does not. */
    asm volatile("" : "+r"(header));
    bpf_probe_read_user(&direction->header[at], header & 15, (const void *)capture->segment);
    direction->header_bytes = at + header;
    if (direction->header_bytes < FRAME_HEADER)
        return header;
    begin_frame(direction);
    if (direction->leaves_out)
        return header;
    /* The rest of the frame at once: most frames are small. */
    bytes = least(least(bytes, FRAGMENT_LARGE), header + direction->left);
    direction->left -= bytes - header;
    return bytes;
}

/* How many of the next bytes to pass over at once, at most FRAGMENT_LARGE when they are captured. */
static __always_inline u64 step(struct capture *capture, struct direction *direction, int *is_captured)
{
    u64 bytes = least(capture->segment_bytes, capture->left);

    if (capture->protocol == CONVERSATION_HTTP2)
        bytes = step_http2(capture, direction, bytes, is_captured);
    else
        bytes = step_http1(capture, bytes, is_captured);
    return *is_captured ? least(bytes, FRAGMENT_LARGE) : bytes;
}

/* Learns what the conversation is from the first bytes of a call; an HTTP/1 one may become HTTP/2 (h2c). */
static __always_inline void detect(struct conversation *conversation, u8 found)
{
    if (conversation->protocol == CONVERSATION_UNKNOWN) {
        if (found)
            conversation->protocol = found;
        else if (++conversation->attempts >= DETECTION_CALLS)
            conversation->protocol = CONVERSATION_OTHER;
    } else if (conversation->protocol == CONVERSATION_HTTP1 && found == CONVERSATION_HTTP2) {
        conversation->protocol = found;
    }
}

/* A call that begins with the preface, or with a frame where frames were lost. */
static __always_inline void plan_http2(struct capture *capture, struct direction *direction, const u8 *head, u64 bytes)
{
    int is_preface = begins_preface(head);

    capture->keep = RAW_BYTES;
    capture->tail = 0;
    if (!is_preface && !(direction->is_lost && begins_frame(head, bytes)))
        return;
    direction->header_bytes = 0;
    direction->left = is_preface ? PREFACE_BYTES : 0;
    direction->leaves_out = 0;
    direction->is_lost = 0;
}

/* Whether a message that begins so has no body, as GET, HEAD, DELETE, OPTIONS and TRACE have none; as it was `before` where that
 * is not known: a call may begin within a method, too. POST, PUT, PATCH and what WebDAV asks with P have one. */
static __always_inline u64 has_no_body(const u8 *head, u64 before)
{
    u16 first = (u16)(head[0] << 8 | head[1]);

    if (first == ('G' << 8 | 'E') || first == ('H' << 8 | 'E') || first == ('D' << 8 | 'E') ||
        first == ('O' << 8 | 'P') || first == ('T' << 8 | 'R'))
        return 1;
    return head[0] == 'P' && head[1] != 'T' ? 0 : before;
}

/* Whether what comes after a message that begins so need not be HTTP any more: CONNECT and its success, or 101. User space hears
 * of it when much of that may have come; `before` is of the message before. */
static __always_inline u8 switches_protocol(const u8 *head, u8 before)
{
    u32 first;

    if (begins_response(head))
        return (before && head[9] == '2') || (head[9] == '1' && head[10] == '0' && head[11] == '1');
    __builtin_memcpy(&first, head, sizeof(first)); /* letter by letter the compiler computes with addresses instead */
    return first == ('C' | 'O' << 8 | 'N' << 16 | 'N' << 24);
}

/* A turn of answers begins: how much of it may be heads. A large answer to a single request is no reason to capture more. A
 * turn that begins within an answer shows that requests are sent before others are answered: then those of the last turn alone
 * say little, and neither do those of a turn that happens to begin with an answer. */
static __always_inline void allow_answers(struct direction *answers, const struct direction *requests, int begins)
{
    u64 most = PIPELINE_BYTES;

    if (begins) {
        answers->allowed >>= 1;
        most = requests->asked > ONE_REQUEST_BYTES ? (requests->asked - ONE_REQUEST_BYTES) * ANSWER_BYTES : 0;
    }
    if (answers->allowed < most)
        answers->allowed = least(most, PIPELINE_BYTES);
}

/* How much of a turn is captured. */
static __always_inline u64 most_of_turn(const struct direction *direction)
{
    if (direction->asks)
        return PIPELINE_BYTES;
    return direction->allowed > TURN_BYTES ? direction->allowed : TURN_BYTES;
}

static __always_inline void plan_http1(struct capture *capture, struct conversation *conversation,
                                       struct direction *direction, const u8 *head, int begins)
{
    struct direction *other = &conversation->directions[!(capture->kind & 1)];
    u64 bytes = capture->call_bytes;
    u64 most;

    if (begins) {
        direction->asks = has_no_body(head, direction->asks);
        conversation->switches = switches_protocol(head, conversation->switches);
    }
    if (conversation->turn != capture->kind) {
        direction->asked = 0;
        if (other->asks)
            allow_answers(direction, other, begins);
        else
            direction->allowed = 0;
        begins |= !conversation->switches;
    }
    if (begins)
        direction->captured = 0;
    if (direction->asks)
        direction->asked += bytes;
    most = conversation->switches ? TURN_BYTES : most_of_turn(direction);
    capture->keep = direction->captured < most ? most - direction->captured : EDGE_BYTES;
    capture->keep = least(capture->keep, bytes);
    capture->tail = bytes - least(EDGE_BYTES, bytes - capture->keep);
    direction->captured += capture->keep;
}

/* Looks at the first bytes of a call, and decides what of it is captured; whether anything is. */
static __always_inline int plan(struct capture *capture, struct conversation *conversation, struct direction *direction)
{
    u8 head[DETECTION_BYTES] = {};
    u64 bytes = least(DETECTION_BYTES, least(capture->segment_bytes, capture->left));
    u8 found;

    if (bytes)
        bpf_probe_read_user(&head, bytes, (const void *)capture->segment);
    capture->found = protocol_of(head, bytes);
    /* What follows reads the head and the finding again, from memory that the verifier does not track. So it goes on from one
     * state, and not from one for each way in which something may be found, which would be three times the work. */
    asm volatile("" ::: "memory");
    found = capture->found;
    detect(conversation, found);
    capture->protocol = conversation->protocol;
    if (capture->protocol == CONVERSATION_HTTP1)
        plan_http1(capture, conversation, direction, head, found == CONVERSATION_HTTP1);
    else if (capture->protocol == CONVERSATION_HTTP2)
        plan_http2(capture, direction, head, bytes);
    else
        return 0;
    conversation->turn = capture->kind;
    return 1;
}

/* Takes the next steps of a call; whether more may follow. Stops where something is sent, so that the verifier looks at
 * that once and not at each step. */
static __always_inline int take_steps(struct capture *capture, struct direction *direction)
{
    u64 bytes = 0;

    for (int i = 0; i < STEPS; i++) {
        int is_captured = 1;

        if (!capture->segment_bytes && !next_segment(capture))
            return 0;
        bytes = step(capture, direction, &is_captured);
        if (is_captured && !join_pending(capture, bytes))
            goto send;
        advance(capture, bytes);
        if (!capture->left)
            return 0;
    }
    return 1;
send:
    send_pending(capture, 0);
    begin_pending(capture, bytes);
    advance(capture, bytes);
    return capture->left != 0;
}

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
