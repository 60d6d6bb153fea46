/* The system calls that move bytes through a socket.
 *
 * What:  the read and write families at system call entry, and the exit of all that return a number of bytes; that of
 *        those which return a number of messages is in transfer_messages.c.
 * Why there: system calls are the ABI.
 * Lost without it: the read and write logs of the calls that are not hooked.
 *
 * A look at data that stays queued (MSG_PEEK) and reports of the error queue (MSG_ERRQUEUE) move no payload.
 */

#define MESSAGE_PEEK 0x2
#define MESSAGE_ERROR_QUEUE 0x2000
#define MESSAGE_OUT_OF_BAND 0x1
#define MESSAGE_TRUNCATE 0x20 /* TCP: what is received is thrown away */

static __always_inline int begin_plain(int descriptor, u8 kind, u8 system_call, const void *at, u64 vectors)
{
    begin_transfer(descriptor, kind, system_call, NULL, PEER_OF_SOCKET, (struct buffers){at, vectors});
    return 0;
}

static __always_inline int begin_addressed(int descriptor, u8 kind, u8 system_call, const void *address, u8 peer,
                                           const void *buffer)
{
    begin_transfer(descriptor, kind, system_call, address, peer, (struct buffers){buffer, PLAIN_BUFFER});
    return 0;
}

/* Ends every call but those that return messages. */
static __always_inline int exit_transfer(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);

    if (!transfer)
        return 0;
    if (result > 0) {
        transfer->messages = 1;
        end_transfer(transfer, pid_tgid, result, SUBPROGRAM(walk_transfer));
    } else {
        give_sent_back(transfer);
    }
    transfers.delete(&pid_tgid);
    return 0;
}

static __always_inline int enter_read(int descriptor, const void *buffer)
{
    return begin_plain(descriptor, EVENT_READ, CALL_READ, buffer, PLAIN_BUFFER);
}

static __always_inline int enter_readv(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_READ, CALL_READV, vector, vectors);
}

static __always_inline int enter_preadv2(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_READ, CALL_PREADV2, vector, vectors);
}

static __always_inline int enter_recvfrom(int descriptor, const void *buffer, u32 flags, const void *address)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    if (flags & (MESSAGE_TRUNCATE | MESSAGE_OUT_OF_BAND))
        buffer = NULL;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVFROM, address, PEER_AT_ADDRESS, buffer);
}

static __always_inline int enter_recvmsg(int descriptor, const void *header, u32 flags)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVMSG, header,
                           flags & (MESSAGE_TRUNCATE | MESSAGE_OUT_OF_BAND) ? PEER_AT_HIDDEN_HEADER : PEER_AT_HEADER,
                           NULL);
}

static __always_inline int enter_recvmmsg(int descriptor, const void *headers, u32 flags)
{
    if (flags & (MESSAGE_PEEK | MESSAGE_ERROR_QUEUE))
        return 0;
    return begin_addressed(descriptor, EVENT_READ, CALL_RECVMMSG, headers, PEER_AT_HEADERS, NULL);
}

static __always_inline int enter_write(int descriptor, const void *buffer)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_WRITE, buffer, PLAIN_BUFFER);
}

static __always_inline int enter_writev(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_WRITEV, vector, vectors);
}

static __always_inline int enter_pwritev2(int descriptor, const void *vector, u32 vectors)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_PWRITEV2, vector, vectors);
}

static __always_inline int enter_sendto(int descriptor, const void *buffer, u32 flags, const void *address)
{
    if (flags & MESSAGE_OUT_OF_BAND)
        buffer = NULL;
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDTO, address, PEER_AT_ADDRESS, buffer);
}

static __always_inline int enter_sendmsg(int descriptor, const void *header)
{
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDMSG, header, PEER_AT_HEADER, NULL);
}

static __always_inline int enter_sendmmsg(int descriptor, const void *headers)
{
    return begin_addressed(descriptor, EVENT_WRITE, CALL_SENDMMSG, headers, PEER_AT_HEADERS, NULL);
}

static __always_inline int enter_sendfile(int descriptor)
{
    return begin_plain(descriptor, EVENT_WRITE, CALL_SENDFILE, NULL, PLAIN_BUFFER);
}

/* One end of a splice is a pipe, so at most one is a socket. */
static __always_inline int enter_splice(int descriptor_in, int descriptor_out)
{
    struct buffers none = {};

    if (!begin_transfer(descriptor_in, EVENT_READ, CALL_SPLICE_READ, NULL, PEER_OF_SOCKET, none))
        begin_plain(descriptor_out, EVENT_WRITE, CALL_SPLICE_WRITE, NULL, PLAIN_BUFFER);
    return 0;
}
