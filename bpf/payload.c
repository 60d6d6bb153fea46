/* Capturing what parsers of HTTP need of the bytes that a call has moved.
 *
 * What:  the first bytes of a connection's calls are looked at until they are those of HTTP/1 (a request line, a status
 *        line) or HTTP/2 (its preface, a frame); DETECTION_CALLS calls in vain end it. From then on:
 *        HTTP/1: up to TURN_BYTES from the beginning of a message, or since the other side had its turn; after that
 *          the first and the last EDGE_BYTES of each call, where chunks begin and bodies end.
 *        HTTP/2: everything but the payload of DATA frames over DATA_BYTES. Its frames are walked from header to header.
 *          Of a call at most STEPS pieces and FRAMES_FOLLOWED frames; of the rest RAW_BYTES as they are.
 *        What is cut off is counted, and user space sees that it is missing.
 * Why at exit: only then is known how many bytes were moved, and the kernel has just touched them: they are in memory.
 * Why by user pointer: it is the one place where every kind of call has its bytes. An application that overwrites a
 *        buffer while it is being written would be misread, as would its peer.
 * Lost without it: protocolLog.
 */

#define DETECTION_CALLS 6
#define DETECTION_BYTES 32
#define TURN_BYTES 32768
#define EDGE_BYTES 32
#define DATA_BYTES 512
#define STEPS 64
#define FRAMES_FOLLOWED 64
#define RAW_STEPS 13
#define RAW_BYTES 53248 /* of a call while it is not known where frames begin */

#define FRAME_DATA 0
#define FRAME_HEADERS 1
#define FRAME_RST_STREAM 3
#define FRAME_SETTINGS 4
#define FRAME_PING 6
#define FRAME_WINDOW_UPDATE 8
#define PREFACE_BYTES 24
#define KNOWN_TYPES 0x20 /* of frames, with room for those to come */
#define LARGEST_FRAME                                                                                                  \
    (1 << 20) /* of one that a connection is known by; others may have 16 MiB, and with gRPC some do */

struct vector {
    u64 base;
    u64 bytes;
};

static __always_inline u64 least(u64 one, u64 other)
{
    return one < other ? one : other;
}

static __always_inline void describe_fragment(struct fragment *fragment, const struct capture *capture, u32 length,
                                              u8 flags)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();

    fragment->start_ns = capture->start_ns;
    fragment->end_ns = capture->end_ns;
    fragment->inode = capture->inode;
    fragment->socket = capture->socket;
    fragment->session = capture->session;
    fragment->position = capture->position;
    fragment->call_bytes = capture->call_bytes;
    fragment->offset = capture->pending_offset;
    fragment->process = pid_tgid >> 32;
    fragment->thread = (u32)pid_tgid;
    fragment->length = length;
    fragment->kind = capture->kind;
    fragment->protocol = capture->protocol;
    fragment->flags = flags;
    fragment->unused = 0;
}

/* Fills a record with what is pending, at most `room` bytes of it. */
static __always_inline void fill_fragment(struct fragment *fragment, u8 *bytes, u64 room, const struct capture *capture,
                                          u8 flags)
{
    u64 length = capture->pending_bytes;

    if (length > room)
        length = room;
    if (length && bpf_probe_read_user(bytes, length, (const void *)capture->pending)) {
        count(INCOMPLETE_PAYLOAD_UNREADABLE, 1);
        length = 0;
    }
    describe_fragment(fragment, capture, length, flags);
}

static __always_inline void send_small(const struct capture *capture, u8 flags)
{
    struct small_fragment *record = payloads.ringbuf_reserve(sizeof(struct small_fragment));

    if (record) {
        fill_fragment(&record->about, record->bytes, FRAGMENT_SMALL, capture, flags);
        payloads.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    } else {
        count(INCOMPLETE_PAYLOAD_FULL, 1);
    }
}

static __always_inline void send_medium(const struct capture *capture, u8 flags)
{
    struct medium_fragment *record = payloads.ringbuf_reserve(sizeof(struct medium_fragment));

    if (record) {
        fill_fragment(&record->about, record->bytes, FRAGMENT_MEDIUM, capture, flags);
        payloads.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    } else {
        count(INCOMPLETE_PAYLOAD_FULL, 1);
    }
}

