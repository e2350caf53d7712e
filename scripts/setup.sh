#!/usr/bin/env bash
# What a machine must have to build and test feynkac. Idempotent; one line per finding.
#   scripts/setup.sh         toolchain, C++ compiler, LLVM for the cpu and cuda backends, a Vulkan driver
#   scripts/setup.sh --ptx   also ptxas and libdevice in a Python venv, for the PTX test
# Only git and make are presumed. Without root, or without apt, it prints the commands to run and exits 1.
set -euo pipefail
cd "$(dirname "$0")/.."

RUST_WANTED=1.95
LLVM_BUNDLE=23.1.0-4 # what cubecl 0.11.3 asks of tracel-llvm-bundler
LLVM_URL="https://github.com/tracel-ai/tracel-llvm/releases/download/v$LLVM_BUNDLE/linux-x64.checksums.json"
LLVM_MAJOR=22
NVCC_PIN=nvidia-cuda-nvcc==13.0.88
NVVM_PIN=nvidia-nvvm==13.0.88
data_home="${XDG_DATA_HOME:-$HOME/.local/share}"
llvm_dir="$data_home/tracel/tracel-llvm-$LLVM_BUNDLE"
ptx_venv="${FEYNKAC_PTX_VENV:-$HOME/.cache/feynkac/ptx-venv}"

say() { printf 'setup: %s\n' "$*"; }

apt_updated=
# install PACKAGE...: through apt as root, or say what to run.
install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "missing: $*"
    say "run as root on Debian or Ubuntu:  apt-get update && apt-get install -y $*"
    say "elsewhere, install the same things with your package manager, then run this again"
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$apt_updated" ]; then apt-get update -qq; apt_updated=1; fi
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  say "installed $*"
}

# at_least WANTED FOUND: version order.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

rust_version() { command -v cargo >/dev/null && cargo --version 2>/dev/null | awk '{print $2}'; }

setup_rust() {
  [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
  local found; found=$(rust_version || true)
  if [ -n "$found" ] && at_least "$RUST_WANTED" "$found"; then say "Rust $found"; return; fi
  command -v curl >/dev/null || install curl ca-certificates
  if command -v rustup >/dev/null; then
    rustup toolchain install "$RUST_WANTED" --profile minimal -c clippy -c rustfmt && rustup default "$RUST_WANTED"
  elif curl --proto '=https' --tlsv1.2 -sSf --max-time 20 https://sh.rustup.rs -o /tmp/rustup-init.sh; then
    sh /tmp/rustup-init.sh -y -q --profile minimal --default-toolchain "$RUST_WANTED" -c clippy -c rustfmt
    PATH="$HOME/.cargo/bin:$PATH"
  else
    local deb; deb=$(apt-cache policy cargo 2>/dev/null | awk '/Candidate/ {print $2}')
    if [ -n "$deb" ] && at_least "$RUST_WANTED" "$deb"; then install cargo rustc rust-clippy rustfmt; else
      say "Rust $RUST_WANTED wanted, found '${found:-none}', rustup unreachable and the distribution has '${deb:-none}'"
      say "install Rust $RUST_WANTED or newer from https://www.rust-lang.org/tools/install and run this again"
      exit 1
    fi
  fi
  say "Rust $(rust_version)"
}

setup_tools() {
  local missing=()
  command -v c++ >/dev/null || missing+=(g++)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  [ ${#missing[@]} = 0 ] || install "${missing[@]}"
  say "C++ compiler, pkg-config, python3 venv"
}

# The cpu and cuda backends link LLVM. cubecl's build script downloads its own; where that is out of
# reach, the distribution's LLVM serves through a small llvm-config in the place the script looks.
setup_llvm() {
  if [ -e "$llvm_dir/.tracel-llvm-installed" ]; then say "LLVM for cubecl in place"; return; fi
  command -v curl >/dev/null || install curl ca-certificates
  if curl -sSfL --max-time 10 -o /dev/null "$LLVM_URL" 2>/dev/null; then
    say "LLVM for cubecl will be downloaded by its build script"; return
  fi
  if [ ! -x "/usr/lib/llvm-$LLVM_MAJOR/bin/llvm-config" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq; apt_updated=1
      if ! apt-cache show "llvm-$LLVM_MAJOR-dev" >/dev/null 2>&1; then
        say "cubecl's LLVM cannot be downloaded and this release has no llvm-$LLVM_MAJOR-dev."
        say "alternatives: the security archive of Debian bookworm, Debian 13 or newer, https://apt.llvm.org,"
        say "or build without the LLVM backends: cargo build --no-default-features --features cli,wgpu"
        exit 1
      fi
    fi
    install "llvm-$LLVM_MAJOR-dev" "libpolly-$LLVM_MAJOR-dev" libz3-dev libzstd-dev zlib1g-dev libxml2-dev
  fi
  mkdir -p "$llvm_dir/bin"
  cat >"$llvm_dir/bin/llvm-config" <<EOF
#!/bin/sh
# Debian's LLVM in the place of cubecl's bundle; -lz3 because the static list names a file by its path.
/usr/lib/llvm-$LLVM_MAJOR/bin/llvm-config "\$@" | sed 's#/usr/lib/[^ ]*/libz3.so#-lz3#'
EOF
  chmod +x "$llvm_dir/bin/llvm-config"
  touch "$llvm_dir/.tracel-llvm-installed"
  say "LLVM $LLVM_MAJOR of the distribution bridged for cubecl"
}

setup_vulkan() {
  local icd=
  for dir in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/nvidia/share/vulkan/icd.d; do
    if [ -n "$(ls "$dir"/*.json 2>/dev/null)" ]; then icd=$dir; fi
  done
  local loader; loader=$(ls /usr/lib/*/libvulkan.so.1 /usr/lib64/libvulkan.so.1 2>/dev/null | head -n1 || true)
  if [ "$(uname -s)" = Linux ] && { [ -z "$icd" ] || [ -z "$loader" ]; }; then
    install mesa-vulkan-drivers libvulkan1
  else
    say "Vulkan driver"
  fi
}

setup_ptx() {
  if [ -e "$ptx_venv/.ready-$NVCC_PIN" ]; then say "ptxas and libdevice in place"; return; fi
  rm -rf "$ptx_venv"; mkdir -p "$(dirname "$ptx_venv")"
  python3 -m venv "$ptx_venv"
  "$ptx_venv/bin/pip" install -q --disable-pip-version-check --no-deps "$NVCC_PIN" "$NVVM_PIN"
  touch "$ptx_venv/.ready-$NVCC_PIN"
  say "ptxas and libdevice installed in $ptx_venv"
}

setup_rust
setup_tools
setup_llvm
setup_vulkan
for arg in "$@"; do
  case "$arg" in
    --ptx) setup_ptx ;;
    *) say "unknown option '$arg' (known: --ptx)"; exit 2 ;;
  esac
done
