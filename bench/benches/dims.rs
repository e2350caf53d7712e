//! Asks `feynkac_bench::questions::dims`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::dims::ask);
}
