/* `dpdk`: a DPDK device by its poll-mode driver (DPDK 22.11, Programmer's Guide: "Poll Mode Driver"). The name is that
 * of a virtual device with its arguments: net_af_xdp0,iface=eth0,force_copy=1.
 *
 * DPDK's environment is made once a process and needs neither huge pages nor PCI here. The slots are the buffers of one
 * pool a port. DPDK takes from it to receive and returns what was sent in its own time: of a buffer that is not the
 * user's, only DPDK knows whether it is filled, sent or free.
 */
#include "backend.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFERS 8192u /* with less, a driver that fills its rings of 2,048 first receives nothing, and says nothing */

typedef struct {
    tg_port base;
    struct rte_mempool *pool;
    struct rte_mbuf **buffers; /* by slot */
    uint16_t id;
    int plugged, found, started;
    char device[64];
} dpdk_port;

static int make_environment(tg_port *port) {
    static int made; /* 0: not yet, 1: there, below: -errno for ever: DPDK cannot try again in one process */
    char prefix[32];
    cpu_set_t cpus;
    int any = 0;
    if (made)
        return made < 0 ? tg_fail(port, -made, "environment", 0) : 0;
    /* The main thread of DPDK is pinned to its core: to one that this process may use, and not for longer than here. */
    sched_getaffinity(0, sizeof cpus, &cpus);
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
        any = CPU_ISSET(cpu, &cpus) ? cpu : any;
    char core[16];
    snprintf(core, sizeof core, "0@%d", any);
    snprintf(prefix, sizeof prefix, "tickgate-%d", (int)getpid());
    char *words[] = {"tickgate",        "--no-huge",  "-m",     "128",      "--no-pci",          "--no-telemetry",
                     "--no-shconf", "--file-prefix", prefix, "--lcores", core, "--log-level=error"};
    setenv("LIBXDP_SKIP_DISPATCHER", "1", 0); /* its programs need a BPF file system, and it complains without one */
    int result = rte_eal_init((int)(sizeof words / sizeof *words), words);
    int error = rte_errno;
    sched_setaffinity(0, sizeof cpus, &cpus);
    if (result >= 0)
        rmdir(rte_eal_get_runtime_dir()); /* empty, as nothing is shared; nobody would remove it later */
    made = result < 0 ? -(error ? error : EIO) : 1;
    return made < 0 ? tg_fail(port, -made, "environment", 0) : 0;
}

/* As rte_pktmbuf_pool_create, but dense. That one spreads the buffers so that none crosses a page, which without huge
 * pages is one buffer a page; net_af_xdp does not know of it, and the kernel then drops what lies behind the end of the
 * memory that it was told. */
static struct rte_mempool *make_pool(const char *name) {
    struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE, .mbuf_priv_size = 8};
    unsigned bytes = sizeof(struct rte_mbuf) + private.mbuf_priv_size + private.mbuf_data_room_size;
    struct rte_mempool *pool = rte_mempool_create_empty(name, BUFFERS - 1, bytes, 0, sizeof private, SOCKET_ID_ANY,
                                                        RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (pool == NULL)
        return NULL;
    if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) != 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_pktmbuf_pool_init(pool, &private);
    if (rte_mempool_populate_default(pool) < 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static void number_buffer(struct rte_mempool *pool, void *argument, void *object, unsigned index) {
    dpdk_port *d = argument;
    struct rte_mbuf *m = object;
    (void)pool;
    d->buffers[index] = m;
    *(uint32_t *)rte_mbuf_to_priv(m) = index;
}

static void stop_device(dpdk_port *d) {
    if (d->started)
        rte_eth_dev_stop(d->id);
    if (d->found)
        rte_eth_dev_close(d->id);
    if (d->plugged)
        rte_eal_hotplug_remove("vdev", d->device);
    if (d->pool)
        rte_mempool_free(d->pool);
    d->pool = NULL;
    d->started = d->found = d->plugged = 0;
}

/* Plug the device in and start it with one queue each way. */
static int start_device(dpdk_port *d, const char *arguments, uint32_t ring) {
    tg_port *port = &d->base;
    static unsigned pools;
    char pool_name[32];
    int result;
    if ((result = rte_eal_hotplug_add("vdev", d->device, arguments)) < 0)
        return tg_fail(port, -result, "device", 0);
    d->plugged = 1;
    if ((result = rte_eth_dev_get_port_by_name(d->device, &d->id)) < 0)
        return tg_fail(port, -result, "device", 0);
    d->found = 1;
    snprintf(pool_name, sizeof pool_name, "tickgate-%u", pools++);
    d->pool = make_pool(pool_name);
    if (d->pool == NULL)
        return tg_fail(port, rte_errno, "buffers", (uint64_t)BUFFERS * RTE_MBUF_DEFAULT_BUF_SIZE);
    rte_mempool_obj_iter(d->pool, number_buffer, d);
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof conf);
    uint16_t rx = (uint16_t)(ring > 2048 ? 2048 : ring), tx = rx;
    if ((result = rte_eth_dev_configure(d->id, 1, 1, &conf)) < 0 ||
        (result = rte_eth_dev_adjust_nb_rx_tx_desc(d->id, &rx, &tx)) < 0 ||
        (result = rte_eth_rx_queue_setup(d->id, 0, rx, SOCKET_ID_ANY, NULL, d->pool)) < 0 ||
        (result = rte_eth_tx_queue_setup(d->id, 0, tx, SOCKET_ID_ANY, NULL)) < 0)
        return tg_fail(port, -result, "configure", 0);
    if ((result = rte_eth_dev_start(d->id)) < 0)
        return tg_fail(port, -result, "start", 0);
    d->started = 1;
    return 0;
}

