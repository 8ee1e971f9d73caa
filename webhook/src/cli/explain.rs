//! x
use super::exit::Failure;
use crate::args::ExplainArgs;
pub(super) fn run(_args: ExplainArgs) -> Result<(), Failure> {
    Ok(())
}
