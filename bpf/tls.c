/* TLS: plain text, where libraries take it from applications and give it to them.
 *
 * What:  entry and return of the functions that read, write and shake hands, in OpenSSL and its relatives, in GnuTLS and
 *        in Go programs. What a call moved is captured at its return, as a system call's bytes are (payload.c). System
 *        calls stay what the access logs count: a call here makes fragments of payload, nothing else.
 * Why at return: only then is known how many bytes were moved, and the program has just touched them: they are in memory.
 *
 * Which socket a session belongs to:
 *        * Where the library reads and writes the socket itself, the system calls within a call tell, with each call.
 *        * Where the application does (memory BIOs: Node.js, Python's asyncio), the system calls around a call do, as far
 *          as they move TLS records: those read before a call that reads or shakes hands are its session's; those written
 *          after a call are, too. That is learned once, usually with the handshake. Nothing is learned where it could be
 *          wrong: from records of several sockets, for several unknown sessions, or for a socket that has a session.
 *        * A connection of a Go program holds its descriptor.
 *        A session belongs to its socket until one of the two is gone, or the session is seen to use another one. What is
 *        moved before the socket is known is not captured: it is counted. A call that has written, and is left when the
 *        socket is gone already, is told all the same.
 *
 * Calls of one library may be within calls of the same one: SSL_connect calls SSL_do_handshake, SSL_read_ex may call
 * SSL_read. The outer one counts. A return finds its call by the stack pointer, so that one that was never seen (a jump
 * out of the call), and one that is seen twice (two probes at one place), do no harm.
 *
 * Lost without it: the protocolLog of TLS connections.
 */

/* What a function does: the cookies in agent/kernel/tls_hooks.py. */
#define TLS_KIND 0x0f          /* EVENT_READ, EVENT_WRITE, or 0 for a handshake */
#define TLS_COUNTS 0x10        /* its fourth argument points to the number of bytes moved, the result is 1 */
#define TLS_HAS_NO_BUFFER 0x20 /* the plain text is in no buffer of the process */
#define TLS_FREES 0x40         /* the session ends */

#define RECORD_HEADER 5
#define RECEIVED_NS 100000000 /* between the read of records and the call that takes them; they follow directly */

/* Of Go's types: an interface is a pointer to its type and one to its value. */
#define GO_INTERFACE_VALUE 8
#define GO_DESCRIPTOR 16 /* in net.netFD: behind the lock of its poll.FD */
#define GO_WRAPPERS 3    /* connections that begin with another one, around the one with the descriptor */

static __always_inline int is_socket_alive(const struct tls_socket *socket)
{
    struct watched *watched = watched_sockets.lookup((u64 *)&socket->socket);

    return watched && watched->inode == socket->inode;
}

/* The session, when it has a socket. */
static __always_inline struct tls_session *find_tls_session(const struct tls_key *key)
{
    struct tls_session *session = tls_sessions.lookup((struct tls_key *)key);

    return session && is_socket_alive(&session->socket) ? session : NULL;
}

/* Notes that a session belongs to a socket. Unless that was seen for certain, a socket that has another session is left
 * alone, and none is returned. */
static __always_inline struct tls_session *link_tls(const struct tls_key *key, const struct tls_socket *socket,
                                                    int is_certain)
{
    struct watched *watched = watched_sockets.lookup((u64 *)&socket->socket);
    struct tls_session *session;
    u32 zero = 0;

    if (!watched || watched->inode != socket->inode)
        return NULL;
    if (watched->tls_session && (watched->tls_session != key->address || watched->tls_process != key->process) &&
        !is_certain)
        return NULL;
    session = tls_sessions.lookup((struct tls_key *)key);
    if (!session || session->socket.socket != socket->socket || session->socket.inode != socket->inode) {
        struct tls_session *empty = empty_tls_session.lookup(&zero);

        if (!empty)
            return NULL;
        if (tls_sessions.update((struct tls_key *)key, empty)) {
            count(INCOMPLETE_TLS_SESSIONS_FULL, 1);
            return NULL;
        }
        session = tls_sessions.lookup((struct tls_key *)key);
        if (!session)
            return NULL;
        session->socket = *socket;
    }
    watched->tls_session = key->address;
    watched->tls_process = key->process;
    return session;
}

