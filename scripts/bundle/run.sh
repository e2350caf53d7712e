#!/usr/bin/env bash
# Every pass beside its oracle on this machine's GPUs, then the figures; results in record.md. No toolchain is needed:
# a driver is. What is missing is said in the record.
#   run.sh [FOLDER]    where parts and record.md are put (default: here)
# CUDA_HOME names a CUDA toolkit for NVRTC where it is in none of the usual places.
set -u
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$PWD}
mkdir -p "$to/parts" || exit 2
cd "$to" || exit 2
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp} RUST_BACKTRACE=0
status=0

# part FILE DEVICE BY PROGRAM: in a process of its own; what a crash leaves undone is said too.
part() {
  local file=$1 device=$2 by=$3 program=$4
  printf '%s, %s\n' "$device" "$by"
  rm -f "$file"
  "$here/$program" part "$device" "$file" 2>"parts/$device-$by.log"
  local rc=$?
  [ $rc = 0 ] || status=1
  [ -s "$file" ] || missing "$file" "$device" "$by" "the program ended with code $rc: $(tail -n1 "parts/$device-$by.log")"
}

missing() {
  local file=$1 device=$2 by=$3 why=$4
  printf '%s, %s: not run (%s)\n' "$device" "$by" "$why"
  "$here/feynkac-llvm" missing "$device" "$by" "$why" "$file" || status=1
}

# Sets `headers` and `library`: a folder with include/cuda_fp16.h, and one with NVRTC.
find_nvrtc() {
  headers= library=
  local root file
  for root in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-[0-9]* /opt/cuda /usr \
    /usr/lib/python3*/site-packages/nvidia/* /usr/local/lib/python3*/*-packages/nvidia/* \
    /opt/*/lib/python3*/site-packages/nvidia/* "$HOME"/.local/lib/python3*/site-packages/nvidia/*; do
    [ -n "$root" ] || continue
    [ -n "$headers" ] || [ ! -e "$root/include/cuda_fp16.h" ] || headers=$root
    for file in "$root"/lib64/libnvrtc.so* "$root"/lib/libnvrtc.so* "$root"/lib/x86_64-linux-gnu/libnvrtc.so*; do
      [ -n "$library" ] || [ ! -e "$file" ] || library=$(dirname "$file")
    done
  done
  if [ -z "$library" ]; then
    file=$(ldconfig -p 2>/dev/null | awk '/libnvrtc\.so/ {print $NF; exit}')
    [ -z "$file" ] || library=$(dirname "$file")
  fi
}

if ! said=$("$here/feynkac-llvm" feynkac --version 2>&1); then
  printf 'this program does not start here: %s\n' "$said"
  exit 2
fi

{
  printf 'program: %s\n' "$said"
  printf 'day: %s\n' "$(date -u +%F)"
  printf 'kernel: %s\n' "$(uname -srm)"
  printf 'C library: %s\n' "$(ldd --version 2>/dev/null | head -n1)"
  printf 'processor: %s, %s cores\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1)" "$(nproc)"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | sed 's/^/GPU: /'
  printf 'how: bash run.sh, from feynkac-gpu.tar.xz (make gpu-bundle)\n'
} >machine.txt

CUDA_PATH=$here part parts/cuda-llvm.json cuda LLVM-PTX feynkac-llvm

find_nvrtc
if [ -z "$library" ]; then
  missing parts/cuda-nvrtc.json cuda NVRTC "no libnvrtc.so on this machine"
elif [ -z "$headers" ]; then
  missing parts/cuda-nvrtc.json cuda NVRTC "NVRTC without its headers (include/cuda_fp16.h)"
else
  printf 'NVRTC: %s, headers below %s\n' "$library" "$headers" | tee -a machine.txt
  CUDA_PATH=$headers LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
    part parts/cuda-nvrtc.json cuda NVRTC feynkac-nvrtc
fi

part parts/wgpu.json wgpu WGSL feynkac-llvm

"$here/feynkac-llvm" record machine.txt parts/cuda-llvm.json parts/cuda-nvrtc.json parts/wgpu.json >record.md || exit 2
printf 'written: %s/record.md\n' "$to"
grep -q 'not yet run on a GPU' record.md && printf 'not yet run on a GPU\n'
exit $status
