/* TLS: the calls that threads are in, and which socket each session belongs to.
 *
 * What:  `tls_threads` has the calls of a TLS library that a thread is in, and the last traces of which socket they are
 *        about; `tls_sessions` has the socket and the conversation of each session; `go_calls` has the calls of Go
 *        programs, which move between threads.
 * Why by session: one connection may carry two sessions at once (TLS to a proxy, TLS through it), and each is a stream
 *        of its own.
 * Lost without it: the plain text of TLS connections.
 */
#ifndef PYROVER_TLS_H
#define PYROVER_TLS_H

#define OUTLIVED_SESSIONS 1024

/* A session, or a goroutine, of a process: its address there. */
struct tls_key {
    u64 address;
    u32 process;
    u32 unused;
};

struct tls_socket {
    u64 socket; /* struct sock *, as a number; 0: none */
    u64 inode;
};

struct tls_session {
    struct tls_socket socket;
    u64 writer; /* the thread (pid_tgid) or goroutine that began to write last and is still at it; 0: none */
    struct conversation conversation; /* of plain text */
};

/* A call of a TLS library between its entry and its return. */
struct tls_call {
    u64 session; /* 0: no call */
    u64 stack;   /* the stack pointer at entry, by which a return finds its call */
    u64 start_ns;
    u64 buffer;               /* user pointer to the plain text; 0: in no buffer of this process */
    u64 counted;              /* user pointer to the number of bytes moved; 0: the result is that number */
    u64 kind;                 /* EVENT_READ, EVENT_WRITE, or 0 for a handshake */
    struct tls_socket socket; /* that was used within the call */
};

struct tls_thread {
    struct tls_call outer;
    struct tls_call inner; /* within the other one, of another session or of another kind */
    /* Of sessions that are not given a socket, but bytes (memory BIOs): see tls_sessions.c. */
    u64 pending;                /* a session of which no socket is known, called last; 0: none, or several */
    struct tls_socket received; /* whose records were read since the last call */
    u64 received_ns;
    u64 is_ambiguous; /* records of several sockets were */
    struct capture capture;
};

struct go_call {
    struct tls_call call;
    struct capture capture;
};

/* pid_tgid -> the thread, from its first call of a TLS library until it ends. */
BPF_HASH(tls_threads, u64, struct tls_thread, SIZED_AT_LOAD);

BPF_HASH(tls_sessions, struct tls_key, struct tls_session, SIZED_AT_LOAD);

/* Those whose socket is gone, and whose writer has not left its call. The oldest make room: a process that is killed
 * within a call leaves its own behind. */
BPF_TABLE("lru_hash", struct tls_key, struct tls_session, outlived_sessions, OUTLIVED_SESSIONS);

BPF_HASH(go_calls, struct tls_key, struct go_call, SIZED_AT_LOAD);

/* What new entries are made from: too long for a program's stack. */
BPF_ARRAY(empty_tls_thread, struct tls_thread, 1);
BPF_ARRAY(empty_tls_session, struct tls_session, 1);
BPF_ARRAY(empty_go_call, struct go_call, 1);

/* The socket of a session is gone. A writer may have sent its bytes and be kept from leaving its call, while another thread
 * has seen the peer's answer to them, and has closed the connection. */
static __always_inline void forget_tls_session(u64 session, u32 process)
{
    struct tls_key key = {session, process};
    struct tls_session *known = tls_sessions.lookup(&key);

    if (known && known->writer)
        outlived_sessions.update(&key, known);
    tls_sessions.delete(&key);
}

static __always_inline void forget_tls_thread(u64 pid_tgid)
{
    tls_threads.delete(&pid_tgid);
}

#endif