static __always_inline void send_large(const struct capture *capture, u8 flags)
{
    struct large_fragment *record = payloads.ringbuf_reserve(sizeof(struct large_fragment));

    if (record) {
        fill_fragment(&record->about, record->bytes, FRAGMENT_LARGE, capture, flags);
        payloads.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    } else {
        count(INCOMPLETE_PAYLOAD_FULL, 1);
    }
}

/* Sends what is pending; nothing may be, then the record only says that the call was. */
static __always_inline void send_pending(struct capture *capture, u8 flags)
{
    if (capture->pending_bytes <= FRAGMENT_SMALL)
        send_small(capture, flags);
    else if (capture->pending_bytes <= FRAGMENT_MEDIUM)
        send_medium(capture, flags);
    else
        send_large(capture, flags);
    capture->pending_bytes = 0;
}

static __always_inline void advance(struct capture *capture, u64 bytes)
{
    capture->segment += bytes;
    capture->segment_bytes -= bytes;
    capture->left -= bytes;
}

/* Whether the next bytes are behind those that are pending: in memory, and in the stream. Buffers may lie side by side with
 * bytes of others between them in the stream. */
static __always_inline int is_behind_pending(const struct capture *capture)
{
    return capture->pending + capture->pending_bytes == capture->segment &&
           capture->pending_offset + capture->pending_bytes == capture->call_bytes - capture->left;
}

