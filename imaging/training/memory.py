"""The C library's allocator, set for training: freed buffers are kept instead of being given back to the system.

Every step allocates and frees the same activations. By default glibc maps and unmaps large ones each time, and the
system clears each page anew: a training step of the shipped detector took .82 s of processor time that way and .60 s
with the memory kept (2 cores of an Intel Xeon, one thread, batch 16 at 256 px, median of 7 steps).
"""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameter numbers of mallopt(3)."""
_LARGE = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the allocator to keep what is freed; True when it agreed, False where it is not glibc's."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGE), (_TOP_PAD, 256 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)
