# The README's commands, each one line. `make demo` and `make test` do all the set-up themselves.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Without this the search for displays complains on every headless machine.
export XDG_RUNTIME_DIR ?= /tmp

# `--workspace` everywhere: without it cargo builds the dependencies a second time, for other features.
.PHONY: demo test check deny bench peers gpu-bundle experiments setup
setup:
	@scripts/setup.sh

# The main job on the CPU, and again on a GPU where there is one; pictures in out/demo-*.
demo: setup
	$(CARGO) build --release --locked --workspace --example demo --bin feynkac
	$(TARGET)/release/examples/demo --every-device --output out

test:
	@scripts/setup.sh --ptx
	$(CARGO) test --release --locked --workspace --lib --bins --test all
	$(CARGO) test --release --locked --workspace --doc

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps
	$(CARGO) check --release --locked -p feynkac-kernels --no-default-features

deny:
	$(CARGO) deny check

bench: setup
	$(CARGO) bench --locked -p feynkac-bench

# The comparison with NumPy, JAX, PyTorch and C++; its tables in out/peers.md.
PEERS_HOME ?= $(HOME)/.cache/feynkac-peers
peers: setup
	PEERS_HOME=$(PEERS_HOME) bench/peers/setup.sh
	$(CARGO) build --release --locked --workspace --bin peer_worker
	mkdir -p out
	PEERS_HOME=$(PEERS_HOME) $(PEERS_HOME)/venv/bin/python bench/peers/run.py --out out/peers.json
	$(PEERS_HOME)/venv/bin/python bench/peers/report.py out/peers.json | tee out/peers.md

# out/feynkac-gpu.tar.xz: unpack it on a machine with a GPU and run its run.sh.
gpu-bundle:
	@scripts/setup.sh --ptx
	CARGO=$(CARGO) scripts/bundle/build.sh

# Long runs, never in CI.
experiments: setup
	$(CARGO) build --release --locked --workspace --example demo --example fkc_toy --example forty_modes --example digits_sweep --example scaffold --example mnist_twisted --example particles
	$(TARGET)/release/examples/demo --every-device --output out --particles 65536
	$(TARGET)/release/examples/fkc_toy --output out/fkc-toy
	$(TARGET)/release/examples/forty_modes --output out/forty-modes
	$(TARGET)/release/examples/digits_sweep --output out/digits-sweep
	$(TARGET)/release/examples/scaffold
	$(TARGET)/release/examples/mnist_twisted --steps 50 --known 100 --output out/mnist-twisted
	$(TARGET)/release/examples/particles --cut 0.9 --output out/particles
	FEYNKAC_EXPERIMENTS=1 $(CARGO) test --release --locked --workspace --test all methods:: -- --nocapture
