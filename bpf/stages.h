/* Sockets under watch: what their packages did, kept per socket until an event takes it along.
 *
 * What:  an entry for each socket of a watched process, from connect, listen or the first transfer until the kernel
 *        destroys the socket. The programs at the stages between system call and wire add to it; the event of a write
 *        or read takes what has come together and leaves zero.
 * Why by socket: a package belongs to a connection, not to the thread that happens to run while it is sent: many are
 *        sent by acknowledgements, timers and other threads.
 * Why atomic additions: softirq on one processor adds while a system call on another takes. Taking subtracts what it
 *        saw instead of writing zero, so that nothing added in between is lost; when two take at once, the second one's
 *        subtraction leaves a debt (a negative number), which is paid before anything is reported again.
 * Lost without it: every stage of L4 to L2, and the quality of connections.
 */
#ifndef PYROVER_STAGES_H
#define PYROVER_STAGES_H

#define CONGESTION_RECOVERY 3 /* enum tcp_ca_state */
#define CONGESTION_LOSS 4
#define TCP_FLAG_RST 0x04

/* Sent since the last write that was reported, outside of any call. */
struct sent {
    u64 packages;
    u64 package_bytes;
    u64 retransmits;
    u64 neighbours;
    u64 netfilters;
    u64 queued;
    u64 l3_ns;
    u64 l2_ns; /* only where no function probe shows the end of L2 */
    u64 ready_ns;
    u64 device_ns;
    u64 interface; /* of the last package */
};

/* Received since the last read that was reported. */
struct received {
    u64 packages;
    u64 package_bytes;
    u64 netfilters;
    u64 l4_ns;
    u64 l3_ns;
    u64 local_ns;
    u64 routing_ns;
    u64 netfilter_ns;
    u64 ready_ns;
    u64 interface; /* of the last package */
};

/* What went wrong since the last report of it. */
struct trouble {
    u64 happened; /* any of the others */
    u64 timeout;
    u64 fast;
    u64 probe;
    u64 syn;
    u64 zero_windows_received;
    u64 zero_windows_sent;
    u64 drops_other;
    u64 drops[DROPS];
    u32 reasons[DROPS]; /* of `drops`; 0 is unused */
};

struct watched {
    u64 inode;
    u32 process; /* that used it last; 0 until somebody has accepted the connection */
    u32 thread;
    u32 network_namespace;
    u8 protocol;
    u8 role;
    u16 has_unseen;
    char command[COMMAND_BYTES];
    struct sent sent;
    struct received received;
    struct trouble trouble;
    struct waiting_queue waiting;
    u32 datagrams_in;
    u32 datagrams_read;
    u32 unseen_end;  /* sequence number behind what came before the watch began */
    u32 tls_process; /* of `tls_session` */
    u64 tls_session; /* that was last seen to use this socket, as the process knows it; 0: none. See tls_sessions.c */
    struct conversation conversation;
};

/* struct sock * -> what is known of it. */
BPF_HASH(watched_sockets, u64, struct watched, SIZED_AT_LOAD);

/* What a new entry is made from: too long for a program's stack. */
BPF_ARRAY(empty_watched, struct watched, 1);

/* How many there are: with none, the programs that see every package of the node do nothing. */
BPF_ARRAY(watched_count, u64, 1);

struct listening {
    u32 network_namespace;
    u32 port;
};

/* Where watched processes listen: whoever connects there is watched from its first package on, before it is accepted. */
BPF_HASH(listeners, struct listening, u8, SIZED_AT_LOAD);

static __always_inline int is_anything_watched(void)
{
    u32 zero = 0;
    u64 *sockets = watched_count.lookup(&zero);

    return sockets && *sockets;
}

static __always_inline void add_watched(u64 amount)
{
    u32 zero = 0;
    u64 *sockets = watched_count.lookup(&zero);

    if (sockets)
        __sync_fetch_and_add(sockets, amount);
}

static __always_inline struct watched *watched_of(const struct sock *sk)
{
    u64 socket = (u64)sk;

    return sk && is_anything_watched() ? watched_sockets.lookup(&socket) : NULL;
}

static __always_inline void add(u64 *sum, u64 amount)
{
    __sync_fetch_and_add(sum, amount);
}