static int dpdk_open_port(tg_port *port, const tg_config *c) {
    dpdk_port *d = (dpdk_port *)port;
    uint16_t mtu = 1500;
    int result;
    const char *arguments = strchr(c->name, ',');
    size_t length = arguments ? (size_t)(arguments - c->name) : strlen(c->name);
    if (length == 0 || length >= sizeof d->device)
        return tg_fail(port, EINVAL, "device", 0);
    memcpy(d->device, c->name, length);
    if (c->queue != 0)
        return tg_fail(port, EINVAL, "queue", c->queue);
    if ((result = make_environment(port)) < 0)
        return result;
    d->buffers = calloc(BUFFERS, sizeof *d->buffers);
    port->states = calloc(BUFFERS, sizeof *port->states);
    if (d->buffers == NULL || port->states == NULL)
        return tg_fail(port, ENOMEM, "memory", BUFFERS);
    port->slots = BUFFERS - 1;
    if ((result = start_device(d, arguments ? arguments + 1 : "", c->ring)) < 0)
        return result;
    if (c->flags & TG_PROMISCUOUS)
        rte_eth_promiscuous_enable(d->id);
    rte_eth_dev_get_mtu(d->id, &mtu);
    port->room = RTE_MBUF_DEFAULT_BUF_SIZE - RTE_PKTMBUF_HEADROOM;
    port->max_frame = mtu + 14u < port->room ? mtu + 14u : port->room;
    struct rte_eth_dev_info info;
    rte_eth_dev_info_get(d->id, &info);
    snprintf(port->mode, sizeof port->mode, "%s", info.driver_name);
    return 0;
}

/* From whoever has it in DPDK to the user. */
static inline uint32_t take(tg_port *port, struct rte_mbuf *m) {
    uint32_t slot = *(uint32_t *)rte_mbuf_to_priv(m);
    port->states[slot] = (port->states[slot] & ~7u) | TG_USER;
    return slot;
}

static int dpdk_check(tg_port *port) {
    dpdk_port *d = (dpdk_port *)port;
    struct rte_eth_link link;
    if (rte_eth_link_get_nowait(d->id, &link) < 0)
        return tg_fail(port, ENODEV, "link", 0);
    if (link.link_status != RTE_ETH_LINK_UP) {
        port->counted.link_downs++;
        return tg_fail(port, ENETDOWN, "link", 0);
    }
    return 0;
}

static inline int dpdk_take(dpdk_port *d, tg_frame *frames, unsigned n) {
    tg_port *port = &d->base;
    struct rte_mbuf *got[TG_BURST_MAX];
    unsigned there = rte_eth_rx_burst(d->id, 0, got, (uint16_t)n), kept = 0;
    for (unsigned i = 0; i < there; i++) {
        struct rte_mbuf *m = got[i];
        if (TG_UNLIKELY(m->nb_segs != 1 || m->pool != d->pool)) {
            if (m->pool == d->pool)
                port->counted.rx_oversize++;
            else
                port->counted.rx_invalid++;
            rte_pktmbuf_free(m);
            continue;
        }
        frames[kept++] = (tg_frame){rte_pktmbuf_mtod(m, uint8_t *), m->data_len, take(port, m), 0};
        port->counted.rx_bytes += m->data_len;
    }
    port->counted.rx_frames += kept;
    return (int)kept;
}