/* Passes over some bytes of the current buffer, at most FRAGMENT_LARGE when they are to be captured. */
static __always_inline void pass(struct capture *capture, u64 bytes, int is_captured)
{
    if (is_captured) {
        if (capture->pending_bytes && (!is_behind_pending(capture) || capture->pending_bytes + bytes > FRAGMENT_LARGE))
            send_pending(capture, 0);
        if (!capture->pending_bytes) {
            capture->pending = capture->segment;
            capture->pending_offset = capture->call_bytes - capture->left;
        }
        capture->pending_bytes += bytes;
    }
    advance(capture, bytes);
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

static __always_inline void step(struct capture *capture, struct direction *direction)
{
    u64 bytes = least(capture->segment_bytes, capture->left);
    int is_captured = 1;

    if (capture->protocol == CONVERSATION_HTTP2)
        bytes = step_http2(capture, direction, bytes, &is_captured);
    else
        bytes = step_http1(capture, bytes, &is_captured);
    pass(capture, is_captured ? least(bytes, FRAGMENT_LARGE) : bytes, is_captured);
}

static __always_inline int is_method_letter(u8 letter)
{
    return (letter >= 'A' && letter <= 'Z') || letter == '-' || letter == '_';
}

/* A method, a space, and the beginning of a target: a path, "*", or an absolute form. CONNECT has a host there. */
static __always_inline int begins_request(const u8 *head)
{
    int is_connect = head[0] == 'C' && head[1] == 'O' && head[2] == 'N' && head[3] == 'N';

#pragma unroll
    for (int i = 0; i < DETECTION_BYTES - 2; i++) {
        if (head[i] == ' ')
            return i >= 3 && (head[i + 1] == '/' || head[i + 1] == '*' || is_connect ||
                              (head[i + 1] == 'h' && head[i + 2] == 't'));
        if (!is_method_letter(head[i]))
            return 0;
    }
    return 0;
}

static __always_inline int begins_response(const u8 *head)
{
    return head[0] == 'H' && head[1] == 'T' && head[2] == 'T' && head[3] == 'P' && head[4] == '/' && head[5] == '1' &&
           head[6] == '.';
}

static __always_inline int begins_preface(const u8 *head)
{
    return head[0] == 'P' && head[1] == 'R' && head[2] == 'I' && head[3] == ' ' && head[4] == '*' && head[5] == ' ' &&
           head[6] == 'H' && head[7] == 'T' && head[8] == 'T' && head[9] == 'P' && head[10] == '/' && head[11] == '2';
}

/* A whole frame header that means something; strict, because anything may begin like one (RFC 9113, section 6). */
static __always_inline int begins_frame(const u8 *head, u64 bytes)
{
    u32 length = (u32)head[0] << 16 | (u32)head[1] << 8 | head[2];
    u32 stream = (u32)head[5] << 24 | (u32)head[6] << 16 | (u32)head[7] << 8 | head[8];
    u8 type = head[3];
    u8 flags = head[4];

    if (bytes < FRAME_HEADER || length > LARGEST_FRAME || stream >> 31)
        return 0;
    if (type == FRAME_SETTINGS)
        return !stream && flags <= 1 && length % 6 == 0 && length < 256 && (!flags || !length);
    if (type == FRAME_PING)
        return !stream && flags <= 1 && length == 8;
    if (type == FRAME_WINDOW_UPDATE)
        return !flags && length == 4;
    if (type == FRAME_RST_STREAM)
        return stream && !flags && length == 4;
    /* Whole header blocks only: END_HEADERS, with or without END_STREAM, PADDED and PRIORITY. */
    if (type == FRAME_HEADERS)
        return stream && length && (flags & 0x04) && !(flags & ~0x2d);
    return 0;
}

static __always_inline int begins_tls(const u8 *head)
{
    return head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && head[2] <= 4;
}

static __always_inline u8 protocol_of(const u8 *head, u64 bytes)
{
    if (begins_preface(head))
        return CONVERSATION_HTTP2;
    if (begins_response(head) || begins_request(head))
        return CONVERSATION_HTTP1;
    if (begins_tls(head))
        return CONVERSATION_TLS;
    return begins_frame(head, bytes) ? CONVERSATION_HTTP2 : CONVERSATION_UNKNOWN;
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

static __always_inline void plan_http1(struct capture *capture, struct direction *direction, int begins)
{
    u64 bytes = capture->call_bytes;

    if (begins)
        direction->captured = 0;
    capture->keep = direction->captured < TURN_BYTES ? TURN_BYTES - direction->captured : EDGE_BYTES;
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
    found = protocol_of(head, bytes);
    detect(conversation, found);
    capture->protocol = conversation->protocol;
    if (capture->protocol == CONVERSATION_HTTP1)
        plan_http1(capture, direction, found == CONVERSATION_HTTP1 || conversation->turn != capture->kind);
    else if (capture->protocol == CONVERSATION_HTTP2)
        plan_http2(capture, direction, head, bytes);
    else
        return 0;
    conversation->turn = capture->kind;
    return 1;
}

static __always_inline int is_followed(const struct capture *capture, const struct direction *direction)
{
    return capture->left && capture->protocol == CONVERSATION_HTTP2 && !direction->is_lost;
}

static __always_inline void leave_out(struct capture *capture, struct direction *direction)
{
    u64 bytes = least(least(capture->segment_bytes, capture->left), direction->left);

    direction->left -= bytes;
    advance(capture, bytes);
}

/* Passes over one small frame that lies whole in the current buffer, or over one of data whose payload is left out, or over the
 * rest of one; whether that is what there was. */
static __always_inline int pass_frame(struct capture *capture, struct direction *direction)
{
    u64 bytes;

    if (!capture->segment_bytes && !next_segment(capture))
        return 0;
    if (direction->left)
        goto rest;
    bytes = least(capture->segment_bytes, capture->left);
    if (direction->header_bytes || bytes < FRAME_HEADER)
        return 0;
    bpf_probe_read_user(direction->header, FRAME_HEADER, (const void *)capture->segment);
    begin_frame(direction);
    capture->pending_bytes = FRAME_HEADER + (direction->leaves_out ? 0 : direction->left);
    if (direction->is_lost || capture->pending_bytes > least(bytes, FRAGMENT_SMALL)) {
        direction->left = 0;
        capture->pending_bytes = 0;
        return 0;
    }
    if (!direction->leaves_out)
        direction->left = 0;
    bytes = capture->pending_bytes;
    capture->pending = capture->segment;
    capture->pending_offset = capture->call_bytes - capture->left;
    send_small(capture, 0);
    capture->pending_bytes = 0;
    advance(capture, bytes);
rest:
    if (direction->left && !direction->leaves_out)
        return 0;
    leave_out(capture, direction);
    return 1;
}

static __always_inline void take_steps(struct capture *capture, struct direction *direction, int steps)
{
    for (int i = 0; i < steps && capture->left; i++) {
        if (!capture->segment_bytes && !next_segment(capture))
            break;
        step(capture, direction);
    }
}

/* Goes through a call: any pieces; then, where HTTP/2 has more, whole frames, which are many in a large call; then what comes
 * next as it is, user space finds the frames in it. */
static __always_inline void walk(struct capture *capture, struct direction *direction)
{
    take_steps(capture, direction, STEPS);
    if (!is_followed(capture, direction))
        return;
    if (capture->pending_bytes)
        send_pending(capture, 0);
    for (int i = 0; i < FRAMES_FOLLOWED; i++) {
        if (!capture->left || !pass_frame(capture, direction))
            break;
    }
    if (!is_followed(capture, direction))
        return;
    direction->is_lost = 1;
    capture->keep = capture->call_bytes - capture->left + RAW_BYTES;
    take_steps(capture, direction, RAW_STEPS);
}

/* Captures what is needed of a call. `capture` knows the call and its buffers; without `has_buffers` (known when compiled)
 * only the number of its bytes is told. */
static __always_inline void capture_call(struct capture *capture, struct conversation *conversation, int has_buffers)
{
    struct direction *direction = &conversation->directions[capture->kind & 1];

    capture->left = capture->call_bytes;
    capture->pending_bytes = 0;
    capture->pending_offset = 0;
    if (!capture->segment_bytes)
        next_segment(capture);
    if (!plan(capture, conversation, direction)) {
        if (capture->protocol == CONVERSATION_TLS)
            goto tell; /* that it is */
        return;
    }
    if (has_buffers)
        walk(capture, direction);
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

/* Ends the conversation of a socket of which user space wants no more. At the entry of a call: at its exit the verifier would
 * follow all that comes after this twice. */
static __always_inline void heed_mute(const struct sock *sk)
{
    u64 socket = (u64)sk;
    struct watched *watched = watched_of(sk);

    if (!watched || !watched->conversation.protocol || watched->conversation.protocol >= CONVERSATION_TLS)
        return;
    if (!muted_sockets.lookup(&socket))
        return;
    watched->conversation.protocol = CONVERSATION_OTHER;
    muted_sockets.delete(&socket);
}

/* The buffers of a struct msghdr. */
static __always_inline void note_header(struct capture *capture, const struct user_msghdr *header)
{
    bpf_probe_read_user(&capture->vector, sizeof(capture->vector), &header->msg_iov);
    bpf_probe_read_user(&capture->vectors, sizeof(capture->vectors), &header->msg_iovlen);
}

/* Where in its stream a call's first byte stands. The end of a stream takes a number, too: a read that has come to it ends one
 * further than its bytes do. */
static __always_inline u32 first_position(const struct transfer *transfer, u64 bytes)
{
    u32 position = stream_position(transfer->sk, transfer->kind) - (u32)bytes;

    return transfer->kind == EVENT_READ && position - transfer->read_from == 1 ? transfer->read_from : position;
}

/* Captures a system call on a TCP socket, whose bytes have just been moved. */
static __always_inline void capture_transfer(struct transfer *transfer, u64 bytes, int has_buffers)
{
    struct watched *watched;
    struct capture *capture = &transfer->capture;
    unsigned long number = 0;
    u16 protocol = 0;

    if (transfer->protocol != PROTOCOL_TCP)
        return;
    watched = watched_of(transfer->sk);
    if (!watched || watched->conversation.protocol >= CONVERSATION_TLS)
        return;
    bpf_probe_read_kernel(&protocol, sizeof(protocol), &transfer->sk->sk_protocol);
    if (protocol != PROTOCOL_TCP)
        return; /* multipath TCP numbers its bytes elsewhere */
    capture->socket = (u64)transfer->sk;
    bpf_probe_read_kernel(&number, sizeof(number), &transfer->inode->i_ino);
    capture->start_ns = transfer->start_ns;
    capture->end_ns = bpf_ktime_get_ns();
    capture->inode = number;
    capture->position = first_position(transfer, bytes);
    capture->call_bytes = bytes;
    capture->kind = transfer->kind;
    if (transfer->peer == PEER_AT_HEADER)
        note_header(capture, (const void *)transfer->address);
    capture_call(capture, &watched->conversation, has_buffers);
}
