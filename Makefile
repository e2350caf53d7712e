# The README's commands, each one line. `make demo` and `make test` do all the set-up themselves.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
# Without it the search for displays complains on every headless machine.
export XDG_RUNTIME_DIR ?= /tmp

.PHONY: demo test check deny bench experiments setup
setup:
	@scripts/setup.sh

# The main job on the CPU, and again on a GPU where there is one; pictures in out/demo-*.
demo: setup
	$(CARGO) build --release --locked --example demo --bin feynkac
	$(CARGO) run --release --locked --quiet --example demo -- --every-device --output out

test:
	@scripts/setup.sh --ptx
	$(CARGO) test --release --locked --workspace --lib --bins --test all
	$(CARGO) test --release --locked --doc

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps
	$(CARGO) check --release --locked -p feynkac-kernels --no-default-features

deny:
	$(CARGO) deny check

bench: setup
	$(CARGO) bench --locked -p feynkac-bench

# Long runs, never in CI.
experiments: setup
	$(CARGO) run --release --locked --example demo -- --every-device --output out --particles 65536
