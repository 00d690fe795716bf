/* `udp`: a kernel socket, the baseline. A frame is the payload of a datagram. */
#include "backend.h"

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    tg_port base;
    uint8_t *data;
    uint32_t *free[2]; /* stacks of slots: 0 to send (completion), 1 to receive (fill) */
    uint32_t free_count[2];
    uint32_t ring, shift;
    struct mmsghdr *messages; /* TG_BURST_MAX of each */
    struct iovec *parts;
} udp_port;

static int option(tg_port *port, int level, int name, int value, const char *step) {
    return setsockopt(port->fd, level, name, &value, sizeof value) < 0 ? tg_fail(port, errno, step, (uint64_t)value) : 0;
}

static int udp_open_port(tg_port *port, const tg_config *c) {
    udp_port *u = (udp_port *)port;
    int result;
    port->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | (c->wait_ms ? 0 : SOCK_NONBLOCK), 0);
    if (port->fd < 0)
        return tg_fail(port, errno, "socket", 0);
    if (c->name[0] && setsockopt(port->fd, SOL_SOCKET, SO_BINDTODEVICE, c->name, (socklen_t)strlen(c->name)) < 0)
        return tg_fail(port, errno, "bind to interface", 0);
    /* As much as the ring may hold; without CAP_NET_ADMIN the kernel gives what net.core.rmem_max allows. */
    uint64_t wanted = (uint64_t)c->ring * c->frame_bytes;
    int bytes_each_way = wanted < (64u << 20) ? (int)wanted : 64 << 20;
    if (setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes_each_way, sizeof(int)) < 0 &&
        (result = option(port, SOL_SOCKET, SO_RCVBUF, bytes_each_way, "buffer")) < 0)
        return result;
    if (setsockopt(port->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes_each_way, sizeof(int)) < 0 &&
        (result = option(port, SOL_SOCKET, SO_SNDBUF, bytes_each_way, "buffer")) < 0)
        return result;
    if (c->busy_poll_us && (result = option(port, SOL_SOCKET, SO_BUSY_POLL, (int)c->busy_poll_us, "busy poll")) < 0)
        return result;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(c->local_port), .sin_addr.s_addr = c->local_ip};
    if (bind(port->fd, (struct sockaddr *)&at, sizeof at) < 0)
        return tg_fail(port, errno, "bind", c->local_port);
    if (c->remote_port) {
        at.sin_port = htons(c->remote_port);
        at.sin_addr.s_addr = c->remote_ip;
        if (connect(port->fd, (struct sockaddr *)&at, sizeof at) < 0)
            return tg_fail(port, errno, "connect", c->remote_port);
    }
    if (c->wait_ms) {
        struct timeval t = {0, port->wait_ms * 1000};
        if (setsockopt(port->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0)
            return tg_fail(port, errno, "timeout", c->wait_ms);
    }
    u->ring = c->ring;
    u->shift = (uint32_t)__builtin_ctz(c->frame_bytes);
    size_t bytes = (size_t)2 * c->ring << u->shift;
    u->data = aligned_alloc(4096, (bytes + 4095u) & ~(size_t)4095u);
    u->messages = calloc(TG_BURST_MAX, sizeof *u->messages);
    u->parts = calloc(TG_BURST_MAX, sizeof *u->parts);
    u->free[0] = calloc(c->ring, sizeof(uint32_t));
    u->free[1] = calloc(c->ring, sizeof(uint32_t));
    if (!u->data || !u->messages || !u->parts || !u->free[0] || !u->free[1])
        return tg_fail(port, ENOMEM, "memory", bytes);
    memset(u->data, 0, bytes); /* touched here, so that no frame pays for a page fault */
    if ((result = tg_states_new(port, 2 * c->ring)) < 0)
        return result;
    for (unsigned way = 0; way < 2; way++) {
        for (uint32_t i = 0; i < c->ring; i++) {
            uint32_t slot = (way + 1) * c->ring - 1 - i;
            u->free[way][i] = slot;
            port->states[slot] = way ? TG_FILL : TG_COMPLETION;
        }
        u->free_count[way] = c->ring;
    }
    for (unsigned i = 0; i < TG_BURST_MAX; i++) {
        u->messages[i].msg_hdr.msg_iov = &u->parts[i];
        u->messages[i].msg_hdr.msg_iovlen = 1;
    }
    port->room = c->frame_bytes;
    port->min_frame = 0;
    port->max_frame = port->room < 65507u ? port->room : 65507u;
    snprintf(port->mode, sizeof port->mode, "%s", c->wait_ms ? "blocking" : "spinning");
    return 0;
}

static inline uint8_t *slot_data(udp_port *u, uint32_t slot) { return u->data + ((size_t)slot << u->shift); }

static int udp_check(tg_port *port) {
    int pending = 0;
    socklen_t size = sizeof pending;
    getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &pending, &size);
    if (pending == ECONNREFUSED)
        return tg_fail(port, EPIPE, "peer", 0);
    return pending ? tg_fail(port, pending, "socket", 0) : 0;
}

static int receive_failed(tg_port *port, int error) {
    if (error == EAGAIN || error == EWOULDBLOCK)
        return 0;
    if (error == ECONNREFUSED) /* an ICMP answer to what was sent: nobody listens there */
        return tg_fail(port, EPIPE, "peer", 0);
    return tg_fail(port, error, "receive", 0);
}

