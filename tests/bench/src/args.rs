//! The command line, and where things are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures spark-injector and init-sync against references, interleaved in one run
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) bench: Bench,
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Only this suite (repeatable)
    #[arg(long, value_name = "SUITE")]
    pub(crate) only: Vec<Suite>,
    /// Rounds; each runs every subject once [default: 5, quick: 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Shorter measurements: for a look, not for a record
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the list of results goes [default: target/bench/report.json]
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Where the picture goes [default: beside the list, with the ending svg]
    #[arg(long, value_name = "PATH")]
    picture: Option<PathBuf>,
    /// The built spark-injector [default: target/bin/spark-injector]
    #[arg(long, value_name = "PATH", env = "SPARK_INJECTOR_BIN")]
    injector: Option<PathBuf>,
    /// The built init-sync [default: target/bin/init-sync]
    #[arg(long, value_name = "PATH", env = "INIT_SYNC_BIN")]
    init_sync: Option<PathBuf>,
    /// A busybox with sh and base64, for a reference of init-sync [default: the one in PATH]
    #[arg(long, value_name = "PATH", env = "BUSYBOX")]
    busybox: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Suite {
    Handler,
    Server,
    InitSync,
    Catalog,
    Burst,
    Cluster,
}

impl Suite {
    pub(crate) const ALL: [Self; 6] =
        [Self::Handler, Self::Server, Self::InitSync, Self::Catalog, Self::Burst, Self::Cluster];
}

/// Parts of a measurement that need a process of their own.
#[derive(Debug, Subcommand)]
pub(crate) enum Inner {
    /// Runs one subject so often, for instruction counts
    #[command(hide = true)]
    Review { subject: Subject, payload: usize, count: usize },
    /// A server that answers a constant
    #[command(hide = true)]
    Constant(Constant),
    /// Starts a program so often, and prints wall and CPU microseconds of each run
    #[command(hide = true)]
    Spawn {
        count: usize,
        #[arg(required = true, last = true)]
        program: Vec<String>,
    },
    /// Prints the peak memory of a program
    #[command(hide = true)]
    Peak {
        #[arg(required = true, last = true)]
        program: Vec<String>,
    },
    /// Compiles a catalog, and prints what it took
    #[command(hide = true)]
    Catalog { namespaces: usize, profiles: usize, bytes: usize },
}

/// What handles a review in process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    /// The engine.
    Ours,
    /// Typed pod, clone, difference, kube's response.
    Kube,
    /// A scan that validates JSON, which is UTF-8 (RFC 8259, 8.1), and keeps nothing.
    Scan,
    /// The inputs alone, made and thrown away.
    Nothing,
}

#[derive(Args, Debug)]
pub(crate) struct Constant {
    #[arg(long)]
    pub(crate) certificate: PathBuf,
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Encoded bytes of the payload in the answer.
    #[arg(long)]
    pub(crate) payload: usize,
}

impl Bench {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    /// CPU time of one measurement in process.
    pub(crate) fn call_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 40 } else { 200 })
    }

    /// CPU time of a server in one measurement: ticks are 10 ms.
    pub(crate) fn server_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 300 } else { 1000 })
    }

    pub(crate) fn json(&self) -> PathBuf {
        self.json.clone().unwrap_or_else(|| output().join("report.json"))
    }

    pub(crate) fn picture(&self) -> PathBuf {
        self.picture.clone().unwrap_or_else(|| self.json().with_extension("svg"))
    }

    pub(crate) fn injector(&self) -> Result<PathBuf, String> {
        built(self.injector.as_deref(), "spark-injector")
    }

    pub(crate) fn init_sync(&self) -> Result<PathBuf, String> {
        built(self.init_sync.as_deref(), "init-sync")
    }

    pub(crate) fn busybox(&self) -> Option<PathBuf> {
        self.busybox.clone().or_else(|| program("busybox"))
    }
}

fn built(chosen: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let path = chosen.map_or_else(|| repository().join("target/bin").join(name), Path::to_path_buf);
    if path.is_file() { Ok(path) } else { Err(format!("{} (run `make build` first)", path.display())) }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/bench lies in the repository")
}

/// Where references are built and results are written.
pub(crate) fn output() -> PathBuf {
    repository().join("target/bench")
}

/// A program of the search path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "the search path is no setting")]
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}
