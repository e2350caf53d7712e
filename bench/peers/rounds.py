"""Interleaved rounds: one workload, put to each peer in turn, over and over.

What disturbs a machine comes and goes. Taking turns spreads it over all peers, and counting what others used of
the machine meanwhile tells which rounds were disturbed.
"""

import dataclasses
import statistics
import sys

import machine
from workers import Gone

# Seconds that a peer's calls of one round should take together, and the most calls.
ROUND_S = 0.3
MOST_CALLS = 2000


@dataclasses.dataclass
class Settings:
    rounds: int
    max_call_s: float
    quiet_wait_s: float
    one_thread: bool


@dataclasses.dataclass
class Runner:
    """A variant that answered the sizing call."""

    worker: str
    variant: str
    reps: int
    call_s: float
    warmup_s: float | None
    check: dict | None
    # Of each round: median of its calls, fastest call, share of the machine that others used.
    rounds: list = dataclasses.field(default_factory=list)
    failed: dict | None = None

    def clean(self, settings):
        # CPU seconds of a pinned thread hold on a busy machine.
        return [r for r in self.rounds if r[2] < machine.QUIET or settings.one_thread]

    def wants(self, round_number, settings):
        if self.failed or len(self.clean(settings)) >= settings.rounds:
            return False
        if round_number > 0 and self.call_s > settings.max_call_s:
            return False
        # Beyond the rounds that were asked for, only what is quick is repeated to gather clean ones.
        return round_number < settings.rounds or self.call_s * self.reps <= 2.0

    def take_round(self, workers, base):
        try:
            worker = workers.get(self.worker)
            watch = machine.Watch(worker.pid)
            answer = worker.ask(dict(base, reps=self.reps, variant=self.variant))
            if "times" not in answer:
                self.failed = reason_of(answer)
                return
            times = answer["times"]
            self.rounds.append((statistics.median(times), min(times), watch.others()))
            self.check = answer.get("check")
        except (Gone, OSError) as e:
            self.failed = {"error": f"worker died: {e}"}
            workers.drop(self.worker)

    def row(self, base, settings):
        if self.failed:
            return dict(base, variant=self.variant, **self.failed)
        clean = self.clean(settings)
        medians = sorted(median for median, _, _ in (clean or self.rounds))
        if settings.one_thread:
            medians = medians[: max(1, (len(medians) + 1) // 2)]  # the better half: others only ever add
        return dict(
            base,
            variant=self.variant,
            median_s=statistics.median(medians),
            best_round_s=min(median for median, _, _ in self.rounds),
            min_s=min(fastest for _, fastest, _ in self.rounds),
            clean_rounds=len(clean),
            rounds=len(self.rounds),
            check=self.check,
            warmup_s=self.warmup_s,
        )


def reason_of(answer):
    return {k: answer[k] for k in ("error", "skip") if k in answer}


def first_call(workers, worker, variant, base):
    """Sizes the repeats by one call. Returns a Runner, or the row of a peer that is left out."""
    missing = workers.missing(worker)
    if missing:
        return dict(base, variant=variant, skip=missing)
    try:
        answer = workers.get(worker).ask(dict(base, reps=1, variant=variant))
    except Gone as e:
        workers.drop(worker)
        return dict(base, variant=variant, error=f"worker died: {e}")
    if "times" not in answer:
        return dict(base, variant=variant, **reason_of(answer))
    call_s = answer["times"][-1]
    reps = max(1, min(MOST_CALLS, int(ROUND_S / max(call_s, 1e-7))))
    return Runner(worker, variant, reps, call_s, answer.get("warmup_s"), answer.get("check"))


def bench(workers, settings, op, n, d, h, steps, variants):
    """One row for each of `variants`, pairs (worker, variant), and for each extra worker.

    Up to three times the rounds are run to gather as many clean ones; where there are none, all rounds count.
    """
    base = {"op": op, "n": n, "d": d, "h": h, "steps": steps}
    machine.wait_for_quiet(settings.quiet_wait_s)
    entries = [first_call(workers, w, v, base) for w, v in variants + [(e, e) for e in workers.extra]]
    runners = [e for e in entries if isinstance(e, Runner)]
    for k in range(3 * settings.rounds):
        todo = [r for r in runners if r.wants(k, settings)]
        if not todo:
            break
        for runner in todo:
            runner.take_round(workers, base)
    rows = [e.row(base, settings) if isinstance(e, Runner) else e for e in entries]
    for row in rows:
        say(row)
    return rows


def say(row):
    """A line of progress on stderr."""
    if "median_s" in row:
        took = f"{row['median_s'] * 1e3:.3f} ms (best round {row['best_round_s'] * 1e3:.3f})"
        text = f"{took} clean {row['clean_rounds']}/{row['rounds']}"
    elif "skip" in row:
        text = f"skipped: {row['skip']}"
    else:
        text = f"error: {row['error']}"
    head = f"{row['op']:<9} n={row['n']:<8} d={row['d']:<3} h={row['h']:<4} {row['variant']:<22}"
    print(head, text, file=sys.stderr, flush=True)
