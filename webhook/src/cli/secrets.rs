//! `secrets`: the Secrets to apply.

use super::Compiled;
use super::exit::Failure;
use super::output::{self, Printed};
use crate::args::{Inputs, SecretsArgs, SecretsOutput};

pub(super) fn run(args: SecretsArgs) -> Result<(), Failure> {
    let SecretsArgs { inputs, namespace, output } = args;
    let compiled = Compiled::new(&Inputs::from(inputs))?;
    // First: one of these may be why the namespace is not known.
    for problem in compiled.problems() {
        output::note(&format!("warning: {problem}"));
    }
    if let Some(namespace) = &namespace {
        compiled.require_namespace(namespace)?;
    }
    let is_whole = match &namespace {
        Some(namespace) => compiled.catalog.problems_of(namespace).is_empty(),
        None => compiled.problems().next().is_none(),
    };
    let secrets = compiled.catalog.secrets(namespace.as_deref());
    match output {
        SecretsOutput::Yaml => Printed::yaml(&secrets)?,
        SecretsOutput::Json => Printed::list(&secrets)?,
    }
    .write()?;
    // Some of the Secrets that pods will ask for are not among those that were printed.
    if is_whole { Ok(()) } else { Err(Failure::Invalid) }
}
