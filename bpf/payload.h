/* What is captured of the bytes that applications exchange: its records, and what is remembered between two calls.
 *
 * What:  `struct fragment` heads each record of the ring `payloads`; behind it stand the bytes that were captured. A
 *        call on a connection whose protocol is known makes at least one, also when none of its bytes is captured: it
 *        says how many passed. `struct conversation` is kept per connection (inside struct watched), or per TLS session.
 * Why:   parsing needs the heads of messages, and of bodies only how long they are. So bodies are counted, not copied:
 *        see payload.c for which bytes are left out.
 * Lost without it: the application's calls (protocolLog). Connections and transfers are told all the same.
 *
 * Records have one of three lengths, because a ring wants to know at load how much a program asks for. What stands
 * behind the captured bytes of a record is whatever was there: readers must not look beyond `length`.
 */
#ifndef PYROVER_PAYLOAD_H
#define PYROVER_PAYLOAD_H

#define FRAGMENT_SMALL 128
#define FRAGMENT_MEDIUM 1024
#define FRAGMENT_LARGE 4096

#define FRAME_HEADER 9
#define LONGEST_BUFFER 0x7ffff000 /* no call moves more: MAX_RW_COUNT */

enum conversation_protocol {
    CONVERSATION_UNKNOWN = 0,
    CONVERSATION_HTTP1 = 1,
    CONVERSATION_HTTP2 = 2,
    CONVERSATION_TLS = 3,   /* of a socket: its plaintext is another conversation */
    CONVERSATION_OTHER = 4, /* looked at for long enough, or user space wants no more of it */
};

enum fragment_flag {
    FRAGMENT_LAST = 1, /* of its call */
};

struct fragment {
    u64 start_ns;   /* CLOCK_MONOTONIC at the call's entry: that of its event, too */
    u64 end_ns;     /* at its exit */
    u64 inode;      /* of the socket */
    u64 socket;     /* struct sock *, as a number */
    u64 session;    /* of TLS: what tells it from others of the process; 0 for plain text */
    u64 position;   /* of the call's first byte in its stream; in plain text the lower 32 bits, as TCP numbers bytes */
    u64 call_bytes; /* bytes that the call moved */
    u64 offset;     /* of this fragment's first byte from the call's first one */
    u32 process;
    u32 thread;
    u32 length; /* bytes that follow */
    u8 kind;    /* EVENT_READ or EVENT_WRITE */
    u8 protocol;
    u8 flags;
    u8 unused;
};

struct small_fragment {
    struct fragment about;
    u8 bytes[FRAGMENT_SMALL];
};

struct medium_fragment {
    struct fragment about;
    u8 bytes[FRAGMENT_MEDIUM];
};

struct large_fragment {
    struct fragment about;
    u8 bytes[FRAGMENT_LARGE];
};

/* One direction of a conversation. */
struct direction {
    u64 captured;     /* HTTP/1: bytes since the last message began, or the other side had its turn */
    u64 asks;         /* HTTP/1: whether the last message that a call began with is a request that has no body */
    u64 asked;        /* HTTP/1: bytes of such requests, and of what followed them, since the other side had its turn */
    u64 allowed;      /* HTTP/1: bytes of answers to those that are captured of a turn */
    u64 left;         /* HTTP/2: bytes of the current frame that are still to come */
    u64 leaves_out;   /* HTTP/2: whether those are left out */
    u64 is_lost;      /* HTTP/2: it is not known where the next frame begins */
    u64 header_bytes; /* HTTP/2: how many bytes of the next frame's header have come */
    u8 header[32];    /* more than FRAME_HEADER, so that the verifier need not relate place and length */
    u64 position;     /* TLS: bytes so far */
};

struct conversation {
    u8 protocol; /* enum conversation_protocol */
    u8 attempts; /* calls that were looked at in vain */
    u8 turn;     /* kind of the last call */
    u8 switches; /* HTTP/1: the last message that a call began with makes the connection something else */
    u8 unused[4];
    struct direction directions[2]; /* by the last bit of the kind of call: EVENT_READ, EVENT_WRITE */
};

/* A call whose bytes are captured: what its fragments say, and how far it has been walked. Lives in a map's memory, which
 * the verifier does not track: each turn of a loop over it looks like the one before. */
struct capture {
    u64 start_ns;
    u64 end_ns;
    u64 inode;
    u64 socket;
    u64 session;
    u64 position;
    u64 call_bytes;
    u8 kind;
    u8 protocol;
    u8 found; /* enum conversation_protocol of its first bytes */
    u8 unused;
    u32 gathered;       /* of the bytes that are pending, how many have been copied */
    u64 vector;         /* user pointer to the next struct iovec */
    u64 segment;        /* user pointer to the next byte of the current buffer */
    u64 segment_bytes;  /* from there on */
    u64 left;           /* bytes of the call from there on */
    u64 pending;        /* user pointer to the first of the bytes that are to be sent next */
    u64 pending_offset; /* from the call's first byte */
    u64 pending_vector; /* user pointer to the struct iovec behind that of the first bytes */
    u32 pending_bytes;  /* how many there are */
    u32 pending_first;  /* how many of them follow the first one; the others are in the next buffers */
    u32 pending_others; /* how many buffers have been gone on to since */
    u32 vectors;        /* how many struct iovec there are from the next one on */
    u64 keep; /* HTTP/1: how many of the first bytes are captured; HTTP/2: up to where, once frames are lost */
    u64 tail; /* HTTP/1: from where on the last bytes are; HTTP/2: whether some were left out for that */
};

BPF_RINGBUF_OUTPUT(payloads, SIZED_AT_LOAD);

/* struct sock * -> the inode of the connection of which user space wants no more bytes: another one may have that struct sock
 * by the time that user space says so. For those of a TLS session the sum of that and the session's address in its process. */
BPF_HASH(muted_sockets, u64, u64, SIZED_AT_LOAD);

#endif
