"""Settings for the whole suite."""

import os

# Threads that wait must sleep, not spin: the suite has to pass on a busy machine too.
# Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the processors
    os.environ.setdefault("OMP_NUM_THREADS", "1")
