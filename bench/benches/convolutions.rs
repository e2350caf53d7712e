//! Asks `feynkac_bench::questions::convolutions`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::convolutions::ask);
}
