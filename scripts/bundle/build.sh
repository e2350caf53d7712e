#!/usr/bin/env bash
# The bundle for GPU machines: out/feynkac-gpu.tar.xz, one program for each of the two code generators of CUDA (cubecl
# links one of them), libdevice beside them, and run.sh, which needs no toolchain. Unpack it there, run it, and bring
# record.md back.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
out=out/gpu-bundle
archive=out/feynkac-gpu.tar.xz
most=$((50 * 1024 * 1024))
ptx_venv="${FEYNKAC_PTX_VENV:-$HOME/.cache/feynkac/ptx-venv}"
say() { printf 'gpu-bundle: %s\n' "$*"; }

rm -rf "$out" && mkdir -p "$out/nvvm/libdevice" "$out/libs"

# The linker takes the first folder that has a library: here only static ones.
for name in stdc++ z zstd; do
  found=$(c++ -print-file-name="lib$name.a")
  case "$found" in
    /*) ln -s "$(readlink -f "$found")" "$out/libs/lib$name.a" ;;
    *) say "no lib$name.a: the bundle needs that library of the machine it runs on" ;;
  esac
done
cc -O2 -fPIC -fno-builtin -c scripts/bundle/oldlibc.c -o "$out/libs/oldlibc.o"

FEYNKAC_BUNDLE_LIBS=$(realpath "$out/libs"); export FEYNKAC_BUNDLE_LIBS
FEYNKAC_COMMIT=$(git rev-parse --short=9 HEAD 2>/dev/null || echo unknown); export FEYNKAC_COMMIT
for by in nvrtc llvm; do
  features=(); [ "$by" = llvm ] || features=(--features "feynkac-bench/nvrtc")
  # shellcheck disable=SC2086  # flags are several words
  "$CARGO" build --release --locked --workspace ${CARGO_FLAGS:-} "${features[@]}" --bin bundle
  cp "$target/release/bundle" "$out/feynkac-$by"
  strip "$out/feynkac-$by"
done
rm -r "$out/libs"

libdevice=$(find -L "${CUDA_PATH:-/nowhere}/nvvm" "$ptx_venv" /usr/local/cuda/nvvm -name libdevice.10.bc 2>/dev/null | head -n1 || true)
[ -n "$libdevice" ] || { say "no libdevice.10.bc: run scripts/setup.sh --ptx"; exit 1; }
cp "$libdevice" "$out/nvvm/libdevice/"
cp scripts/bundle/run.sh LICENSE-MIT LICENSE-APACHE "$out/"

for by in llvm nvrtc; do
  oldest=$(objdump -T "$out/feynkac-$by" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n1)
  needs=$(objdump -p "$out/feynkac-$by" | awk '/NEEDED/ {print $2}' | tr '\n' ' ')
  say "feynkac-$by: $(stat -c %s "$out/feynkac-$by") bytes, needs $oldest or newer, and $needs"
done
# A window as wide as both programs, which share most of their code.
tar -C out -cf - gpu-bundle | xz -T1 --lzma2=preset=3,dict=192MiB >"$archive"
size=$(stat -c %s "$archive")
say "$archive: $size bytes"
[ "$size" -lt "$most" ] || { say "more than $most bytes"; exit 1; }
