"""Markdown tables from the JSON of run.py: report.py results.json

Under the times of a workload stand the ratios to ours (a peer's time over ours: above 1, ours is faster) and what
the checks found. A `max_count_err` of 1 or more, in bold, is a wrong resampling.
"""

import argparse
import json
import pathlib

# What each operation's check holds that is worth a row, and how it is written.
CHECKS = {
    "resample": {"max_count_err": "{:.4f}"},
    "gmm": {"logZ": "{:.3f}", "mean_r2": "{:.0f}"},
    "mlp": {"mean_x2": "{:.3f}"},
    "unet": {"mean_y2": "{:.5f}", "first_y": "{:.4f}", "mean_g2": "{:.5f}", "first_g": "{:.4f}"},
}


def power(n):
    return f"2^{n.bit_length() - 1}" if n & (n - 1) == 0 else str(n)


def line(cells):
    return "| " + " | ".join(cells) + " |"


def workload(row):
    name = f"N={power(row['n'])}"
    if row["op"] == "unet":
        return f"{'output and gradient' if row['h'] else 'output'}, {row['n']} images"
    return f"D={row['d']} H={row['h']} {name}" if row["op"] == "mlp" else name


def checked(row, key, form):
    value = (row.get("check") or {}).get(key)
    if value is None:
        return "-"
    text = form.format(value)
    return f"**{text}**" if key == "max_count_err" and value >= 1 else text


def table(title, rows, time_of, ours):
    """The lines of one table; `time_of` writes the cell of a timed row."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    by_workload = {}
    for row in rows:
        by_workload.setdefault(workload(row), {})[row["variant"]] = row

    def across(label, texts):
        return line([label, *(texts.get(v, "-") for v in variants)])

    lines = [title, "", line(["workload", *variants]), "|---" * (len(variants) + 1) + "|"]
    for name, cells in by_workload.items():
        timed = {v: row for v, row in cells.items() if "median_s" in row}

        lines.append(across(name, {v: time_of(row) for v, row in timed.items()}))
        if ours in timed:
            base = timed[ours]["median_s"]
            ratios = {v: f"{row['median_s'] / base:.2f}" for v, row in timed.items()}
            lines.append(across(f"{name}: peer / {ours}", ratios))
        for key, form in CHECKS[rows[0]["op"]].items():
            found = {v: checked(row, key, form) for v, row in timed.items()}
            lines.append(across(f"{name}: {key}", found))
    return lines + [""] + left_out(rows)


def left_out(rows):
    """A line for each variant that gave no time, with its reason."""
    reasons = {}
    for row in rows:
        if "median_s" not in row:
            reason = f"skipped, {row['skip']}" if "skip" in row else f"failed, {row.get('error')}"
            reasons.setdefault((row["variant"], reason), []).append(workload(row))
    lines = [f"- {v} at {', '.join(names)}: {reason}" for (v, reason), names in reasons.items()]
    return lines + [""] if lines else []


def share(value, unit, of, what):
    """A rate in brackets, with its share of a limit where that was measured."""
    return f"({value:.4g} {unit}, {100 * value / of:.0f}% of {what})" if of else f"({value:.4g} {unit})"


def tables(results, ours):
    limits, threads, rows = results["limits"], results["threads"], results["results"]
    copy = limits.get(f"stream_copy_{threads}c_GBs", {}).get("best")
    peak = limits.get(f"fma_f32_{threads}c_GFLOPs", {}).get("best")

    def of_resample(row):
        return f"{row['ns_per_particle']:.2f} {share(row['eff_GBs'], 'GB/s', copy, 'copy')}"

    def of_gmm(row):
        return f"{row['ns_per_particle_step']:.1f}"

    def of_mlp(row):
        return f"{row['ns_per_particle_step']:.0f} {share(row['GFLOPs'], 'GFLOP/s', peak, 'peak')}"

    def of_unet(row):
        return f"{row['ms_per_image']:.3f}"

    def chosen(op, d):
        return [row for row in rows if row["op"] == op and row["d"] == d]

    for d in (2, 64):
        title = f"resample, D={d}: ns per particle (of {4 + 8 * d} bytes each at least)"
        yield title, of_resample, chosen("resample", d)
    for mode, name in ((0, "one mixture, annealed"), (1, "two mixtures, geometric average")):
        yield f"{name}: ns per particle and step", of_gmm, chosen("gmm", mode)
    yield "network, annealed: ns per particle and step", of_mlp, [row for row in rows if row["op"] == "mlp"]
    yield "image network: ms per image", of_unet, [row for row in rows if row["op"] == "unet"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("results")
    p.add_argument("--ours", default="ours", help="the variant that the others are compared with")
    args = p.parse_args()
    results = json.loads(pathlib.Path(args.results).read_text())
    host = results["host"]
    versions = ", ".join(f"{k} {v}" for k, v in results.get("versions", {}).items())
    print(f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']}; {versions}.")
    print(f"Threads a peer: {results['threads']}; clock: {results['clock']}.")
    print()
    if results["limits"]:
        print(line(["limit", "median", "best"]))
        print("|---|---|---|")
        for name, rate in results["limits"].items():
            print(line([name, f"{rate['median']:.1f}", f"{rate['best']:.1f}"]))
        print()
    for title, time_of, rows in tables(results, args.ours):
        if rows:
            print("\n".join(table(title, rows, time_of, args.ours)))


if __name__ == "__main__":
    main()
