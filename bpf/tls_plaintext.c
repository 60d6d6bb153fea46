/* TLS: plain text, where libraries take it from applications and give it to them.
 *
 * What:  what a call of a TLS library or of Go's crypto/tls has moved is captured at its return, as a system call's bytes are
 *        (payload.c). System calls stay what the access logs count: a call here makes fragments of payload, nothing else.
 * Why at return: only then is known how many bytes were moved, and the program has just touched them: they are in memory.
 * Lost without it: the protocolLog of TLS connections.
 */

/* What a function does: the cookies in agent/kernel/tls_hooks.py. */
#define TLS_KIND 0x0f          /* EVENT_READ, EVENT_WRITE, or 0 for a handshake */
#define TLS_COUNTS 0x10        /* its fourth argument points to the number of bytes moved, the result is 1 */
#define TLS_HAS_NO_BUFFER 0x20 /* the plain text is in no buffer of the process */
#define TLS_FREES 0x40         /* the session ends */

/* How many bytes of plain text a call has moved. */
static __always_inline u64 bytes_of_tls(const struct tls_call *call, long result)
{
    u64 bytes = result;

    if (!call->kind || result <= 0)
        return 0;
    if (call->counted && bpf_probe_read_user(&bytes, sizeof(bytes), (const void *)call->counted)) {
        count(INCOMPLETE_PAYLOAD_UNREADABLE, 1);
        return 0;
    }
    return bytes <= LONGEST_BUFFER ? bytes : 0;
}

static __always_inline void describe_tls_call(struct capture *capture, const struct tls_call *call,
                                              const struct tls_session *session)
{
    capture->start_ns = call->start_ns;
    capture->end_ns = bpf_ktime_get_ns();
    capture->inode = session->socket.inode;
    capture->socket = session->socket.socket;
    capture->kind = call->kind | EVENT_READ; /* a handshake does both; a branch would double the verifier's work */
}

/* The bytes of the socket itself are of no interest any more. Usually that was seen in its first ones; where the
 * connection was open before, or plain at first (a tunnel, STARTTLS), user space is told here. */
static __always_inline void tell_tls(struct capture *capture, const struct tls_call *call,
                                     const struct tls_session *session)
{
    u64 socket = session->socket.socket;
    struct watched *watched = watched_sockets.lookup(&socket);

    if (!watched || watched->conversation.protocol == CONVERSATION_TLS)
        return;
    watched->conversation.protocol = CONVERSATION_TLS;
    describe_tls_call(capture, call, session);
    capture->session = 0;
    capture->position = 0;
    capture->call_bytes = 0;
    capture->protocol = CONVERSATION_TLS;
    capture->pending_bytes = 0;
    capture->pending_offset = 0;
    send_small(capture, FRAGMENT_LAST);
}

/* Takes steps through a call of a session. */
static __always_inline int walk_plaintext(struct capture *capture)
{
    struct tls_key key = {capture->session, bpf_get_current_pid_tgid() >> 32};
    struct tls_session *session = tls_sessions.lookup(&key);

    if (!session)
        session = outlived_sessions.lookup(&key);
    return session ? take_steps(capture, &session->conversation.directions[capture->kind & 1]) : 0;
}

static __always_inline void capture_plaintext(struct capture *capture, const struct tls_call *call,
                                              struct tls_session *session, u64 bytes, subprogram walk, u64 key)
{
    struct conversation *conversation = &session->conversation;
    struct direction *direction = &conversation->directions[call->kind & 1];
    capture->position = direction->position;
    direction->position += bytes;
    if (conversation->protocol >= CONVERSATION_TLS)
        return;
    if (is_muted(session->socket.socket + call->session, session->socket.inode)) {
        conversation->protocol = CONVERSATION_OTHER;
        return;
    }
    describe_tls_call(capture, call, session);
    capture->session = call->session;
    capture->call_bytes = bytes;
    capture->vectors = 0;
    capture->segment = call->buffer;
    capture->segment_bytes = call->buffer ? bytes : 0;
    capture_call(capture, conversation, walk, key);
}

static __always_inline void note_tls_call(struct tls_call *call, u64 session, u64 buffer, u64 counted, u64 kind,
                                          u64 stack)
{
    call->session = session;
    call->stack = stack;
    call->start_ns = bpf_ktime_get_ns();
    call->buffer = buffer;
    call->counted = counted;
    call->kind = kind;
    call->socket.socket = 0;
    call->socket.inode = 0;
}
