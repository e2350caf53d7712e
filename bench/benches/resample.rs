//! Asks `feynkac_bench::questions::resample`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::resample::ask);
}
