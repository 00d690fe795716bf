/* Opening and closing, and what the kernel tells about an interface. */
#include "backend.h"

#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const tg_ops *const backends[] = {&tg_shm_ops, &tg_udp_ops, &tg_packet_ops, &tg_xdp_ops};

const tg_ops *tg_backend(const char *name) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        size_t n = strlen(backends[i]->name);
        if (!strncmp(name, backends[i]->name, n) && (name[n] == 0 || name[n] == '-'))
            return backends[i];
    }
    return NULL;
}

int tg_port_open(const tg_ops *ops, const tg_config *config, tg_port **out, tg_fault *fault) {
    *out = NULL;
    size_t size = (ops->size + 63u) & ~(size_t)63u;
    tg_port *port = aligned_alloc(64, size);
    if (port == NULL) {
        *fault = (tg_fault){ENOMEM, "memory", size};
        return -ENOMEM;
    }
    memset(port, 0, size);
    port->ops = ops;
    port->fd = port->link_fd = -1;
    port->queue = config->queue;
    port->wait_ms = config->wait_ms < TG_WAIT_MS ? config->wait_ms : TG_WAIT_MS;
    port->min_frame = TG_FRAME_MIN;
    port->stamp_clock = "none";
    snprintf(port->name, sizeof port->name, "%s", config->name);
    int result = ops->open(port, config);
    if (result < 0) {
        *fault = port->fault;
        tg_port_close(port);
        return result;
    }
    *out = port;
    return 0;
}

/* Also for a port that opened halfway: every backend's close looks at what is there. */
void tg_port_close(tg_port *port) {
    port->ops->close(port);
    if (port->link_fd >= 0)
        close(port->link_fd);
    free(port->states);
    free(port);
}

int tg_states_new(tg_port *port, uint32_t slots) {
    port->states = calloc(slots, sizeof *port->states);
    if (port->states == NULL)
        return tg_fail(port, ENOMEM, "memory", slots * sizeof *port->states);
    port->slots = slots;
    return 0;
}

int tg_poll_in(int fd, uint32_t wait_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, (int)wait_ms);
    return n < 0 ? -errno : n;
}

static void learn_mtu(tg_port *port, int mtu) {
    uint32_t longest = (uint32_t)mtu + 14u;
    port->max_frame = longest < port->room ? longest : port->room;
}

/* The socket stays in the namespace that the thread is in now; any family answers, and no right is needed. */
int tg_link_find(tg_port *port, const char *name) {
    struct ifreq r = {0};
    if (strlen(name) >= IFNAMSIZ || name[0] == 0)
        return tg_fail(port, ENODEV, "interface", 0);
    port->link_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (port->link_fd < 0)
        return tg_fail(port, errno, "interface", 0);
    strcpy(r.ifr_name, name);
    if (ioctl(port->link_fd, SIOCGIFINDEX, &r) < 0)
        return tg_fail(port, errno, "interface", 0);
    port->ifindex = r.ifr_ifindex;
    return 0;
}

int tg_link_check(tg_port *port) {
    struct ifreq r = {0};
    socklen_t size = sizeof(int);
    int pending = 0;
    /* Reading the error clears it: the kernel leaves ENETDOWN behind for every fall of the link. */
    getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &pending, &size);
    r.ifr_ifindex = port->ifindex;
    if (ioctl(port->link_fd, SIOCGIFNAME, &r) < 0)
        return tg_fail(port, ENODEV, "link", (uint64_t)port->ifindex);
    memcpy(port->name, r.ifr_name, IFNAMSIZ);
    if (ioctl(port->link_fd, SIOCGIFMTU, &r) == 0)
        learn_mtu(port, r.ifr_mtu);
    memcpy(r.ifr_name, port->name, IFNAMSIZ);
    if (ioctl(port->link_fd, SIOCGIFFLAGS, &r) < 0)
        return tg_fail(port, ENODEV, "link", (uint64_t)port->ifindex);
    if (!(r.ifr_flags & IFF_UP)) {
        port->counted.link_downs++;
        return tg_fail(port, ENETDOWN, "link", 0);
    }
    return 0;
}

void tg_link_driver(const tg_port *port, char *driver, size_t size) {
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {0};
    memcpy(r.ifr_name, port->name, IFNAMSIZ);
    r.ifr_data = (void *)&info;
    if (ioctl(port->link_fd, SIOCETHTOOL, &r) < 0)
        info.driver[0] = 0;
    snprintf(driver, size, "%s", info.driver);
}

int tg_link_promiscuous(tg_port *port, int packet_fd) {
    struct packet_mreq m = {.mr_ifindex = port->ifindex, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(packet_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m) < 0)
        return tg_fail(port, errno, "promiscuous", 0);
    return 0;
}
