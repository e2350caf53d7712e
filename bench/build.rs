//! Links the bundle with what `scripts/bundle/build.sh` names: static libraries, and what older C libraries lack.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=FEYNKAC_BUNDLE_LIBS");
    if let Ok(folder) = env::var("FEYNKAC_BUNDLE_LIBS") {
        println!("cargo::rustc-link-arg-bin=bundle=-L{folder}");
        println!("cargo::rustc-link-arg-bin=bundle={folder}/oldlibc.o");
    }
}
