//! The commands of the README that need no cluster, as they stand there.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn what_the_readme_says_to_type_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    // `serve` is asked for a certificate and for ports of its own: the tests of the server start it.
    let commands = ["validate", "inject", "explain", "secrets"];
    let command = |line: &str| {
        let of = line.strip_prefix("spark-injector ")?.split_whitespace().next()?;
        commands.into_iter().find(|known| *known == of && line.contains("--from examples/"))
    };
    let lines: Vec<&str> = readme.lines().filter(|line| command(line).is_some()).collect();
    assert_eq!(lines.iter().filter_map(|line| command(line)).collect::<Vec<_>>(), commands, "{lines:?}");
    for line in lines {
        let output = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
            .args(line.split_whitespace().skip(1))
            .current_dir(root)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {said}");
        assert!(!said.contains("error"), "{line}: {said}");
    }
}
