/* struct event: the one record that every program sends through the ring.
 *
 * What:  the C twins of EVENT, STAGES and QUALITY in agent/events/layout.py, which says what each field means. The
 *        loader appends static assertions made from those dtypes, so a difference between the two does not compile.
 * Why:   fixed-size records let user space read the whole ring as one array.
 * Lost without it: everything.
 */
#ifndef PYROVER_EVENTS_H
#define PYROVER_EVENTS_H

#define ADDRESS_BYTES 16
#define COMMAND_BYTES 16
#define DROPS 6
#define SIZED_AT_LOAD 1 /* see maps.h */

/* What the stages between system call and wire did: sums in ns, bytes and counts. */
struct stages {
    u64 l4_ns;
    u64 l3_ns;
    u64 l3_local_ns;
    u64 l3_output_ns;
    u64 neighbour_ns;
    u64 netfilter_ns;
    u64 l2_ns;
    u64 l2_ready_ns;
    u64 l2_device_ns;
    u64 package_bytes;
    u64 late_ns;
    u32 packages;
    u32 retransmits;
    u32 neighbours;
    u32 netfilters;
    u32 queued;
    u32 interface;
    u32 round_trip_us;
    u32 late_packages;
};

struct drop {
    u32 reason;
    u32 count;
};

/* What went wrong on a connection. */
struct quality {
    u32 retransmits_timeout;
    u32 retransmits_fast;
    u32 retransmits_probe;
    u32 retransmits_syn;
    u32 zero_windows_received;
    u32 zero_windows_sent;
    u32 round_trip_us;
    u32 round_trip_variation_us;
    u32 round_trip_minimum_us;
    u32 drops_other;
    struct drop drops[DROPS];
    u32 segments_out;
    u32 segments_in;
    u32 unused[6];
};

struct event {
    u64 start_ns;          /* CLOCK_MONOTONIC at system call entry */
    u64 end_ns;            /* at system call exit, or when an asynchronous outcome was known */
    u64 inode;             /* socket inode number */
    u64 bytes;             /* payload bytes moved by a transfer */
    u32 process;           /* tgid in the initial pid namespace */
    u32 thread;            /* thread id in the initial pid namespace */
    s32 descriptor;        /* the first one of a close_range */
    s32 result;            /* 0 or a negative errno; the last descriptor of a close_range */
    u32 network_namespace; /* inode number of the network namespace */
    u16 local_port;        /* host byte order */
    u16 remote_port;       /* host byte order */
    u8 kind;
    u8 system_call;
    u8 protocol;
    u8 role;
    u32 flags;
    u8 local_address[ADDRESS_BYTES]; /* IPv6, or IPv4 mapped into ::ffff:0:0/96 */
    u8 remote_address[ADDRESS_BYTES];
    char command[COMMAND_BYTES]; /* task name, NUL padded */
    union {
        struct stages stages;
        struct quality quality; /* of EVENT_QUALITY */
    };
};

enum event_kind {
    EVENT_CONNECT = 1,
    EVENT_ACCEPT = 2,
    EVENT_CLOSE = 3,
    EVENT_READ = 4,
    EVENT_WRITE = 5,
    EVENT_CLOSE_RANGE = 6,
    EVENT_PROCESS_EXIT = 7,
    EVENT_LISTEN = 8,
    EVENT_LISTEN_END = 9,
    EVENT_LATE_WRITE = 10,
    EVENT_LATE_READ = 11,
    EVENT_QUALITY = 12,
};

/* Of these the process is read from /proc: the others are of connections that are known, or end. */
#define NAMING_EVENTS (1 << EVENT_CONNECT | 1 << EVENT_ACCEPT | 1 << EVENT_READ | 1 << EVENT_WRITE | 1 << EVENT_LISTEN)

enum system_call {
    CALL_NONE = 0,
    CALL_READ = 1,
    CALL_READV = 2,
    CALL_RECVFROM = 3,
    CALL_RECVMSG = 4,
    CALL_RECVMMSG = 5,
    CALL_PREADV2 = 6,
    CALL_SPLICE_READ = 7,
    CALL_WRITE = 16,
    CALL_WRITEV = 17,
    CALL_SENDTO = 18,
    CALL_SENDMSG = 19,
    CALL_SENDMMSG = 20,
    CALL_PWRITEV2 = 21,
    CALL_SENDFILE = 22,
    CALL_SPLICE_WRITE = 23,
};

enum role {
    ROLE_CLIENT = 0,
    ROLE_SERVER = 1,
};

enum event_flag {
    FLAG_NONBLOCKING = 1,
    FLAG_LAST_REFERENCE = 2,
    FLAG_PACKAGES_COUNTED = 4,
};

#endif
