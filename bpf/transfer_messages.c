/* The end of calls that move several messages: recvmmsg and sendmmsg.
 *
 * What:  exit of both. They return a number of messages: their bytes are in the headers. On a connected socket they are
 *        one transfer and make one event with the sum; on an unconnected one each message has its own peer and makes its
 *        own event.
 * Lost without it: the read and write logs of these two calls.
 */

#define MESSAGES_SUMMED 1024 /* the kernel takes no more: UIO_MAXIOV */
#define MESSAGES_APART 64    /* one event each; the rest is counted as lost. 6.1 refuses 128 as too complex */

/* Sum and number are kept in the map's memory, which the verifier does not track: in a register their bounds would change
 * with every turn, and each way out of the loop would be verified again. */
static __always_inline void end_message_sum(struct transfer *transfer, u64 pid_tgid, long messages)
{
    const struct mmsghdr *headers = (const void *)transfer->address;
    int unreadable = 0;

    transfer->messages = messages;
    for (int i = 0; i < MESSAGES_SUMMED; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        unreadable |= bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len);
        transfer->bytes += length;
    }
    if (unreadable)
        count(INCOMPLETE_BYTES_UNREADABLE, 1);
    if (transfer->bytes)
        end_transfer(transfer, pid_tgid, transfer->bytes, NULL);
}

static __always_inline void end_messages_apart(struct transfer *transfer, struct event *event, long messages)
{
    const struct mmsghdr *headers = (const void *)transfer->address;
    u64 flags = wakeup_for(event, messages); /* once: in the loop it would be verified with each turn */

    for (int i = 0; i < MESSAGES_APART; i++) {
        u32 length = 0;

        if (i >= messages)
            break;
        if (bpf_probe_read_user(&length, sizeof(length), &headers[i].msg_len))
            count(INCOMPLETE_BYTES_UNREADABLE, 1);
        if (!length)
            continue;
        event->bytes = length;
        event->remote_port = 0;
        read_header(event, &headers[i].msg_hdr);
        send_with(event, flags);
        __builtin_memset(&event->stages, 0, sizeof(event->stages)); /* told with the first message */
    }
    if (messages > MESSAGES_APART)
        count(LOST_MESSAGES_BEYOND_BOUND, messages - MESSAGES_APART);
}

/* The event is built in the map's memory: on the stack the verifier would track each of its fields, and verify the loop
 * again for each way of describing the stages. A thread that is in a transfer is in no other call. */
static __always_inline void end_messages_of_peers(struct transfer *transfer, u64 pid_tgid, long messages)
{
    struct call call = {};
    struct call *kept;

    describe_transfer(&call.event, transfer, pid_tgid);
    remember_call(pid_tgid, &call);
    kept = calls.lookup(&pid_tgid);
    if (!kept)
        return;
    describe_stages(&kept->event, transfer->sk, messages);
    end_messages_apart(transfer, &kept->event, messages);
    calls.delete(&pid_tgid);
}

static __always_inline int exit_messages(long messages)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);
    __be16 remote_port = 0;

    if (!transfer)
        return 0;
    if (messages <= 0 || transfer->peer != PEER_AT_HEADERS) {
        give_sent_back(transfer);
        goto done;
    }
    bpf_probe_read_kernel(&remote_port, sizeof(remote_port), &transfer->sk->__sk_common.skc_dport);
    if (transfer->protocol == PROTOCOL_UDP && !remote_port)
        end_messages_of_peers(transfer, pid_tgid, messages);
    else
        end_message_sum(transfer, pid_tgid, messages);
done:
    transfers.delete(&pid_tgid);
    return 0;
}
