/* From a file descriptor to the socket behind it, and from a socket to the addresses in an event.
 *
 * What:  descriptor -> struct file -> inode of type S_IFSOCK -> struct socket -> struct sock, for TCP and UDP
 *        over IPv4 and IPv6. Nothing else ever reaches the ring.
 * Why:   read and write are called on files far more often than on sockets, so the way to "not a socket" is
 *        six reads long and touches no map. The memory of a struct file says by itself what it is (its
 *        inode's type); private_data is followed only after that, never on trust.
 * How:   every field of a kernel struct is read explicitly. BCC rewrites only those dereferences that it
 *        recognises as kernel pointers, and what it misses the verifier refuses.
 * Lost without it: everything but close_range and the exit of a process.
 */
#ifndef PYROVER_SOCKETS_H
#define PYROVER_SOCKETS_H

/* Values of the kernel's ABI, defined here so that no header tree is needed for them. */
#define FILE_TYPE_MASK 0170000
#define FILE_TYPE_SOCKET 0140000
#define FAMILY_UNSPECIFIED 0
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_MPTCP 262
#define STATE_ESTABLISHED 1
#define STATE_SYN_SENT 2
#define STATE_SYN_RECEIVED 3
#define STATE_CLOSE 7
#define STATE_LISTEN 10
#define SOCKET_UNCONNECTED 1
#define PORT_BOUND_BY_USER 8 /* SOCK_BINDPORT_LOCK */

/* struct sockaddr_in and struct sockaddr_in6, as user space hands them over. */
struct socket_address {
    u16 family;
    __be16 port;
    union {
        u8 ipv4[4];
        struct {
            u32 flow_information;
            u8 bytes[ADDRESS_BYTES];
        } ipv6;
    };
};

/* What a descriptor leads to. */
struct found_socket {
    struct file *file;
    struct inode *inode;
    struct socket *socket;
    struct sock *sk;
    u32 protocol;
};

static __always_inline struct file *file_of_descriptor(int descriptor)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct files_struct *files = NULL;
    struct fdtable *table = NULL;
    struct fdtable descriptors = {};
    struct file *file = NULL;

    bpf_probe_read_kernel(&files, sizeof(files), &task->files);
    bpf_probe_read_kernel(&table, sizeof(table), &files->fdt);
    bpf_probe_read_kernel(&descriptors, sizeof(descriptors), table);
    if (descriptor >= 0 && (u32)descriptor < descriptors.max_fds)
        bpf_probe_read_kernel(&file, sizeof(file), &descriptors.fd[descriptor]);
    return file;
}

/* Whether the descriptor is a TCP or UDP socket over IPv4 or IPv6; what it leads to is in `found`. */
static __always_inline int find_socket(int descriptor, struct found_socket *found)
{
    u16 mode = 0;
    u16 family = 0;
    u16 protocol = 0;

    found->inode = NULL;
    found->socket = NULL;
    found->sk = NULL;
    found->file = file_of_descriptor(descriptor);
    if (!found->file)
        return 0;
    bpf_probe_read_kernel(&found->inode, sizeof(found->inode), &found->file->f_inode);
    bpf_probe_read_kernel(&mode, sizeof(mode), &found->inode->i_mode);
    if ((mode & FILE_TYPE_MASK) != FILE_TYPE_SOCKET)
        return 0;
    bpf_probe_read_kernel(&found->socket, sizeof(found->socket), &found->file->private_data);
    bpf_probe_read_kernel(&found->sk, sizeof(found->sk), &found->socket->sk);
    bpf_probe_read_kernel(&family, sizeof(family), &found->sk->__sk_common.skc_family);
    if (family != FAMILY_INET && family != FAMILY_INET6)
        return 0;
    bpf_probe_read_kernel(&protocol, sizeof(protocol), &found->sk->sk_protocol);
    found->protocol = protocol == PROTOCOL_MPTCP ? PROTOCOL_TCP : protocol;
    return found->protocol == PROTOCOL_TCP || found->protocol == PROTOCOL_UDP;
}

/* The filter comes after the descriptor: most calls are on files, and a look at the filter costs them a tenth of what
 * the way to "not a socket" does. */
static __always_inline int find_watched_socket(int descriptor, u64 pid_tgid, struct found_socket *found)
{
    return find_socket(descriptor, found) && is_watched(pid_tgid);
}