static int dpdk_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    dpdk_port *d = (dpdk_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    if (n == 0)
        return 0;
    int got = dpdk_take(d, frames, n);
    if (TG_LIKELY(got)) {
        port->idle = 0;
        return got;
    }
    if (!port->wait_ms) {
        if (TG_UNLIKELY(++port->idle >= TG_IDLE_CHECK)) {
            port->idle = 0;
            return dpdk_check(port);
        }
        return 0;
    }
    uint64_t until = tg_now_ms() + port->wait_ms;
    for (;;) {
        struct timespec t = {0, 20000};
        if ((got = dpdk_take(d, frames, n)) != 0)
            return got;
        if (nanosleep(&t, NULL) < 0)
            return tg_fail(port, EINTR, "wait", 0);
        if (tg_now_ms() >= until)
            return dpdk_check(port);
    }
}

static int dpdk_alloc(tg_port *port, tg_frame *frames, unsigned n) {
    dpdk_port *d = (dpdk_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    unsigned i;
    for (i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(d->pool);
        if (m == NULL) {
            port->counted.tx_full++;
            break;
        }
        frames[i] = (tg_frame){rte_pktmbuf_mtod(m, uint8_t *), port->room, take(port, m), 0};
    }
    return (int)i;
}

static int dpdk_release(tg_port *port, const tg_frame *frames, unsigned n) {
    dpdk_port *d = (dpdk_port *)port;
    for (unsigned i = 0; i < n; i++) {
        int result = tg_own(port, frames[i].slot, TG_USER, TG_COMPLETION);
        if (result < 0)
            return result;
        rte_pktmbuf_free(d->buffers[frames[i].slot]);
    }
    return 0;
}

static int dpdk_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    dpdk_port *d = (dpdk_port *)port;
    struct rte_mbuf *ready[TG_BURST_MAX];
    unsigned made, sent;
    int result = 0;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    for (made = 0; made < n; made++) {
        const tg_frame *f = &frames[made];
        if ((result = tg_sendable(port, f)) < 0)
            break;
        struct rte_mbuf *m = d->buffers[f->slot];
        uint64_t offset = (uint64_t)(f->data - (uint8_t *)m->buf_addr);
        if (TG_UNLIKELY(offset + f->len > m->buf_len)) {
            result = tg_fail(port, EINVAL, "ownership", f->slot);
            break;
        }
        m->data_off = (uint16_t)offset;
        m->data_len = (uint16_t)f->len;
        m->pkt_len = f->len;
        ready[made] = m;
        /* Before the driver has it: it may be received into again at once. A frame twice in one burst is seen here. */
        port->states[f->slot] = (port->states[f->slot] & ~7u) | TG_TX;
    }
    sent = made ? rte_eth_tx_burst(d->id, 0, ready, (uint16_t)made) : 0;
    for (unsigned i = 0; i < made; i++) {
        if (i < sent) {
            port->states[frames[i].slot] += 8;
            port->counted.tx_bytes += frames[i].len;
        } else {
            port->states[frames[i].slot] = (port->states[frames[i].slot] & ~7u) | TG_USER;
        }
    }
    port->counted.tx_frames += sent;
    port->counted.tx_kicks += made > 0;
    port->counted.tx_full += sent < made;
    return sent || result >= 0 ? (int)sent : result;
}

static int dpdk_reclaim(tg_port *port) {
    (void)port;
    return 0;
}

static void dpdk_stats(tg_port *port, tg_stats *stats) {
    dpdk_port *d = (dpdk_port *)port;
    struct rte_eth_stats device;
    *stats = port->counted;
    if (d->started && rte_eth_stats_get(d->id, &device) == 0) {
        stats->rx_dropped += device.imissed + device.rx_nombuf;
        stats->tx_dropped += device.oerrors;
    }
}

static void dpdk_close(tg_port *port) {
    dpdk_port *d = (dpdk_port *)port;
    stop_device(d); /* what the user still holds belongs to the pool, which goes as a whole */
    free(d->buffers);
}

const tg_ops tg_dpdk_ops = {
    .name = "dpdk",
    .size = sizeof(dpdk_port),
    .open = dpdk_open_port,
    .recv_burst = dpdk_recv_burst,
    .alloc = dpdk_alloc,
    .send_burst = dpdk_send_burst,
    .release = dpdk_release,
    .reclaim = dpdk_reclaim,
    .check = dpdk_check,
    .stats = dpdk_stats,
    .close = dpdk_close,
};
