//! Asks `feynkac_bench::questions::fusion`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::fusion::ask);
}