static __always_inline void map_ipv4(u8 *address, const void *ipv4)
{
    u32 *words = (u32 *)address;

    words[0] = 0;
    words[1] = 0;
    words[2] = bpf_htonl(0xffff);
    __builtin_memcpy(&words[3], ipv4, 4);
}

/* Both addresses and ports, as the socket has them now; zero where it has none. */
static __always_inline void describe_addresses(struct event *event, struct sock *sk)
{
    struct sock_common common = {};
    __be16 local_port = 0;

    /* One read for everything but the local port: skc_num, its copy, is cleared before the state change of a failed
     * connect is announced; inet_sport is not. */
    bpf_probe_read_kernel(&common, sizeof(common), &sk->__sk_common);
    bpf_probe_read_kernel(&local_port, sizeof(local_port), &((struct inet_sock *)sk)->inet_sport);
    event->local_port = bpf_ntohs(local_port);
    event->remote_port = bpf_ntohs(common.skc_dport);
    if (common.skc_family == FAMILY_INET) {
        map_ipv4(event->local_address, &common.skc_rcv_saddr);
        map_ipv4(event->remote_address, &common.skc_daddr);
    } else {
        __builtin_memcpy(event->local_address, &common.skc_v6_rcv_saddr, ADDRESS_BYTES);
        __builtin_memcpy(event->remote_address, &common.skc_v6_daddr, ADDRESS_BYTES);
    }
}

static __always_inline u8 role_of(struct sock *sk, u32 protocol)
{
    if (protocol == PROTOCOL_TCP) {
        /* Set by listen and inherited by every accepted socket. */
        u32 backlog = 0;

        bpf_probe_read_kernel(&backlog, sizeof(backlog), &sk->sk_max_ack_backlog);
        return backlog ? ROLE_SERVER : ROLE_CLIENT;
    }
#ifdef SOCKET_USER_LOCKS_OFFSET
    /* A UDP socket whose owner named its port waits for others; one with a port of the kernel's choice asks others. */
    u8 locks = 0;

    bpf_probe_read_kernel(&locks, sizeof(locks), (void *)sk + SOCKET_USER_LOCKS_OFFSET);
    if ((locks >> SOCKET_USER_LOCKS_SHIFT) & PORT_BOUND_BY_USER)
        return ROLE_SERVER;
#endif
    return ROLE_CLIENT;
}

/* Inode number of a network namespace; 0 where the kernel has but one. */
static __always_inline u32 number_of_namespace(const struct net *net)
{
    unsigned int number = 0;
#ifdef HAVE_NETWORK_NAMESPACES
    bpf_probe_read_kernel(&number, sizeof(number), &net->ns.inum);
#endif
    return number;
}

static __always_inline u32 namespace_of(const struct sock *sk)
{
    struct net *net = NULL;
#ifdef HAVE_NETWORK_NAMESPACES
    bpf_probe_read_kernel(&net, sizeof(net), &sk->__sk_common.skc_net.net);
#endif
    return number_of_namespace(net);
}

/* Everything an event says about its socket, as of this moment. */
static __always_inline void describe_socket(struct event *event, struct inode *inode, struct sock *sk, u32 protocol)
{
    unsigned long number = 0;

    bpf_probe_read_kernel(&number, sizeof(number), &inode->i_ino);
    event->inode = number;
    event->network_namespace = namespace_of(sk);
    event->protocol = protocol;
    event->role = role_of(sk, protocol);
    describe_addresses(event, sk);
}

/* The peer that user space names. Returns the family read, or -1 when the memory could not be read. */
static __always_inline int read_remote_address(struct event *event, const void *user_address)
{
    struct socket_address address = {};
    int family;

    /* A sockaddr_in is shorter than a sockaddr_in6 and may end at the end of readable memory. */
    if (bpf_probe_read_user(&address, 16, user_address))
        return -1;
    family = address.family;
    if (family == FAMILY_INET) {
        map_ipv4(event->remote_address, address.ipv4);
        event->remote_port = bpf_ntohs(address.port);
    } else if (family == FAMILY_INET6) {
        if (bpf_probe_read_user(&address, sizeof(address), user_address))
            return -1;
        __builtin_memcpy(event->remote_address, address.ipv6.bytes, ADDRESS_BYTES);
        event->remote_port = bpf_ntohs(address.port);
    }
    return family;
}

#endif
