/* `packet`: AF_PACKET with a ring each way that is mapped into the process (TPACKET_V2: packet_mmap(7), the kernel's
 * Documentation/networking/packet_mmap.rst). V3 is not used: it hands over whole blocks and holds frames back for 1 ms.
 *
 * A received frame is read where the kernel put it. A frame to send is copied into the transmit ring, because the
 * kernel takes that ring strictly in order, while users may send in any order, or never.
 */
#include "backend.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define VLAN_ROOM 16u /* in front of received data: the kernel takes a VLAN tag out of the frame, we put it back */

typedef struct {
    tg_port base;
    uint8_t *rings, *data; /* mapped: receive then transmit; data: slots to send from */
    size_t rings_bytes, data_bytes;
    uint8_t *rx, *tx;
    uint32_t ring, mask, shift;
    uint32_t rx_next, tx_next, tx_done; /* counts; the entry is the count modulo the ring */
    uint32_t *free;
    uint32_t free_count;
    int link_error; /* of frames that were accepted, for the next call */
    uint64_t kernel_drops;
} packet_port;

#define HEAD(base, count, p) ((struct tpacket2_hdr *)((base) + ((size_t)((count) & (p)->mask) << (p)->shift)))
/* What the kernel puts in front of a received frame, at most; see tpacket_rcv. */
#define RX_HEAD (TPACKET2_HDRLEN + 16u + TPACKET_ALIGNMENT + VLAN_ROOM)
#define TX_OFFSET (TPACKET2_HDRLEN - sizeof(struct sockaddr_ll))

static int packet_option(tg_port *port, int name, int value, const char *step) {
    return setsockopt(port->fd, SOL_PACKET, name, &value, sizeof value) < 0 ? tg_fail(port, errno, step, (uint64_t)value)
                                                                             : 0;
}

