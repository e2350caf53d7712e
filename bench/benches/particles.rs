//! Asks `feynkac_bench::questions::particles`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::particles::ask);
}
