/* Calls of Go's crypto/tls.
 *
 * What:  entry and return of the methods of tls.Conn that read, write and shake hands, by goroutine.
 * Why:   a goroutine moves between threads within a call. Its connection holds the descriptor, so that the socket need not
 *        be learned.
 * Lost without it: the protocolLog of TLS connections of Go programs.
 */

/* Of Go's types: an interface is a pointer to its type and one to its value. */
#define GO_INTERFACE_VALUE 8
#define GO_DESCRIPTOR 16 /* in net.netFD: behind the lock of its poll.FD */
#define GO_WRAPPERS 3    /* connections that begin with another one, around the one with the descriptor */

/* Through that of a Go program that a goroutine is in. */
int walk_go(u64 goroutine)
{
    struct tls_key key = {goroutine, bpf_get_current_pid_tgid() >> 32};
    struct go_call *entry = go_calls.lookup(&key);

    return entry ? walk_plaintext(&entry->capture) : 0;
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
