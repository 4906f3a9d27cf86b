//! The stores that the queue is compared with: a program of a workspace of its own, since they are C and C++.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::BoxError;

/// The program, built.
pub(crate) struct Peers {
    program: PathBuf,
}

impl Peers {
    /// Builds the program. The first time takes minutes, most of them for RocksDB.
    pub(crate) fn build() -> Result<Self, BoxError> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("queue-peers/Cargo.toml");
        eprintln!("queue: building the programs to compare with; the first time takes minutes");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--quiet",
                "--locked",
                "--manifest-path",
            ])
            .arg(&manifest)
            // Otherwise the variables of this build choose its folder and flags.
            .env_remove("CARGO_TARGET_DIR")
            .status()?;
        if !status.success() {
            return Err(format!("{} does not build", manifest.display()).into());
        }
        let program = manifest.with_file_name("target/release/broadway-queue-peers");
        Ok(Self { program })
    }

    /// Runs one of its programs in this folder.
    pub(crate) fn run(
        &self,
        program: &str,
        folder: &Path,
        messages: u64,
        bytes: usize,
    ) -> Result<Duration, BoxError> {
        let output = Command::new(&self.program)
            .arg(program)
            .arg(folder)
            .args([messages.to_string(), bytes.to_string()])
            .output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{program}: {error}").into());
        }
        let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok(Duration::from_secs_f64(seconds))
    }
}
