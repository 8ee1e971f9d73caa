//! The commands. They read files and streams and write the results of the engine; they decide nothing themselves.

mod check;
mod exit;
mod explain;
mod inject;
mod judge;
mod live;
mod objects;
mod output;
mod running;
mod secrets;
mod serve;
mod validate;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::api::crd;
use crate::args::{Cli, Command, Inputs};
use crate::catalog::{Catalog, Problem};
use crate::sources::directory::Load;
use exit::Failure;
use output::Printed;

pub use exit::report_usage;

/// Runs a command and says how it ended.
pub fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Inject(args) => inject::run(args),
        Command::Explain(args) => explain::run(*args),
        Command::Check(args) => check::run(*args),
        Command::Validate(args) => validate::run(args),
        Command::Secrets(args) => secrets::run(args),
        Command::Serve(args) => serve::run(*args),
        Command::Crd => print_crd(),
        Command::Completions { shell } => print_completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}

fn print_crd() -> Result<(), Failure> {
    let yaml = crd::yaml().map_err(|error| Failure::Internal(anyhow::Error::new(error)))?;
    Printed::from(yaml).write()
}

fn print_completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "spark-injector", &mut script);
    Printed::from(String::from_utf8_lossy(&script).into_owned()).write()
}

/// The inputs, compiled once.
struct Compiled {
    catalog: Catalog,
    load: Load,
}

impl Compiled {
    fn new(inputs: &Inputs) -> Result<Self, Failure> {
        let load = inputs.directory.load().map_err(|unreadable| Failure::Unusable(unreadable.to_string()))?;
        let catalog = Catalog::compile(&load.snapshot, &inputs.settings, None);
        Ok(Self { catalog, load })
    }

    /// Every mistake: of the documents, then of the profiles.
    fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.load.problems.iter().chain(self.catalog.problems())
    }

    /// Fails where the sources do not know the namespace: nobody can say what would happen there.
    fn require_namespace(&self, namespace: &str) -> Result<(), Failure> {
        if self.catalog.knows_namespace(namespace) {
            return Ok(());
        }
        let known: Vec<&str> = self.load.snapshot.namespaces.keys().map(String::as_str).take(10).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Failure::Unusable(format!(
            "namespace `{namespace}` is not in the sources (there: {known}); add a document of kind Namespace to --from"
        )))
    }

    /// Names on the standard error what is wrong elsewhere: it does not concern these pods, and somebody should know.
    fn warn_about_others(&self, namespace: &str) {
        let own = self.catalog.problems_of(namespace);
        for problem in self.problems().filter(|problem| !own.contains(problem)) {
            output::note(&format!("warning: {problem}"));
        }
        for ignored in &self.load.warnings {
            output::note(&format!("warning: {ignored}"));
        }
    }
}
