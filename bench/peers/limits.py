"""What the machine can do at best: memory traffic, multiply-adds, matrix products, normals.

Traffic and multiply-adds are the native peer's; products and normals go round all peers.
"""

import statistics
import sys

import machine
from rounds import bench
from workers import Gone

ROWS = 1 << 26  # floats an array: 256 MiB, beyond every cache
NORMALS = 1 << 22
GEMM = 2048


def native_times(workers, op, n, d, reps, threads):
    """The calls of three requests to the native peer."""
    request = {"op": op, "n": n, "d": d, "h": 0, "steps": 0, "reps": reps, "threads": threads}
    return [t for _ in range(3) for t in workers.get("native").ask(request)["times"]]


def rates(work, median_s, best_s):
    return {"median": work / median_s / 1e9, "best": work / best_s / 1e9}


def native_limits(workers, one_thread):
    thread_counts = (1,) if one_thread else (1, machine.CORES)
    found = {}

    def record(name, work, times):
        found[name] = rates(work, statistics.median(times), min(times))

    for name, d, bytes_each in (("copy", 0, 8), ("triad", 1, 12), ("read", 2, 4), ("write", 3, 4)):
        for t in thread_counts:
            record(f"stream_{name}_{t}c_GBs", bytes_each * ROWS, native_times(workers, "stream", ROWS, d, 5, t))
    all_threads = thread_counts[-1]
    for n, size in ((1 << 14, "L1"), (1 << 17, "L2"), (1 << 20, "L3")):  # three arrays of 4 n bytes
        times = native_times(workers, "stream", n, 1, 500, all_threads)
        record(f"triad_{size}size_{all_threads}c_GBs", 12 * n, times)
    rounds = 20_000_000
    for t in thread_counts:
        flops = rounds * 12 * 16 * 2 * t
        record(f"fma_f32_{t}c_GFLOPs", flops, native_times(workers, "fma", rounds, 0, 3, t))
    return found


def measure(workers, settings):
    """Name of a limit to its median and best."""
    found = {}
    if workers.missing("native") is None:
        try:
            found = native_limits(workers, settings.one_thread)
        except (Gone, KeyError) as e:
            print(f"limits: the native peer failed: {e}", file=sys.stderr)
            workers.drop("native")
    products = [("numpy", "numpy"), ("jax", "jax_threefry"), ("torch", "torch_eager")]
    for row in bench(workers, settings, "gemm", GEMM, 0, 0, 0, products):
        if "median_s" in row:
            name = f"gemm{GEMM}_f32_{row['variant']}_GFLOPs"
            found[name] = rates(2 * GEMM**3, row["median_s"], row["min_s"])
    draws = [("native", "native"), ("numpy", "numpy"), ("jax", "jax_threefry"), ("jax", "jax_rbg")]
    for row in bench(workers, settings, "normals", NORMALS, 0, 0, 0, draws + [("torch", "torch_eager")]):
        if "median_s" in row:
            name = f"normals_{row['variant']}_Mps"
            found[name] = rates(NORMALS * 1e3, row["median_s"], row["best_round_s"])
    return found
