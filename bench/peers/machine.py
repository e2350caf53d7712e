"""How busy the machine is, from /proc, so that disturbed rounds can be told apart; and what machine it is."""

import importlib.metadata
import os
import platform
import time

# A round is clean, and the machine quiet, where others use less than this share of it.
QUIET = 0.10

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()


def _busy_ticks():
    """Ticks that all cores spent on anything but idling (columns 4 and 5: idle, waiting for a disk)."""
    with open("/proc/stat") as f:
        ticks = [int(t) for t in f.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4]


def _own_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Watch:
    """Measures what share of the machine processes other than `pid` used since its start."""

    def __init__(self, pid):
        self.pid = pid
        self.busy, self.own = _busy_ticks(), _own_ticks(pid)
        self.start = time.perf_counter()

    def others(self):
        seconds = time.perf_counter() - self.start
        ticks = _busy_ticks() - self.busy - (_own_ticks(self.pid) - self.own)
        return max(0.0, ticks / _TICKS_A_SECOND / seconds / CORES)


def wait_for_quiet(limit_s):
    """Waits up to `limit_s` for a second in which the machine is quiet."""
    start = time.time()
    while time.time() - start < limit_s:
        before = _busy_ticks()
        time.sleep(1.0)
        if (_busy_ticks() - before) / _TICKS_A_SECOND / CORES < QUIET:
            return


def load():
    return os.getloadavg()[0]


def describe():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    cpu = models[0] if models else platform.machine()
    return {"cpu": cpu, "cores": CORES, "kernel": platform.release()}


def versions():
    """Of the packages that are compared; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "particles", "jax", "jaxlib", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found