/* A call begins that writes: its session is needed until it has been left. */
static __always_inline void begin_writing(const struct tls_key *key, u64 writer)
{
    struct tls_session *session = tls_sessions.lookup((struct tls_key *)key);

    if (session)
        session->writer = writer;
}

/* The session of a call that has written to a socket which is gone by now. */
static __always_inline struct tls_session *outlived_session(const struct tls_key *key, const struct tls_socket *socket,
                                                            u64 writer)
{
    struct tls_session *session = outlived_sessions.lookup((struct tls_key *)key);

    if (!session || session->writer != writer)
        return NULL;
    return session->socket.socket == socket->socket && session->socket.inode == socket->inode ? session : NULL;
}

/* A call has been left that may have written. */
static __always_inline void end_writing(const struct tls_key *key, struct tls_session *session, u64 writer)
{
    if (session->writer != writer)
        return;
    session->writer = 0;
    outlived_sessions.delete((struct tls_key *)key);
}

/* The socket of a call's session, as far as it is known when the call returns. */
static __always_inline struct tls_session *settle_tls(struct tls_thread *thread, const struct tls_call *call,
                                                      const struct tls_key *key, u64 pid_tgid)
{
    struct tls_session *session;

    if (call->socket.socket) {
        session = link_tls(key, &call->socket, 1);
        if (!session)
            session = outlived_session(key, &call->socket, pid_tgid);
    } else {
        session = find_tls_session(key);
        if (!session && call->kind != EVENT_WRITE && thread->received.socket && !thread->is_ambiguous &&
            call->start_ns - thread->received_ns < RECEIVED_NS)
            session = link_tls(key, &thread->received, 0);
    }
    thread->received.socket = 0;
    thread->is_ambiguous = 0;
    if (!session)
        thread->pending = !thread->pending || thread->pending == key->address ? key->address : 0;
    else if (thread->pending == key->address)
        thread->pending = 0;
    return session;
}

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

/* Through that of a C library that a thread is in. */
int walk_tls(u64 pid_tgid)
{
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);

    return thread ? walk_plaintext(&thread->capture) : 0;
}

/* Through that of a Go program that a goroutine is in. */
int walk_go(u64 goroutine)
{
    struct tls_key key = {goroutine, bpf_get_current_pid_tgid() >> 32};
    struct go_call *entry = go_calls.lookup(&key);

    return entry ? walk_plaintext(&entry->capture) : 0;
}

static __always_inline void capture_plaintext(struct capture *capture, const struct tls_call *call,
                                              struct tls_session *session, u64 bytes, subprogram walk, u64 key)
{
    struct conversation *conversation = &session->conversation;
    struct direction *direction = &conversation->directions[call->kind & 1];
    u64 muted = session->socket.socket + call->session;

    capture->position = direction->position;
    direction->position += bytes;
    if (conversation->protocol >= CONVERSATION_TLS)
        return;
    if (muted_sockets.lookup(&muted)) {
        conversation->protocol = CONVERSATION_OTHER;
        muted_sockets.delete(&muted);
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

static __always_inline struct tls_thread *enter_tls_thread(u64 pid_tgid)
{
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);
    struct tls_thread *empty;
    u32 zero = 0;

    if (thread)
        return thread;
    empty = empty_tls_thread.lookup(&zero);
    if (!empty)
        return NULL;
    if (tls_threads.update(&pid_tgid, empty)) {
        count(INCOMPLETE_TLS_CALLS_FULL, 1);
        return NULL;
    }
    return tls_threads.lookup(&pid_tgid);
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

static __always_inline void free_tls(u64 pid_tgid, u64 session)
{
    struct tls_key key = {session, pid_tgid >> 32};
    struct tls_session *known = tls_sessions.lookup(&key);
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);
    struct watched *watched;

    if (thread && thread->pending == session)
        thread->pending = 0;
    if (!known)
        return;
    watched = watched_sockets.lookup(&known->socket.socket);
    if (watched && watched->tls_session == session && watched->tls_process == key.process)
        watched->tls_session = 0;
    tls_sessions.delete(&key);
}

/* Whether a call that begins within another one does that one's work: it begins at once, before any socket is used. */
static __always_inline int is_part_of(const struct tls_call *call, u64 session, u64 kind)
{
    return call->session == session && call->kind == kind && !call->socket.socket;
}

/* Begins every call of C libraries. */
static __always_inline int enter_tls(u64 session, u64 buffer, u64 counted, u64 what, u64 stack)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    u64 kind = what & TLS_KIND;
    struct tls_key key = {session, pid_tgid >> 32};
    struct tls_thread *thread;

