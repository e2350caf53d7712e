//! The `feynkac` program: everything is in [`feynkac::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feynkac::cli::main()
}
