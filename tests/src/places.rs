//! Where things are: the repository, built binaries, caches. The only module that reads the environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// The built `spark-injector`: `SPARK_INJECTOR_BIN`, else what `make build` leaves.
pub fn spark_injector() -> PathBuf {
    binary("SPARK_INJECTOR_BIN", "spark-injector")
}

/// The built `init-sync`: `INIT_SYNC_BIN`, else what `make build` leaves.
pub fn init_sync() -> PathBuf {
    binary("INIT_SYNC_BIN", "init-sync")
}

/// The directory with `etcd`, `kube-apiserver` and `kubectl`: `SPARK_INJECTOR_CONTROL_PLANE`, else what
/// `tests/cluster/build.sh` has built or builds now, which takes minutes the first time.
pub fn control_plane() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| prepared("SPARK_INJECTOR_CONTROL_PLANE", "tests/cluster/build.sh"))
}

/// The directory with kubelet, containerd and what they need: `SPARK_INJECTOR_NODE`, else what `tests/node/build.sh` has
/// built or builds now, which takes minutes the first time.
pub fn node() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| prepared("SPARK_INJECTOR_NODE", "tests/node/build.sh"))
}

/// An image of real Spark, as an OCI archive: below `SPARK_INJECTOR_SPARK_IMAGE`, else what `tests/node/spark-image.sh`
/// has made or makes now, which takes minutes the first time.
pub fn spark_image() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| prepared("SPARK_INJECTOR_SPARK_IMAGE", "tests/node/spark-image.sh"))
        .join("spark.tar")
}

/// The archives of our own images, which `make images` leaves.
///
/// # Panics
/// When they are not there.
pub fn images() -> Vec<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    ["spark-injector", "init-sync"]
        .map(|name| {
            let archive = repository().join(format!("target/images/{name}-{version}.tar"));
            assert!(archive.is_file(), "{} is not there: run `make images` first", archive.display());
            archive
        })
        .into()
}

/// `SPARK_HOME` of real Spark: `SPARK_INJECTOR_SPARK_HOME`, else what `tests/spark/install.sh` has fetched or
/// fetches now. `SPARK_HOME` itself is not asked: it may be any version.
pub fn spark_home() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| prepared("SPARK_INJECTOR_SPARK_HOME", "tests/spark/install.sh"))
}

/// Whether temporary directories stay for a look at the logs: `KEEP` is set.
pub(crate) fn keep() -> bool {
    set("KEEP").is_some()
}

/// Whether golden files are to be written instead of compared: `REFRESH_GOLDEN` is set.
pub fn refresh_golden() -> bool {
    set("REFRESH_GOLDEN").is_some()
}

fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn binary(variable: &str, name: &str) -> PathBuf {
    let path = set(variable).unwrap_or_else(|| repository().join("target/bin").join(name));
    assert!(
        path.is_file(),
        "{} is not there: run `make build` first, or point {variable} at the binary",
        path.display()
    );
    path
}

fn prepared(variable: &str, script: &str) -> PathBuf {
    if let Some(directory) = set(variable) {
        assert!(directory.is_dir(), "{variable} is {}, which is no directory", directory.display());
        return directory;
    }
    let output = Command::new(repository().join(script))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
    assert!(output.status.success(), "{script} ended with {}; its messages are above", output.status);
    let text = String::from_utf8(output.stdout).expect("a path in UTF-8");
    PathBuf::from(text.lines().last().unwrap_or_else(|| panic!("{script} printed no directory")))
}
