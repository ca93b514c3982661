"""Ask how much memory is free."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


def available() -> int | None:
    """Return the bytes that may still be used, of the machine or of the container; None where nobody can tell."""
    found = []
    with contextlib.suppress(OSError, AttributeError):
        found.append(int(re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # a container without a limit says "max"
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used)
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # systems that name no such figures
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)
