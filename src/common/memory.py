"""How much memory this process has taken, where the system says so."""

from __future__ import annotations

import sys


def peak_megabytes() -> float | None:
    """Return the most memory that this process or one it started has held; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(who).ru_maxrss for who in usage)
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # macOS counts bytes