    if (!session || !is_watched(pid_tgid))
        return 0;
    if (what & TLS_FREES) {
        free_tls(pid_tgid, session);
        return 0;
    }
    if (what & TLS_HAS_NO_BUFFER)
        buffer = 0;
    if (!(what & TLS_COUNTS))
        counted = 0;
    thread = enter_tls_thread(pid_tgid);
    if (!thread)
        return 0;
    if (stack >= thread->inner.stack)
        thread->inner.session = 0; /* left, whether that was seen or not */
    if (stack >= thread->outer.stack)
        thread->outer.session = thread->inner.session = 0;
    if (!thread->outer.session) {
        note_tls_call(&thread->outer, session, buffer, counted, kind, stack);
    } else if (!thread->inner.session) {
        if (!is_part_of(&thread->outer, session, kind))
            note_tls_call(&thread->inner, session, buffer, counted, kind, stack);
    } else if (!is_part_of(&thread->inner, session, kind)) {
        thread->outer = thread->inner; /* the third in a row: the first was more likely left unseen */
        note_tls_call(&thread->inner, session, buffer, counted, kind, stack);
    }
    if (kind == EVENT_WRITE)
        begin_writing(&key, pid_tgid);
    return 0;
}

/* Ends every call of C libraries. Each returns an int, or a number that fits into one. */
static __always_inline int leave_tls(int result, u64 stack)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);
    struct tls_call call = {};
    struct tls_session *session;
    struct tls_key key = {};
    u64 bytes;

    if (!thread)
        return 0;
    if (thread->inner.session && thread->inner.stack == stack)
        call = thread->inner;
    else if (thread->outer.session && thread->outer.stack == stack)
        call = thread->outer;
    if (!call.session)
        return 0;
    thread->inner.session = 0;
    if (thread->outer.stack == stack)
        thread->outer.session = 0;
    key.address = call.session;
    key.process = pid_tgid >> 32;
    session = settle_tls(thread, &call, &key, pid_tgid);
    bytes = bytes_of_tls(&call, result);
    if (bytes && session)
        capture_plaintext(&thread->capture, &call, session, bytes, SUBPROGRAM(walk_tls), pid_tgid);
    else if (bytes)
        count(INCOMPLETE_TLS_SOCKET_UNKNOWN, 1);
    if (session) {
        tell_tls(&thread->capture, &call, session);
        end_writing(&key, session, pid_tgid);
    }
    return 0;
}

/* A thread begins to use a socket: within a call of a TLS library that is the socket of its session. */
static __always_inline void note_tls_socket(u64 pid_tgid, const struct found_socket *found)
{
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);
    unsigned long inode = 0;

    if (!thread || !thread->outer.session || found->protocol != PROTOCOL_TCP)
        return;
    bpf_probe_read_kernel(&inode, sizeof(inode), &found->inode->i_ino);
    thread->outer.socket.socket = (u64)found->sk;
    thread->outer.socket.inode = inode;
    thread->inner.socket = thread->outer.socket;
}

/* The first bytes of a transfer. */
static __always_inline int is_tls_record(struct transfer *transfer)
{
    struct capture *capture = &transfer->capture;
    struct vector vector = {};
    u8 head[RECORD_HEADER] = {};

    if (transfer->peer == PEER_AT_HEADER)
        note_header(capture, (const void *)transfer->address);
    vector.base = capture->segment;
    if (!vector.base && bpf_probe_read_user(&vector, sizeof(vector), (const void *)capture->vector))
        return 0;
    return !bpf_probe_read_user(&head, sizeof(head), (const void *)vector.base) && begins_tls(head);
}

