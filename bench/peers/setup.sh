#!/usr/bin/env bash
# Fills $PEERS_HOME (default ~/.cache/feynkac-peers) with what the comparison needs: a Python venv and the native
# peer. Linux. Idempotent; one line per finding.
#   setup.sh              everything
#   setup.sh --no-torch   without PyTorch, which is by far the largest part
# Wants Python 3.11 or newer with venv (another one than python3: PYTHON=...), g++, and for PyTorch readelf and nm.
set -euo pipefail
cd "$(dirname "$0")"

home="${PEERS_HOME:-$HOME/.cache/feynkac-peers}"
python="${PYTHON:-python3}"
venv="$home/venv"

say() { printf 'peers: %s\n' "$*"; }

torch=yes
for arg in "$@"; do
  case "$arg" in
    --no-torch) torch=no ;;
    *) say "unknown option '$arg' (known: --no-torch)"; exit 2 ;;
  esac
done

if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "$python is not a Python 3.11 or newer with venv; name one by PYTHON=..."
  exit 1
fi
mkdir -p "$home"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip "$@" --disable-pip-version-check; }

pip install -q --no-deps -r requirements.txt
say "NumPy, particles and JAX in $venv"

if [ "$torch" = yes ]; then
  pip install -q --no-deps -r requirements-torch.txt
  lib=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch/lib
  "$venv/bin/python" torch_stubs.py "$lib" "$home/stubs"
  say "PyTorch"
else
  say "no PyTorch; run.py will say that it is skipped"
fi

# Vectors of 512 bits where the machine has them; gcc would halve them by itself on some.
flags=(-O3 -march=native -ffast-math -fopenmp)
if g++ -mprefer-vector-width=512 -E -x c++ /dev/null >/dev/null 2>&1; then flags+=(-mprefer-vector-width=512); fi
rm -f "$home/native" # an old one must not stand in for one that fails to build
if g++ "${flags[@]}" -o "$home/native" native/main.cpp -lm; then
  say "native peer: $(g++ --version | head -n1), ${flags[*]}"
else
  say "the native peer does not build here; run.py will say that it is skipped"
fi
