//! Asks `feynkac_bench::questions::networks`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::networks::ask);
}
