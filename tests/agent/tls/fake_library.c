/* A library that has the functions of a TLS library, and does with a session what a test asks for.
 *
 * A record is a header of five bytes, as TLS has it, and the plain text. */
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 5
#define ROOM 65536

struct session {
    int descriptor;         /* of the socket that the library uses itself; -1: the caller moves the records */
    int text_length;        /* what the next reads give, where there is no socket */
    struct session *within; /* through which this one is sent */
    int leaps;              /* whether the next read ends in a leap, without a return */
    int lingers;            /* descriptor of a pipe from which a write wants a byte before it returns; 0: none */
    jmp_buf leap;
    char text[ROOM];
};

const size_t text_at = offsetof(struct session, text);

static const char record[HEADER] = {0x17, 3, 3, 0, 0};

int SSL_write(struct session *session, const void *text, int length);

int SSL_do_handshake(struct session *session)
{
    char hello[HEADER + 1] = {0x16, 3, 1, 0, 1, 1};

    if (session->descriptor >= 0)
        send(session->descriptor, hello, sizeof(hello), 0);
    return 1;
}

int SSL_connect(struct session *session)
{
    return SSL_do_handshake(session) + 0;
}

int SSL_accept(struct session *session)
{
    return SSL_do_handshake(session) + 0;
}

int SSL_read(struct session *session, void *text, int length)
{
    char buffer[HEADER + ROOM];
    ssize_t got;

    if (session->leaps)
        longjmp(session->leap, 1);
    if (session->descriptor < 0) {
        length = session->text_length < length ? session->text_length : length;
        memcpy(text, session->text, length);
        return length;
    }
    got = recv(session->descriptor, buffer, sizeof(buffer), 0);
    if (got <= HEADER)
        return -1;
    memcpy(text, buffer + HEADER, got - HEADER);
    return got - HEADER;
}

int SSL_read_ex(struct session *session, void *text, size_t length, size_t *got)
{
    int result = SSL_read(session, text, length);

    if (result <= 0)
        return 0;
    *got = result;
    return 1;
}

int SSL_write(struct session *session, const void *text, int length)
{
    char buffer[HEADER + ROOM];

    memcpy(buffer, record, HEADER);
    memcpy(buffer + HEADER, text, length);
    if (session->within)
        return SSL_write(session->within, buffer, HEADER + length) - HEADER;
    if (session->descriptor >= 0 && send(session->descriptor, buffer, HEADER + length, 0) < 0)
        return -1;
    if (session->lingers && read(session->lingers, buffer, 1) != 1)
        return -1;
    return length;
}

int SSL_write_ex(struct session *session, const void *text, size_t length, size_t *sent)
{
    int result = SSL_write(session, text, length);

    if (result <= 0)
        return 0;
    *sent = result;
    return 1;
}

ssize_t SSL_sendfile(struct session *session, int descriptor, off_t offset, size_t size, int flags)
{
    char buffer[HEADER + ROOM] = {0x17, 3, 3};

    (void)descriptor, (void)offset, (void)flags;
    return session->descriptor >= 0 && send(session->descriptor, buffer, HEADER + size, 0) < 0 ? -1 : (ssize_t)size;
}

/* GnuTLS does the same with two functions that return what they have sent. */
ssize_t gnutls_record_send2(struct session *session, const void *text, size_t length, size_t pad, unsigned flags)
{
    (void)pad, (void)flags;
    return SSL_write(session, text, length);
}

ssize_t gnutls_record_send(struct session *session, const void *text, size_t length)
{
    return gnutls_record_send2(session, text, length, 0, 0) + 0;
}

ssize_t gnutls_record_recv(struct session *session, void *text, size_t length)
{
    return SSL_read(session, text, length);
}

int gnutls_handshake(struct session *session)
{
    return SSL_do_handshake(session) - 1;
}

void gnutls_deinit(struct session *session)
{
    session->text_length = 0;
}

void SSL_free(struct session *session)
{
    session->text_length = 0;
}

/* A read that is left by a leap. */
int leap_out_of_a_read(struct session *session)
{
    char text[16];
    int leapt = 0;

    session->leaps = 1;
    if (setjmp(session->leap))
        leapt = 1;
    else
        SSL_read(session, text, sizeof(text));
    session->leaps = 0;
    return leapt;
}
