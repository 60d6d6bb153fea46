/* What the first bytes of a call are the beginning of.
 *
 * What:  a request line or a status line of HTTP/1, the preface or a frame of HTTP/2, a record of TLS.
 * Why:   a port says nothing. What is taken for HTTP wrongly costs until user space wants no more of it; what is not
 *        recognised is not told.
 * Lost without it: protocolLog.
 */

#define DETECTION_BYTES 32
#define FRAME_DATA 0
#define FRAME_HEADERS 1
#define FRAME_RST_STREAM 3
#define FRAME_SETTINGS 4
#define FRAME_PING 6
#define FRAME_WINDOW_UPDATE 8
/* That a connection is known by; others may have 16 MiB, and with gRPC some do. */
#define LARGEST_FRAME (1 << 20)

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
