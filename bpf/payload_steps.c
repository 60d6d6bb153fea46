/* Walking through the bytes that a call has moved, over what is left out and over what is captured.
 *
 * What:  the buffers of a call one after another. Frames of HTTP/2 are walked from header to header, and the payload of DATA
 *        frames over DATA_BYTES is left out. Of a call at most TURNS * STEPS steps are taken: over a buffer, over a frame's
 *        header, over its payload. What is cut off is counted, and user space sees that it is missing.
 * Why:   what a message is stands in few of its bytes.
 * Lost without it: protocolLog.
 */

#define DATA_BYTES 512
#define STEPS 8
#define TURNS 1024
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
