/* Which socket a TLS session belongs to.
 *
 * What:  links between sessions and sockets, from what the calls of a library and the system calls around them show:
 *        * Where the library reads and writes the socket itself, the system calls within a call tell, with each call.
 *        * Where the application does (memory BIOs: Node.js, Python's asyncio), the system calls around a call do, as far
 *          as they move TLS records: those read before a call that reads or shakes hands are its session's; those written
 *          after a call are, too. That is learned once, usually with the handshake. Nothing is learned where it could be
 *          wrong: from records of several sockets, for several unknown sessions, or for a socket that has a session.
 *        * A connection of a Go program holds its descriptor.
 * Why:   no function of a TLS library says over which connection its plain text goes. A session belongs to its socket until
 *        one of the two is gone, or the session is seen to use another one. What is moved before the socket is known is not
 *        captured: it is counted. A call that has written, and is left when the socket is gone already, is told all the same.
 * Lost without it: the protocolLog of TLS connections.
 */

#define RECORD_HEADER 5
#define RECEIVED_NS 100000000 /* between the read of records and the call that takes them; they follow directly */

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