static int packet_open_port(tg_port *port, const tg_config *c) {
    packet_port *p = (packet_port *)port;
    int result;
    if ((result = tg_link_find(port, c->name)) < 0)
        return result;
    if (c->queue != 0)
        return tg_fail(port, EINVAL, "queue", c->queue);
    /* Protocol 0: nothing arrives before the ring is there and bound to its interface. */
    port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->fd < 0)
        return tg_fail(port, errno, "socket", 0);
    struct tpacket_req ring = {.tp_frame_size = c->frame_bytes, .tp_frame_nr = c->ring};
    ring.tp_block_size = c->frame_bytes > 65536u ? c->frame_bytes : 65536u;
    while ((uint64_t)ring.tp_block_size > (uint64_t)c->frame_bytes * c->ring)
        ring.tp_block_size /= 2;
    if (ring.tp_block_size < 4096u)
        return tg_fail(port, EINVAL, "ring", c->ring);
    ring.tp_block_nr = (unsigned)((uint64_t)c->frame_bytes * c->ring / ring.tp_block_size);
    if ((result = packet_option(port, PACKET_VERSION, TPACKET_V2, "version")) < 0 ||
        (result = packet_option(port, PACKET_RESERVE, VLAN_ROOM, "reserve")) < 0)
        return result;
    /* A frame that the kernel refuses must not jam the ring. Older kernels lack the last option: frames that this
     * host sends on the interface are then seen too, so it is not optional. */
    if ((result = packet_option(port, PACKET_LOSS, 1, "loss")) < 0 ||
        (result = packet_option(port, PACKET_QDISC_BYPASS, 1, "qdisc bypass")) < 0 ||
        (result = packet_option(port, PACKET_IGNORE_OUTGOING, 1, "ignore outgoing")) < 0)
        return result;
    if (setsockopt(port->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0 ||
        setsockopt(port->fd, SOL_PACKET, PACKET_TX_RING, &ring, sizeof ring) < 0)
        return tg_fail(port, errno, "ring", c->ring);
    if (c->busy_poll_us && setsockopt(port->fd, SOL_SOCKET, SO_BUSY_POLL, &c->busy_poll_us, sizeof(int)) < 0)
        return tg_fail(port, errno, "busy poll", c->busy_poll_us);
    p->ring = c->ring;
    p->mask = c->ring - 1;
    p->shift = (uint32_t)__builtin_ctz(c->frame_bytes);
    size_t one = (size_t)c->ring << p->shift;
    p->rings_bytes = 2 * one;
    void *at = mmap(NULL, p->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, port->fd, 0);
    if (at == MAP_FAILED)
        return tg_fail(port, errno, "map", p->rings_bytes);
    p->rings = p->rx = at;
    p->tx = p->rx + one;
    p->data_bytes = one;
    at = mmap(NULL, one, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        return tg_fail(port, errno, "map", one);
    p->data = at;
    /* Slots 0 .. ring - 1 are the memory to send from, ring .. 2 ring - 1 the entries of the receive ring. */
    if ((result = tg_states_new(port, 2 * c->ring)) < 0)
        return result;
    p->free = calloc(c->ring, sizeof *p->free);
    if (p->free == NULL)
        return tg_fail(port, ENOMEM, "memory", c->ring);
    for (uint32_t i = 0; i < c->ring; i++) {
        p->free[i] = c->ring - 1 - i;
        port->states[i] = TG_COMPLETION;
        port->states[c->ring + i] = TG_FILL;
    }
    p->free_count = c->ring;
    port->room = c->frame_bytes - (uint32_t)RX_HEAD;
    port->stamp_clock = "realtime";
    if ((c->flags & TG_PROMISCUOUS) && (result = tg_link_promiscuous(port, port->fd)) < 0)
        return result;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = port->ifindex};
    if (bind(port->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return tg_fail(port, errno, "bind", 0);
    snprintf(port->mode, sizeof port->mode, "TPACKET_V2");
    /* A link that is down now may come up later. */
    result = tg_link_check(port);
    return result == -ENETDOWN ? 0 : result;
}

/* A frame of the receive ring, with its VLAN tag put back; 0 where it was not whole. */
static inline int taken(packet_port *p, struct tpacket2_hdr *h, uint32_t status, uint32_t slot, tg_frame *frame) {
    uint8_t *data = (uint8_t *)h + h->tp_mac;
    uint32_t len = h->tp_snaplen;
    if (TG_UNLIKELY(h->tp_len > len)) {
        p->base.counted.rx_oversize++;
        return 0;
    }
    if (TG_UNLIKELY(status & TP_STATUS_VLAN_VALID)) {
        uint16_t kind = status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : ETH_P_8021Q;
        if (len < 12) {
            p->base.counted.rx_invalid++;
            return 0;
        }
        data -= 4;
        memmove(data, data + 4, 12);
        data[12] = (uint8_t)(kind >> 8);
        data[13] = (uint8_t)kind;
        data[14] = (uint8_t)(h->tp_vlan_tci >> 8);
        data[15] = (uint8_t)h->tp_vlan_tci;
        len += 4;
    }
    *frame = (tg_frame){data, len, slot, (uint64_t)h->tp_sec * 1000000000u + h->tp_nsec};
    return 1;
}

static inline int packet_take(packet_port *p, tg_frame *frames, unsigned n) {
    tg_port *port = &p->base;
    unsigned got = 0;
    while (got < n) {
        uint32_t slot = p->ring + (p->rx_next & p->mask);
        struct tpacket2_hdr *h = HEAD(p->rx, p->rx_next, p);
        /* An entry that the user still holds keeps its TP_STATUS_USER: it is not new. */
        if (tg_owner(port, slot) != TG_FILL)
            break;
        uint32_t status = TG_ACQUIRE(&h->tp_status);
        if (!(status & TP_STATUS_USER)) {
            /* The data come to the next line: fetch it with the news. */
            __builtin_prefetch((const uint8_t *)h + 64);
            __builtin_prefetch((const uint8_t *)h + 128);
            break;
        }
        p->rx_next++;
        if (TG_UNLIKELY(!taken(p, h, status, slot, &frames[got]))) {
            TG_RELEASE(&h->tp_status, (uint32_t)TP_STATUS_KERNEL);
            continue;
        }
        tg_own(port, slot, TG_FILL, TG_USER);
        port->counted.rx_bytes += frames[got].len;
        got++;
    }
    port->counted.rx_frames += got;
    return (int)got;
}

/* Let the kernel send what is in the ring. 0, or -errno that concerns the link. */
static int kick(packet_port *p) {
    tg_port *port = &p->base;
    for (int attempt = 0; attempt < 64; attempt++) {
        port->counted.tx_kicks++;
        if (sendto(port->fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) >= 0)
            return 0;
        switch (errno) {
        case EINTR:
            continue;
        case ENOBUFS: /* the frame at hand was dropped by the device */
            port->counted.tx_dropped++;
            continue;
        case EAGAIN: /* no memory for the socket now: the rest goes with the next call */
            return 0;
        default:
            return -errno;
        }
    }
    return 0;
}

static int packet_reclaim(tg_port *port) {
    packet_port *p = (packet_port *)port;
    int got = 0;
    while (p->tx_done != p->tx_next) {
        struct tpacket2_hdr *h = HEAD(p->tx, p->tx_done, p);
        if (TG_ACQUIRE(&h->tp_status) != TP_STATUS_AVAILABLE)
            break;
        p->tx_done++;
        got++;
    }
    return got;
}

static int packet_check(tg_port *port) { return tg_link_check(port); }

/* Rare things that a receiver which finds nothing has time for. */
static int idle(packet_port *p) {
    tg_port *port = &p->base;
    if ((++port->idle & 255u) == 0) {
        packet_reclaim(port);
        /* What the kernel had no memory for, or no link, still waits. */
        if (p->tx_done != p->tx_next && TG_ACQUIRE(&HEAD(p->tx, p->tx_done, p)->tp_status) == TP_STATUS_SEND_REQUEST)
            p->link_error = -kick(p);
    }
    if (port->idle < TG_IDLE_CHECK)
        return 0;
    port->idle = 0;
    return packet_check(port);
}

static int packet_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    packet_port *p = (packet_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    int got = packet_take(p, frames, n);
    if (TG_LIKELY(got != 0)) {
        port->idle = 0;
        return got;
    }
    if (!port->wait_ms || n == 0)
        return idle(p);
    int ready = tg_poll_in(port->fd, port->wait_ms);
    if (ready < 0)
        return tg_fail(port, -ready, "wait", 0);
    got = packet_take(p, frames, n);
    return got ? got : packet_check(port);
}

static int packet_alloc(tg_port *port, tg_frame *frames, unsigned n) {
    packet_port *p = (packet_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    unsigned i;
    for (i = 0; i < n && p->free_count; i++) {
        uint32_t slot = p->free[--p->free_count];
        tg_own(port, slot, TG_COMPLETION, TG_USER);
        frames[i] = (tg_frame){p->data + ((size_t)slot << p->shift), port->room, slot, 0};
    }
    if (i < n)
        port->counted.tx_full++;
    return (int)i;
}

static inline void put_back(packet_port *p, uint32_t slot, unsigned from) {
    if (slot >= p->ring) {
        struct tpacket2_hdr *h = HEAD(p->rx, slot, p);
        tg_own(&p->base, slot, from, TG_FILL);
        TG_RELEASE(&h->tp_status, (uint32_t)TP_STATUS_KERNEL);
    } else {
        tg_own(&p->base, slot, from, TG_COMPLETION);
        p->free[p->free_count++] = slot;
    }
}

static int packet_release(tg_port *port, const tg_frame *frames, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (frames[i].slot >= port->slots || tg_owner(port, frames[i].slot) != TG_USER)
            return tg_fail(port, EINVAL, "ownership", frames[i].slot);
        put_back((packet_port *)port, frames[i].slot, TG_USER);
    }
    return 0;
}

static int packet_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    packet_port *p = (packet_port *)port;
    int result = 0;
    if (TG_UNLIKELY(p->link_error)) {
        result = -p->link_error;
        p->link_error = 0;
        if (kick(p) < 0)
            return tg_fail(port, -result, "send", 0);
        result = 0;
    }
    packet_reclaim(port);
    unsigned i;
    for (i = 0; i < n; i++) {
        const tg_frame *f = &frames[i];
        if ((result = tg_sendable(port, f)) < 0)
            break;
        if (p->tx_next - p->tx_done > p->mask) {
            port->counted.tx_full++;
            break;
        }
        struct tpacket2_hdr *h = HEAD(p->tx, p->tx_next, p);
        memcpy((uint8_t *)h + TX_OFFSET, f->data, f->len);
        h->tp_len = f->len;
        tg_own(port, f->slot, TG_USER, TG_TX);
        TG_RELEASE(&h->tp_status, (uint32_t)TP_STATUS_SEND_REQUEST);
        p->tx_next++;
        port->counted.tx_bytes += f->len;
    }
    port->counted.tx_frames += i;
    if (p->tx_done != p->tx_next) {
        int kicked = kick(p);
        /* Their copies are in the ring. After the kick, because another core has the lines of a received one. */
        for (unsigned sent = 0; sent < i; sent++)
            put_back(p, frames[sent].slot, TG_TX);
        if (TG_UNLIKELY(kicked < 0)) {
            if (i == 0)
                return tg_fail(port, -kicked, "send", 0);
            p->link_error = -kicked;
        }
    }
    return i || result >= 0 ? (int)i : result;
}

static void packet_stats(tg_port *port, tg_stats *stats) {
    packet_port *p = (packet_port *)port;
    struct tpacket_stats kernel;
    socklen_t size = sizeof kernel;
    /* Reading them clears them. */
    if (port->fd >= 0 && getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &size) == 0)
        p->kernel_drops += kernel.tp_drops;
    *stats = port->counted;
    stats->rx_dropped += p->kernel_drops;
}

static void packet_close(tg_port *port) {
    packet_port *p = (packet_port *)port;
    if (p->rings)
        munmap(p->rings, p->rings_bytes);
    if (p->data)
        munmap(p->data, p->data_bytes);
    if (port->fd >= 0)
        close(port->fd);
    free(p->free);
}

const tg_ops tg_packet_ops = {
    .name = "packet",
    .size = sizeof(packet_port),
    .open = packet_open_port,
    .recv_burst = packet_recv_burst,
    .alloc = packet_alloc,
    .send_burst = packet_send_burst,
    .release = packet_release,
    .reclaim = packet_reclaim,
    .check = packet_check,
    .stats = packet_stats,
    .close = packet_close,
};