/* A thread has moved bytes through a socket outside of any call of a TLS library. */
static __always_inline void note_tls_records(struct transfer *transfer, u64 pid_tgid)
{
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);
    struct tls_socket socket = {};
    struct tls_key key = {};
    unsigned long inode = 0;

    if (!thread || thread->outer.session || transfer->protocol != PROTOCOL_TCP)
        return;
    if (transfer->kind == EVENT_WRITE && !thread->pending)
        return;
    if (!is_tls_record(transfer))
        return;
    bpf_probe_read_kernel(&inode, sizeof(inode), &transfer->inode->i_ino);
    socket.socket = (u64)transfer->sk;
    socket.inode = inode;
    if (transfer->kind == EVENT_WRITE) {
        key.address = thread->pending;
        key.process = pid_tgid >> 32;
        if (link_tls(&key, &socket, 0))
            thread->pending = 0;
        return;
    }
    if (thread->received.socket && thread->received.socket != socket.socket)
        thread->is_ambiguous = 1;
    thread->received = socket;
    thread->received_ns = bpf_ktime_get_ns();
}

/* The socket of a connection of a Go program: a net.TCPConn is a pointer to a netFD, which has the descriptor. Where there
 * is none, it may be a type around another connection. */
static __always_inline int find_go_socket(u64 connection, struct found_socket *found)
{
    u64 value = 0;
    u64 descriptors = 0;
    u64 descriptor = 0;

    bpf_probe_read_user(&value, sizeof(value), (const void *)(connection + GO_INTERFACE_VALUE));
#pragma unroll
    for (int i = 0; i < GO_WRAPPERS; i++) {
        if (!bpf_probe_read_user(&descriptors, sizeof(descriptors), (const void *)value) &&
            !bpf_probe_read_user(&descriptor, sizeof(descriptor), (const void *)(descriptors + GO_DESCRIPTOR)) &&
            descriptor <= LARGEST_DESCRIPTOR && find_socket(descriptor, found))
            return found->protocol == PROTOCOL_TCP;
        if (bpf_probe_read_user(&value, sizeof(value), (const void *)(value + GO_INTERFACE_VALUE)))
            return 0;
    }
    return 0;
}

static __always_inline int enter_go(u64 connection, u64 buffer, u64 goroutine, u64 what)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct tls_key key = {goroutine, pid_tgid >> 32};
    struct tls_key session_key = {connection, pid_tgid >> 32};
    struct found_socket found = {};
    struct go_call *entry;
    unsigned long inode = 0;
    u32 zero = 0;

    if (!is_watched(pid_tgid))
        return 0;
    entry = empty_go_call.lookup(&zero);
    if (!entry)
        return 0;
    if (go_calls.update(&key, entry)) {
        count(INCOMPLETE_TLS_CALLS_FULL, 1);
        return 0;
    }
    entry = go_calls.lookup(&key);
    if (!entry)
        return 0;
    note_tls_call(&entry->call, connection, buffer, 0, what & TLS_KIND, 0);
    if (find_go_socket(connection, &found)) {
        watch_socket(found.sk, found.inode, found.protocol, pid_tgid);
        bpf_probe_read_kernel(&inode, sizeof(inode), &found.inode->i_ino);
        entry->call.socket.socket = (u64)found.sk;
        entry->call.socket.inode = inode;
    }
    if (entry->call.kind == EVENT_WRITE)
        begin_writing(&session_key, goroutine);
    return 0;
}

/* A function of Go begins once more when its stack has to grow: then it has been entered twice, and returns once. */
static __always_inline int leave_go(long result, u64 goroutine)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct tls_key goroutine_key = {goroutine, pid_tgid >> 32};
    struct go_call *entry = go_calls.lookup(&goroutine_key);
    struct tls_session *session = NULL;
    struct tls_key key = {};
    u64 bytes;

    if (!entry)
        return 0;
    key.address = entry->call.session;
    key.process = pid_tgid >> 32;
    bytes = bytes_of_tls(&entry->call, result);
    if (entry->call.socket.socket) {
        session = link_tls(&key, &entry->call.socket, 1);
        if (!session)
            session = outlived_session(&key, &entry->call.socket, goroutine);
    }
    if (bytes && session)
        capture_plaintext(&entry->capture, &entry->call, session, bytes, SUBPROGRAM(walk_go), goroutine);
    else if (bytes)
        count(INCOMPLETE_TLS_SOCKET_UNKNOWN, 1);
    if (session) {
        tell_tls(&entry->capture, &entry->call, session);
        end_writing(&key, session, goroutine);
    }
    go_calls.delete(&goroutine_key);
    return 0;
}
