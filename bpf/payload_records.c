/* Sending what is captured: bytes that follow each other in a call's stream are pending until they make a record.
 *
 * What:  bytes that lie side by side, up to FRAGMENT_LARGE; or short ones from several buffers, up to GATHERED_BYTES, because
 *        some programs write a header from a buffer for each of its parts. A record that finds no room is counted.
 * Why:   each record costs its head, and user space time.
 * Lost without it: protocolLog.
 */

#define GATHERED_BYTES 512 /* half of FRAGMENT_MEDIUM, so that the verifier need not relate place and length */
#define GATHERED_BUFFERS 32

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
    note_payload(sizeof(*fragment) + room);
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

/* Copies the part of what is pending that lies in one buffer; whether it could be read. */
static __always_inline int copy_part(u8 *bytes, struct capture *capture, const struct vector *vector)
{
    u64 at = capture->gathered;
    u64 length = least(least(vector->bytes, capture->pending_bytes - at), GATHERED_BYTES);

    capture->gathered = at + length;
    return !bpf_probe_read_user(&bytes[at & (GATHERED_BYTES - 1)], length, (const void *)vector->base);
}

/* Copies what is pending in several buffers. How far it has come is kept in `capture`, whose memory the verifier does not
 * track: each turn of the loop looks like the one before. */
static __always_inline void gather(u8 *bytes, struct capture *capture)
{
    struct vector vector = {capture->pending, capture->pending_first};

    capture->gathered = 0;
    for (int i = 0; i < GATHERED_BUFFERS; i++) {
        if (!copy_part(bytes, capture, &vector))
            goto unreadable;
        if (capture->gathered >= capture->pending_bytes)
            return;
        if (bpf_probe_read_user(&vector, sizeof(vector), (const void *)capture->pending_vector))
            goto unreadable;
        capture->pending_vector += sizeof(vector);
    }
    return;
unreadable:
    capture->gathered = 0;
    count(INCOMPLETE_PAYLOAD_UNREADABLE, 1);
}

static __always_inline void send_gathered(struct capture *capture, u8 flags)
{
    struct medium_fragment *record = payloads.ringbuf_reserve(sizeof(struct medium_fragment));

    if (record) {
        gather(record->bytes, capture);
        describe_fragment(&record->about, capture, capture->gathered, flags);
        note_payload(sizeof(*record));
        payloads.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    } else {
        count(INCOMPLETE_PAYLOAD_FULL, 1);
    }
}

/* Sends what is pending; nothing may be, then the record only says that the call was. */
static __always_inline void send_pending(struct capture *capture, u8 flags)
{
    if (capture->pending_bytes > capture->pending_first)
        send_gathered(capture, flags);
    else if (capture->pending_bytes <= FRAGMENT_SMALL)
        send_small(capture, flags);
    else if (capture->pending_bytes <= FRAGMENT_MEDIUM)
        send_medium(capture, flags);
    else
        send_large(capture, flags);
    capture->pending_bytes = 0;
    capture->pending_first = 0;
}

static __always_inline void begin_pending(struct capture *capture, u64 bytes)
{
    capture->pending = capture->segment;
    capture->pending_bytes = bytes;
    capture->pending_offset = capture->call_bytes - capture->left;
    capture->pending_first = bytes;
    capture->pending_vector = capture->vector;
    capture->pending_others = 0;
}

/* Adds the next bytes to those that are pending; whether they can be sent with them. Bytes that follow in the stream are in
 * the same buffer or in the next one; buffers may lie side by side with bytes of others between them in the stream. */
static __always_inline int join_pending(struct capture *capture, u64 bytes)
{
    u64 together = capture->pending_bytes + bytes;

    if (!capture->pending_bytes) {
        begin_pending(capture, bytes);
        return 1;
    }
    if (capture->pending_offset + capture->pending_bytes != capture->call_bytes - capture->left)
        return 0;
    if (capture->pending_bytes == capture->pending_first &&
        capture->pending + capture->pending_bytes == capture->segment) {
        if (together > FRAGMENT_LARGE)
            return 0;
        capture->pending_first = together;
        capture->pending_vector = capture->vector;
        capture->pending_others = 0;
    } else if (together > GATHERED_BYTES || capture->pending_others >= GATHERED_BUFFERS) {
        return 0;
    }
    capture->pending_bytes = together;
    return 1;
}
