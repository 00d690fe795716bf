/* Two joined ports in one process, for the C tests: BACKEND RING; interfaces va and vb are in this namespace. */
#ifndef ENDS_H
#define ENDS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port.h"

#ifdef TG_WITH_DPDK
extern const tg_ops tg_dpdk_ops;
#define BACKEND(name) (strcmp((name), "dpdk") ? tg_backend(name) : &tg_dpdk_ops)
#else
#define BACKEND(name) tg_backend(name)
#endif

static tg_port *open_end(const tg_config *config) {
    tg_port *port;
    tg_fault fault;
    if (tg_port_open(BACKEND(config->backend), config, &port, &fault) < 0) {
        fprintf(stderr, "%s: %s: %s\n", config->backend, fault.step, strerror(fault.error));
        exit(3);
    }
    return port;
}

static void open_ends(const char *backend, uint32_t ring, tg_port *ends[2]) {
    tg_config config = {.backend = backend, .name = "", .ring = ring, .frame_bytes = 2048, .fd = -1};
    if (!strcmp(backend, "shm")) {
        config.fd = memfd_create("ends", MFD_CLOEXEC);
        ends[0] = open_end(&config);
        config.flags = TG_SIDE_B;
        ends[1] = open_end(&config);
        close(config.fd);
    } else if (!strcmp(backend, "udp")) {
        config.local_ip = config.remote_ip = htonl(INADDR_LOOPBACK);
        for (int end = 0; end < 2; end++) {
            uint16_t base = (uint16_t)(20000 + getpid() % 20000);
            config.local_port = (uint16_t)(base + end);
            config.remote_port = (uint16_t)(base + !end);
            ends[end] = open_end(&config);
        }
    } else {
        int dpdk = !strcmp(backend, "dpdk");
        for (int end = 0; end < 2; end++) {
            if (dpdk)
                config.name = end ? "net_af_xdp1,iface=vb,force_copy=1" : "net_af_xdp0,iface=va,force_copy=1";
            else
                config.name = end ? "vb" : "va";
            ends[end] = open_end(&config);
        }
    }
}

#endif
