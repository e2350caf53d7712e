"""Runs every peer on this machine in interleaved rounds and writes one JSON.

    $PEERS_HOME/venv/bin/python run.py --out results.json

feynkac's own worker takes part as "ours" where it is built (target/release/peer_worker), and so does any --extra
name=command that speaks the line protocol. The results of one run were taken in the same rounds, so their ratios
hold; figures of two runs compare less well.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import limits
import machine
from rounds import Settings, bench
from workers import HERE, Workers

KINDS = ("limits", "resample", "gmm", "mlp", "geo", "unet")


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="", help="write here after every workload; else to stdout at the end")
    p.add_argument("--quick", action="store_true", help="one or two sizes of each workload")
    p.add_argument("--only", default="", help=f"workloads, comma-separated: {','.join(KINDS)}")
    p.add_argument("--skip", default="", help="variants to leave out, comma-separated")
    p.add_argument("--rounds", type=int, default=5, help="clean rounds to gather (5)")
    p.add_argument("--max-n", type=int, default=1 << 30, help="no workload of more particles")
    p.add_argument("--max-call-s", type=float, default=12.0, help="one round for slower calls (12)")
    p.add_argument("--quiet-wait", type=float, default=0.0, help="seconds to wait for quiet, per workload")
    p.add_argument("--one-thread", action="store_true", help="a thread a peer, pinned; CPU seconds, not wall")
    p.add_argument("--core", default="1", help="where --one-thread pins (1)")
    p.add_argument("--extra", action="append", default=[], metavar="NAME=COMMAND", help="one more worker")
    args = p.parse_args()
    args.only = set(filter(None, args.only.split(",")))
    args.skip = set(filter(None, args.skip.split(",")))
    if args.only - set(KINDS):
        p.error(f"--only: {', '.join(sorted(args.only - set(KINDS)))}: known are {', '.join(KINDS)}")
    if any("=" not in e for e in args.extra):
        p.error("--extra: wanted NAME=COMMAND")
    if args.rounds < 1:
        p.error("--rounds: at least 1")
    return args


def extra_workers(given):
    """Name to command of further workers: ours, unless --extra names another one so, and those of --extra."""
    root = HERE.parent.parent
    target = root / pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    ours = target / "release" / "peer_worker"
    extra = dict(e.split("=", 1) for e in given)
    if "ours" not in extra and ours.exists():
        extra = {"ours": f"'{ours}'"} | extra
    if "ours" not in extra:
        print(f"ours is skipped: no peer_worker in {ours.parent}", file=sys.stderr)
    return extra


def variants():
    """The pairs (worker, variant) for resampling and for sampling. On a GPU only those that can use it."""
    resampling = [
        ("native", "native"),
        ("numpy", "numpy"),
        ("numpy", "particles"),
        ("jax", "jax_blocked_search"),
        ("jax", "jax_blocked_scatter"),
        ("torch", "torch_eager"),
        ("torch", "torch_compile"),
    ]
    sampling = [
        ("native", "native"),
        ("numpy", "numpy"),
        ("jax", "jax_threefry"),
        ("torch", "torch_eager"),
        ("torch", "torch_compile"),
    ]
    if on_gpu():
        graph = ("torch", "torch_compile_graph")
        resampling = [v for v in resampling if v[0] in ("jax", "torch")] + [graph]
        sampling = [v for v in sampling if v[0] in ("jax", "torch")] + [graph, ("jax", "jax_rbg")]
    return resampling, sampling


def on_gpu():
    return os.environ.get("PEERS_DEVICE", "cpu") != "cpu"


def jobs(quick):
    """The workloads in order: kind, operation, n, d, h, steps, variants. Sizes are powers of two."""
    resampling, sampling = variants()
    without_numpy = [v for v in sampling if v[1] != "numpy"]  # NumPy would take minutes
    gpu = on_gpu()
    out = []

    def resample(d):
        for e in (14, 20) if quick else (10, 14, 17, 20, 22):
            out.append(("resample", "resample", 1 << e, d, 0, 0, resampling))

    resample(2)
    gmm_sizes = (10, 12, 14, 16, 18, 20) if gpu else (10, 12, 14, 16, 18)
    for e in (14,) if quick else gmm_sizes:
        out.append(("gmm", "gmm", 1 << e, 0, 1, 100, sampling if e <= 12 else without_numpy))
    mlp_sizes = (10, 13, 16, 20) if gpu else (10, 13, 16)
    for d, h in ((2, 128),) if quick else ((2, 128), (64, 256), (2, 256), (64, 128)):
        for e in (13,) if quick else mlp_sizes:
            out.append(("mlp", "mlp", 1 << e, d, h, 10, sampling if e <= 13 else without_numpy))
    resample(64)
    for e in (14,) if quick else (12, 16):
        out.append(("geo", "gmm", 1 << e, 1, 1, 100, without_numpy))
    for back in (0, 1):
        out.append(("unet", "unet", 64, 0, back, 0, [("jax", "jax")]))
    return out


def derived(row):
    """The row with its time per particle, and the traffic or arithmetic that the problem calls for."""
    if "median_s" not in row:
        return row
    row = dict(row)
    t, n, d, h, steps = (row[k] for k in ("median_s", "n", "d", "h", "steps"))
    if row["op"] == "resample":
        # A particle's row read and written once, its log-weight read once.
        row["floor_bytes_per_particle"] = 4 + 8 * d
        row["ns_per_particle"] = t / n * 1e9
        row["eff_GBs"] = (4 + 8 * d) * n / t / 1e9
    if row["op"] == "gmm":
        flops = 40 * 20 * (2 if d == 1 else 1) + 60
        row["ns_per_particle_step"] = t / n / steps * 1e9
        row["nominal_GFLOPs"] = flops * n * steps / t / 1e9
    if row["op"] == "mlp":
        flops = 2 * (2 * d * h + 3 * h * h)
        row["ns_per_particle_step"] = t / n / steps * 1e9
        row["GFLOPs"] = flops * n * steps / t / 1e9
    if row["op"] == "unet":
        row["ms_per_image"] = t / n * 1e3
    return row


class Report:
    """What is written: the machine, its limits, and the rows so far."""

    def __init__(self, args, threads):
        self.out = args.out
        self.start = time.time()
        self.head = {
            "host": machine.describe(),
            "versions": machine.versions(),
            "threads": threads,
            "clock": "cpu seconds" if args.one_thread else "wall",
            "load_start": machine.load(),
        }
        self.limits = {}
        self.rows = []

    def text(self):
        whole = dict(
            self.head,
            load_now=machine.load(),
            seconds=round(time.time() - self.start),
            limits=self.limits,
            results=[derived(row) for row in self.rows],
        )
        return json.dumps(whole, indent=1) + "\n"

    def save(self):
        if self.out:
            part = pathlib.Path(self.out + ".part")
            part.write_text(self.text())
            part.replace(self.out)


def main():
    args = options()
    threads = 1 if args.one_thread else machine.CORES
    workers = Workers(extra_workers(args.extra), threads, args.core if args.one_thread else None)
    settings = Settings(args.rounds, args.max_call_s, args.quiet_wait, args.one_thread)
    report = Report(args, threads)
    report.save()
    try:
        machine.wait_for_quiet(args.quiet_wait)
        if not args.only or "limits" in args.only:
            report.limits = limits.measure(workers, settings)
            report.save()
        for kind, op, n, d, h, steps, chosen in jobs(args.quick):
            if (args.only and kind not in args.only) or n > args.max_n:
                continue
            chosen = [v for v in chosen if v[1] not in args.skip]
            report.rows += bench(workers, settings, op, n, d, h, steps, chosen)
            report.save()
    finally:
        workers.close()
    if not args.out:
        sys.stdout.write(report.text())


if __name__ == "__main__":
    main()
