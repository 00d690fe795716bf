# cython: language_level=3
"""The table of the DPDK backend, in a module of its own: only whoever uses it needs DPDK's libraries."""
from cpython.pycapsule cimport PyCapsule_New

from tickgate.drivers._port cimport tg_ops

cdef extern from "port.h":
    const tg_ops tg_dpdk_ops


def ops():
    """A capsule with the table, for `tickgate.drivers._port`."""
    return PyCapsule_New(<void *>&tg_dpdk_ops, "tickgate.drivers.ops", NULL)