/* What has come together since the last time; see the head of this file. */
static __always_inline u64 take(u64 *sum)
{
    u64 amount = *sum;

    if ((s64)amount <= 0)
        return 0;
    __sync_fetch_and_add(sum, -amount);
    return amount;
}

/* The first bytes of the headers of the protocols (RFC 9293, RFC 768). */
struct tcp_header {
    __be16 source;
    __be16 destination;
    __be32 sequence;
    __be32 acknowledgement;
    u8 offset; /* in the upper four bits, in words */
    u8 flags;
    __be16 window;
};

struct udp_header {
    __be16 source;
    __be16 destination;
    __be16 length; /* with this header */
    __be16 checksum;
};

static __always_inline void read_transport_header(const struct sk_buff *skb, void *header, u32 size)
{
    unsigned char *head = NULL;
    u16 offset = 0;

    bpf_probe_read_kernel(&head, sizeof(head), &skb->head);
    bpf_probe_read_kernel(&offset, sizeof(offset), &skb->transport_header);
    bpf_probe_read_kernel(header, size, head + offset);
}

static __always_inline u32 namespace_of_device(const struct net_device *device)
{
    struct net *net = NULL;
#ifdef HAVE_NETWORK_NAMESPACES
    bpf_probe_read_kernel(&net, sizeof(net), &device->nd_net.net);
#endif
    return number_of_namespace(net);
}

/* An entry for a socket, new unless this very socket has one. `inode` is 0 while nobody has accepted the connection. */
static __always_inline struct watched *enter_socket(const struct sock *sk, u64 inode)
{
    u64 socket = (u64)sk;
    u32 zero = 0;
    struct watched *known = watched_sockets.lookup(&socket);
    struct watched *empty;

    /* What is there under another inode was left behind by a socket that lived at the same address. */
    if (known && inode && (!known->inode || known->inode == inode))
        return known;
    empty = empty_watched.lookup(&zero);
    if (!empty)
        return NULL;
    if (watched_sockets.update(&socket, empty)) {
        count(INCOMPLETE_STAGES_FULL, 1);
        return NULL;
    }
    if (!known)
        add_watched(1);
    return watched_sockets.lookup(&socket);
}

/* A connection that is found open: what waits to be read came unseen. */
static __always_inline void note_unseen(struct watched *watched, const struct sock *sk)
{
    u8 state = 0;

    bpf_probe_read_kernel(&state, sizeof(state), &sk->__sk_common.skc_state);
    if (state != STATE_ESTABLISHED)
        return;
    bpf_probe_read_kernel(&watched->unseen_end, sizeof(u32), &((struct tcp_sock *)sk)->rcv_nxt);
    watched->has_unseen = 1;
}

/* Begins to watch a socket that the current process uses, or says that it does. */
static __always_inline void watch_socket(const struct sock *sk, struct inode *inode, u8 protocol, u64 pid_tgid)
{
    unsigned long number = 0;
    struct watched *watched;

    /* Without these hooks nothing would tell when the socket is gone. */
#ifndef HOOK_udp_destroy
    if (protocol == PROTOCOL_UDP)
        return;
#endif
#ifndef HOOK_tcp_destroy
    if (protocol == PROTOCOL_TCP)
        return;
#endif
    bpf_probe_read_kernel(&number, sizeof(number), &inode->i_ino);
    watched = enter_socket(sk, number);
    if (!watched || watched->process == pid_tgid >> 32)
        return; /* the usual case; another process may go on with a socket that it has inherited */
    if (!watched->protocol)
        note_unseen(watched, sk);
    watched->inode = number;
    watched->network_namespace = namespace_of(sk);
    watched->protocol = protocol;
    watched->role = role_of((struct sock *)sk, protocol);
    watched->thread = (u32)pid_tgid;
    bpf_get_current_comm(&watched->command, sizeof(watched->command));
    watched->process = pid_tgid >> 32;
}

static __always_inline void forget_socket(const struct sock *sk)
{
    u64 socket = (u64)sk;
    struct watched *watched = watched_sockets.lookup(&socket);

    if (watched && watched->tls_session) {
        u64 muted = socket + watched->tls_session;

        forget_tls_session(watched->tls_session, watched->tls_process);
        muted_sockets.delete(&muted);
    }
    muted_sockets.delete(&socket);
    if (!watched_sockets.delete(&socket))
        add_watched(-1);
}

#endif
