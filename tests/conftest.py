"""Before anything imports torch, here or in a worker that a test starts."""

from __future__ import annotations

import os

# Small models gain little from a second thread, and threads that wait for each other actively on a busy
# machine make everything many times slower; the suite uses the cores by running files side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")
