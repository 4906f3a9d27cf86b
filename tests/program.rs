//! The programs of the examples, for tests that start them.

use std::{env, path::PathBuf, process::Command};

/// Returns the program of an example. `cargo test --workspace` builds all examples first; builds it here if it is missing.
pub(crate) fn program(example: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let program = this
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(example);
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "-p",
                "broadway-examples",
                "--all-features",
            ])
            .args(["--example", example])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success() && program.exists(), "{}", program.display());
    }
    program
}
