/* What of a call is captured: decided from its first bytes, and from what the connection's calls before it were.
 *
 * What:  the first bytes of a connection's calls are looked at until they are those of HTTP/1 (a request line, a status
 *        line) or HTTP/2 (its preface, a frame); DETECTION_CALLS calls in vain end it. From then on:
 *        HTTP/1: up to TURN_BYTES from the beginning of a message, or since the other side had its turn; after that
 *          the first and the last EDGE_BYTES of each call, where chunks begin and bodies end. Of requests that have no
 *          body, and so are heads alone, and of the answers to many of them, up to PIPELINE_BYTES. Where the connection becomes
 *          something else, turns are no reason to capture more.
 *        HTTP/2: everything but the payload of large DATA frames, which payload_steps.c leaves out. While it is not known where
 *          frames begin, the first RAW_BYTES of each call.
 * Why:   bodies are most of the bytes, and no parser needs them.
 * Lost without it: protocolLog.
 */

#define DETECTION_CALLS 6
#define TURN_BYTES 32768
#define PIPELINE_BYTES 1048576
#define ONE_REQUEST_BYTES 256 /* requests of a turn that are more may be several */
#define ANSWER_BYTES 64       /* captured of the answers for each byte of requests beyond that */
#define EDGE_BYTES 32
#define RAW_BYTES 53248 /* of a call while it is not known where frames begin */
#define PREFACE_BYTES 24

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