static int udp_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    udp_port *u = (udp_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    n = n > u->free_count[1] ? u->free_count[1] : n;
    if (n == 0)
        return 0;
    int flags = MSG_TRUNC | (port->wait_ms ? 0 : MSG_DONTWAIT);
    uint32_t *top = &u->free[1][u->free_count[1]];
    int got;
    if (n == 1) {
        ssize_t len = recv(port->fd, slot_data(u, top[-1]), port->room, flags);
        if (len < 0)
            return receive_failed(port, errno);
        u->messages[0].msg_len = (unsigned)len;
        got = 1;
    } else {
        for (unsigned i = 0; i < n; i++)
            u->parts[i] = (struct iovec){slot_data(u, top[-1 - (int)i]), port->room};
        got = recvmmsg(port->fd, u->messages, n, flags | MSG_WAITFORONE, NULL);
        if (got < 0)
            return receive_failed(port, errno);
    }
    unsigned kept = 0, used = (unsigned)got;
    uint32_t unused[TG_BURST_MAX];
    for (unsigned i = 0; i < used; i++) {
        uint32_t slot = top[-1 - (int)i];
        if (TG_UNLIKELY(u->messages[i].msg_len > port->room)) {
            port->counted.rx_oversize++;
            unused[i - kept] = slot; /* its slot stays free */
            continue;
        }
        tg_own(port, slot, TG_FILL, TG_USER);
        frames[kept++] = (tg_frame){slot_data(u, slot), u->messages[i].msg_len, slot, 0};
        port->counted.rx_bytes += u->messages[i].msg_len;
    }
    u->free_count[1] -= used;
    for (unsigned i = 0; i < used - kept; i++)
        u->free[1][u->free_count[1]++] = unused[i];
    port->counted.rx_frames += kept;
    return (int)kept;
}

static int udp_alloc(tg_port *port, tg_frame *frames, unsigned n) {
    udp_port *u = (udp_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    unsigned i;
    for (i = 0; i < n && u->free_count[0]; i++) {
        uint32_t slot = u->free[0][--u->free_count[0]];
        tg_own(port, slot, TG_COMPLETION, TG_USER);
        frames[i] = (tg_frame){slot_data(u, slot), port->room, slot, 0};
    }
    if (i < n)
        port->counted.tx_full++;
    return (int)i;
}

static void put_back(udp_port *u, uint32_t slot, unsigned from) {
    unsigned way = slot >= u->ring;
    tg_own(&u->base, slot, from, way ? TG_FILL : TG_COMPLETION);
    u->free[way][u->free_count[way]++] = slot;
}

static int udp_release(tg_port *port, const tg_frame *frames, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (frames[i].slot >= port->slots || tg_owner(port, frames[i].slot) != TG_USER)
            return tg_fail(port, EINVAL, "ownership", frames[i].slot);
        put_back((udp_port *)port, frames[i].slot, TG_USER);
    }
    return 0;
}

static inline void set_owner(tg_port *port, uint32_t slot, uint32_t owner) {
    port->states[slot] = (port->states[slot] & ~7u) | owner;
}

static int udp_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    udp_port *u = (udp_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    unsigned ready;
    int result = 0, sent;
    for (ready = 0; ready < n; ready++) {
        if ((result = tg_sendable(port, &frames[ready])) < 0)
            break;
        u->parts[ready] = (struct iovec){frames[ready].data, frames[ready].len};
        set_owner(port, frames[ready].slot, TG_TX); /* so that the same frame cannot be in one burst twice */
    }
    if (ready == 0)
        return result;
    port->counted.tx_kicks++;
    if (ready == 1)
        sent = send(port->fd, frames[0].data, frames[0].len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1;
    else
        sent = sendmmsg(port->fd, u->messages, ready, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = errno;
    for (unsigned i = sent < 0 ? 0 : (unsigned)sent; i < ready; i++)
        set_owner(port, frames[i].slot, TG_USER);
    if (sent < 0) {
        if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR) {
            port->counted.tx_full++;
            return 0;
        }
        if (error == ECONNREFUSED)
            return tg_fail(port, EPIPE, "peer", 0);
        return tg_fail(port, error, "send", frames[0].len);
    }
    for (int i = 0; i < sent; i++) {
        port->states[frames[i].slot] += 8; /* a new generation: the kernel has copied it by now */
        put_back(u, frames[i].slot, TG_TX);
        port->counted.tx_bytes += frames[i].len;
    }
    port->counted.tx_frames += (unsigned)sent;
    if ((unsigned)sent < ready)
        port->counted.tx_full++;
    return sent;
}

static int udp_reclaim(tg_port *port) {
    (void)port;
    return 0;
}

static void udp_stats(tg_port *port, tg_stats *stats) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof memory;
    *stats = port->counted;
    /* What the socket's buffer had no room for, as the kernel counts it. */
    if (port->fd >= 0 && getsockopt(port->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0)
        stats->rx_dropped += memory[SK_MEMINFO_DROPS];
}

static void udp_close(tg_port *port) {
    udp_port *u = (udp_port *)port;
    if (port->fd >= 0)
        close(port->fd);
    free(u->data);
    free(u->messages);
    free(u->parts);
    free(u->free[0]);
    free(u->free[1]);
}

const tg_ops tg_udp_ops = {
    .name = "udp",
    .size = sizeof(udp_port),
    .open = udp_open_port,
    .recv_burst = udp_recv_burst,
    .alloc = udp_alloc,
    .send_burst = udp_send_burst,
    .release = udp_release,
    .reclaim = udp_reclaim,
    .check = udp_check,
    .stats = udp_stats,
    .close = udp_close,
};
