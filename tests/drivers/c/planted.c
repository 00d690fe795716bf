/* What the sanitizers must find: planted overflow|shift|none. */
#include "ends.h"

int main(int argc, char **argv) {
    tg_port *ends[2];
    volatile unsigned shift = 64;
    if (argc != 2)
        return 2;
    open_ends("shm", 64, ends);
    if (!strcmp(argv[1], "overflow"))
        ends[0]->states[ends[0]->slots] = TG_USER;
    if (!strcmp(argv[1], "shift"))
        ends[0]->counted.tx_full = (uint64_t)1 << shift;
    tg_port_close(ends[1]);
    tg_port_close(ends[0]);
    return 0;
}
