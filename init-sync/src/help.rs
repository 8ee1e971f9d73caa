//! The text of `--help`.

use std::fmt;

use init_sync::Exit;

/// Displays as the whole text.
pub(crate) struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{USAGE}\nExit codes:")?;
        for exit in Exit::ALL {
            match exit {
                Exit::Done => writeln!(f, "  {:>3}  {exit}", exit.code())?,
                _ => writeln!(f, "  {:>3}  {exit}: {}", exit.code(), exit.remedy())?,
            }
        }
        Ok(())
    }
}

const USAGE: &str = "\
Writes files from environment variables, all of them or none.

Usage: init-sync [--to DIR]            make what INIT_SYNC_MANIFEST says
       init-sync --to DIR NAME...      make DIR/NAME of each variable NAME (padded base64)
       init-sync --self-test [--to DIR]

Options:
      --to DIR                the target directory; it must exist
                              [default: the manifest's; for --self-test /spark-injector]
      --mode OCTAL            mode of the files that NAME... makes [default: 0444]
      --termination-log FILE  an existing file that is told of a failure, besides stderr
                              [default: /dev/termination-log]
  -q, --quiet                 say nothing on success
      --self-test             make files in a new directory below DIR, compare, remove them
  -h, --help                  show this
  -V, --version               show the version

Examples:
  The init container of a Spark pod, as the webhook adds it:
    init-sync
  The same below another directory, to see what a pod would get:
    init-sync --to /tmp/files
  Two files without a manifest, readable by owner and group:
    init-sync --to /conf --mode 0440 krb5.conf etl.keytab
";
