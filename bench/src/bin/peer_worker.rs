//! feynkac as a worker of `bench/peers`: everything is in [`feynkac_bench::worker`].

fn main() {
    feynkac_bench::worker::main();
}
