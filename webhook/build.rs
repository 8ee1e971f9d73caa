//! Tells the linker in which order functions stand in the binary.
//!
//! `functions.order` names those that a server runs. Beside each other they take the pages of memory that they fill; strewn
//! among four times as many they take nearly all. A name that is not there any more is passed over, a function that is
//! not named stands behind: the list costs nothing when it is old. `make order` writes it anew.

#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const ORDER: &str = "functions.order";
/// The names are those of this target.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed={ORDER}");
    for variable in ["RUSTC_LINKER", "CARGO_ENCODED_RUSTFLAGS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|set| set == value);
    if !is("TARGET", TARGET) || !is("PROFILE", "release") || has_own_linker() {
        return;
    }
    // rustc's own linker since 1.90, and known to take the flag. Others may not, and a distribution's rustc may lack it.
    let (Some(linker), Ok(directory)) = (bundled_linker(), env::var("CARGO_MANIFEST_DIR")) else { return };
    for argument in [
        &format!("-B{}", linker.display()),
        "-fuse-ld=lld",
        &format!("-Wl,--symbol-ordering-file={directory}/{ORDER}"),
        "-Wl,--no-warn-symbol-ordering",
    ] {
        println!("cargo::rustc-link-arg-bin=spark-injector={argument}");
    }
}

/// Whether somebody has chosen a linker.
fn has_own_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_some() || flags.contains("linker") || flags.contains("-fuse-ld")
}

/// Where rustc keeps the linker that comes with it.
fn bundled_linker() -> Option<PathBuf> {
    let sysroot = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let directory = Path::new(sysroot.trim_end()).join("lib/rustlib").join(TARGET).join("bin/gcc-ld");
    directory.join("ld.lld").exists().then_some(directory)
}
