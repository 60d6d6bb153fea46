/* Maps and the few functions that every program uses to reach them.
 *
 * What:  the ring of events, the calls in flight, the connects in progress, the process filters, and the
 *        counters of what was lost.
 * Why:   each map is bounded and made whole at load (no allocation in a handler), and each refusal of a map
 *        or of the ring is counted by cause, so that user space can say what it did not see.
 * Lost without it: everything.
 *
 * The loader gives each map its size when it makes it, whatever is written here, so that one compiled text serves every
 * size: SIZED_AT_LOAD. It defines ONLY_CHOSEN_PROCESSES when only chosen processes are watched, and HOOK_name for each
 * hook that is attached.
 */
#ifndef PYROVER_MAPS_H
#define PYROVER_MAPS_H

/* Where a transfer's peer is named when the socket itself does not know it: what `address` of a transfer points to. */
enum peer_source {
    PEER_OF_SOCKET = 0,
    PEER_AT_ADDRESS = 1,       /* a struct sockaddr */
    PEER_AT_HEADER = 2,        /* a struct msghdr */
    PEER_AT_HEADERS = 3,       /* an array of struct mmsghdr */
    PEER_AT_HIDDEN_HEADER = 4, /* a struct msghdr whose buffers do not get what is received */
};

/* A connect, accept, close or close_range between its entry and its exit: the event under construction. */
struct call {
    struct event event;
    u64 socket;  /* struct sock *, as a number: it is compared and used as a key, never followed */
    u64 address; /* user pointer to a struct sockaddr that could not be read at entry, or 0 */
};

/* A transfer between its entry and its exit. Most are made of nothing but a look (EAGAIN), so what the event says of
 * the socket is read only at the exit of one that moved bytes. */
struct transfer {
    u64 start_ns;
    struct inode *inode;
    struct sock *sk;
    u64 address; /* user pointer, see `peer`; 0 when the call names none */
    u64 bytes;   /* sum of the messages of a recvmmsg or sendmmsg */
    u64 messages;
    s32 descriptor;
    u8 kind;
    u8 system_call;
    u8 protocol;
    u8 peer;          /* enum peer_source */
    u32 read_from;    /* of a read from TCP: the number of its stream's next byte at entry */
    u32 conversation; /* enum conversation_protocol of the socket at entry */
    /* Of a write: see stages_send.c. */
    u64 send_ns;            /* when this thread entered the protocol's sendmsg */
    u32 send_depth;         /* how often it is inside */
    u32 is_told;            /* what it has sent is on its way; what is sent from now on is not its own */
    struct stages stages;   /* of the packages that it sends */
    struct capture capture; /* see payload.c; its buffers are set at entry, the rest at exit */
};

/* What is counted, per CPU. The names are in agent/kernel/losses.py, in this order. */
enum counter {
    LOST_RING_FULL = 0,                 /* events */
    LOST_IN_FLIGHT_FULL = 1,            /* calls that would have made an event */
    LOST_CONNECTING_FULL = 2,           /* connects whose later outcome cannot be known */
    LOST_MESSAGES_BEYOND_BOUND = 3,     /* messages of one recvmmsg or sendmmsg, each an event */
    LOST_ACCEPTED_NOT_FOUND = 4,        /* accepts whose new descriptor was gone or unreadable at exit */
    LOST_OUTCOME_MISSED = 5,            /* connects that ended in a state change which no program saw */
    INCOMPLETE_PEER_UNREADABLE = 6,     /* events sent without the peer that user memory should have named */
    INCOMPLETE_BYTES_UNREADABLE = 7,    /* events sent without the bytes of a message whose header was unreadable */
    INCOMPLETE_STAGES_FULL = 8,         /* sockets and listeners whose packages are not watched */
    INCOMPLETE_SENDING_FULL = 9,        /* packages of which only count and size are known */
    INCOMPLETE_PAYLOAD_FULL = 10,       /* fragments of payload that the ring had no room for */
    INCOMPLETE_PAYLOAD_CUT = 11,        /* calls of which not all was captured that should have been */
    INCOMPLETE_PAYLOAD_UNREADABLE = 12, /* fragments whose bytes user memory did not give */
    INCOMPLETE_TLS_SOCKET_UNKNOWN = 13, /* calls whose plain text is of a connection that is not known */
    INCOMPLETE_TLS_SESSIONS_FULL = 14,  /* calls of TLS sessions that found no room */
    INCOMPLETE_TLS_CALLS_FULL = 15,     /* calls of TLS libraries that found no room */
    COUNTERS = 16,
};

BPF_RINGBUF_OUTPUT(events, SIZED_AT_LOAD);

/* pid_tgid -> the call, or the transfer, that this thread is in. */
BPF_HASH(calls, u64, struct call, SIZED_AT_LOAD);
BPF_HASH(transfers, u64, struct transfer, SIZED_AT_LOAD);

/* struct sock * -> the connect that has not come to its outcome. See connect.c. */
BPF_HASH(connecting, u64, struct event, SIZED_AT_LOAD);

/* struct sock * -> present until the first of system call exit and state change has passed. See connect.c. */
BPF_HASH(connect_first, u64, u8, SIZED_AT_LOAD);

/* tgid -> present when this process is never watched (the agent itself). */
BPF_HASH(excluded_processes, u32, u8, SIZED_AT_LOAD);

#ifdef ONLY_CHOSEN_PROCESSES
/* tgid -> present when this process is watched; all others are not. */
BPF_HASH(chosen_processes, u32, u8, SIZED_AT_LOAD);
#endif

BPF_PERCPU_ARRAY(counters, u64, COUNTERS);

static __always_inline void count(u32 what, u64 amount)
{
    u64 *counter = counters.lookup(&what);

    /* Atomic although per CPU: a state change in softirq may interrupt a system call handler right here. */
    if (counter)
        __sync_fetch_and_add(counter, amount);
}

static __always_inline int is_watched(u64 pid_tgid)
{
    u32 process = pid_tgid >> 32;

#ifdef ONLY_CHOSEN_PROCESSES
    if (!chosen_processes.lookup(&process))
        return 0;
#endif
    return excluded_processes.lookup(&process) == NULL;
}

static __always_inline void describe_task(struct event *event, u64 pid_tgid)
{
    event->process = pid_tgid >> 32;
    event->thread = (u32)pid_tgid;
    bpf_get_current_comm(&event->command, sizeof(event->command));
}

static __always_inline void send_with(const struct event *event, u64 flags)
{
    struct event *record = events.ringbuf_reserve(sizeof(struct event));

    if (record) {
        __builtin_memcpy(record, event, sizeof(*record));
        events.ringbuf_submit(record, flags);
    } else {
        count(LOST_RING_FULL, 1);
    }
}

/* Sends one event, which wakes user space only where that asked for it: see wakeups.h. */
static __always_inline void send_event(const struct event *event)
{
    send_with(event, wakeup_for(event, 1));
}

static __always_inline void remember_call(u64 pid_tgid, struct call *call)
{
    if (calls.update(&pid_tgid, call))
        count(LOST_IN_FLIGHT_FULL, 1);
}

#endif
