/* Calls of TLS libraries in C.
 *
 * What:  entry and return of the functions that read, write and shake hands in OpenSSL and its relatives and in GnuTLS, and
 *        the sockets that a thread uses within and around them.
 * Why:   calls of one library may be within calls of the same one: SSL_connect calls SSL_do_handshake, SSL_read_ex may call
 *        SSL_read. The outer one counts. A return finds its call by the stack pointer, so that one that was never seen (a
 *        jump out of the call), and one that is seen twice (two probes at one place), do no harm.
 * Lost without it: the protocolLog of TLS connections of such programs.
 */

/* Through that of a C library that a thread is in. */
int walk_tls(u64 pid_tgid)
{
    struct tls_thread *thread = tls_threads.lookup(&pid_tgid);

    return thread ? walk_plaintext(&thread->capture) : 0;
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
