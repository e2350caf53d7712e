//! Asks `feynkac_bench::questions::overhead`.

fn main() {
    feynkac_bench::answer(feynkac_bench::questions::overhead::ask);
}
