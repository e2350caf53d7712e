"""Floors by arithmetic for one step of a sampler on an H100, as Markdown tables. Measures nothing.

What a step must move and compute at the least, over the rates of the machine: 3.0 TB/s of copying, 67 TFLOP/s
in f32 and 800 in bf16, and 1.2 to 1.6 T normals a second.
"""

COPY, F32, BF16 = 3.0e12, 67e12, 800e12
MULTIPROCESSORS, CLOCK = 132, 1.755e9
INSTRUCTIONS = MULTIPROCESSORS * 128 * CLOCK  # of a lane, a second
SPECIAL = MULTIPROCESSORS * 16 * CLOCK  # results of the special-function units, a second
N = 1 << 20


def us(work, rate):
    """Microseconds for N particles."""
    return work * N / rate * 1e6


def line(cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def head(cells):
    line(cells)
    print("|---" * len(cells) + "|")


def memory():
    head(
        [
            "D",
            "state",
            "bytes a particle and step: resampling, gather fused",
            "no resampling",
            "gather apart",
            "us at N=2^20: resampling, gather fused",
            "no resampling",
            "gather apart",
            "normals, us",
        ]
    )
    for d in (2, 64, 784):
        for name, size in (("f32", 4), ("f16", 2)):
            # x[ancestor] read, x written, ancestor read, log-weight written; the scan does the reverse.
            fused = 2 * size * d + 4 + 4 + 8
            # x read and written, log-weight updated.
            plain = 2 * size * d + 8
            # One more pass over the state and the ancestors.
            apart = fused + 2 * size * d + 4 + 4
            times = [f"{us(b, COPY):.1f}" for b in (fused, plain, apart)]
            line([d, name, fused, plain, apart, *times, f"{us(d, 1.6e12):.1f}-{us(d, 1.2e12):.1f}"])


def networks():
    head(["network", "flop a particle", "f32 us", "bf16 us", "SiLU us, 2 results", "1 result (tanh)", "packed 2x"])
    for d, h in ((2, 128), (2, 256), (64, 128), (64, 256)):
        flops = 2 * (2 * d * h + 3 * h * h)
        activations = 4 * h
        silu = [us(results * activations, SPECIAL) for results in (2, 1, 0.5)]
        times = [us(flops, F32), us(flops, BF16), *silu]
        line([f"D={d} H={h}", flops, *(f"{t:.0f}" for t in times)])


def main():
    print(f"Lane instructions a second {INSTRUCTIONS:.2e}, special-function results a second {SPECIAL:.2e}\n")
    memory()
    print("\nScore of a 40-component mixture, us at N=2^20:")
    print(f"instructions (9 a component) {us(40 * 9, INSTRUCTIONS):.1f}, ", end="")
    print(f"special functions (1 a component) {us(40, SPECIAL):.1f}\n")
    networks()


if __name__ == "__main__":
    main()
