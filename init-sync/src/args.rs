//! The command line and the environment: the only place that reads either. What a word means is decided here, what
//! is done about it elsewhere.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use init_sync::path::check_path;
use init_sync::{DEFAULT_DIRECTORY, Wiped};

/// What the user typed, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) settings: Settings,
}

/// What holds for every command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) verbosity: Verbosity,
    /// Where the failure goes besides stderr; the kubelet's default unless given.
    pub(crate) termination_log: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    #[default]
    Normal,
    /// Nothing on success.
    Quiet,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    SelfTest { to: PathBuf },
    ByManifest { to: Option<PathBuf> },
    ByNames { to: PathBuf, mode: u32, names: Vec<String> },
}

/// Why the command line is refused, and where the failure shall go nevertheless.
#[derive(Debug)]
pub(crate) struct UsageError {
    pub(crate) message: String,
    pub(crate) settings: Settings,
}

/// The value of an environment variable. No call lists the environment: in a pod it is full of what Services and
/// images put there, and a name that the manifest does not say is none of our business.
pub(crate) fn variable(name: &str) -> Option<Wiped> {
    env::var_os(name).map(|value| Wiped::from(value.into_vec()))
}

impl Args {
    /// Understands the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// The first argument that makes no sense, with what is allowed.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut words = Words::default();
        match words.read(arguments.into_iter()).and_then(|()| words.command()) {
            Ok(command) => Ok(Self { command, settings: words.settings }),
            Err(message) => Err(UsageError { message, settings: words.settings }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Help,
    Version,
    SelfTest,
}

/// What the user typed, word by word.
#[derive(Default)]
struct Words {
    ask: Option<Ask>,
    to: Option<PathBuf>,
    mode: Option<u32>,
    names: Vec<String>,
    settings: Settings,
}

impl Words {
    fn read(&mut self, mut arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
        let mut options_ended = false;
        while let Some(argument) = arguments.next() {
            let Some(word) = argument.to_str() else {
                return Err(format!(
                    "argument {} is not UTF-8; only DIR and FILE, as words of their own, may be anything",
                    argument.display()
                ));
            };
            if options_ended || !word.starts_with('-') {
                self.name(word)?;
                continue;
            }
            let (option, inline) = match word.split_once('=') {
                Some((option, value)) => (option, Some(OsString::from(value))),
                None => (word, None),
            };
            let takes_value = matches!(option, "--to" | "--mode" | "--termination-log");
            let value = match inline {
                Some(_) if !takes_value => return Err(format!("{option:?} takes no value")),
                None if takes_value => arguments.next().unwrap_or_default(),
                inline => inline.unwrap_or_default(),
            };
            if takes_value && value.is_empty() {
                return Err(format!("{option} needs a value: {option} VALUE or {option}=VALUE"));
            }
            match option {
                "--" => options_ended = true,
                "--to" => self.to = Some(value.into()),
                "--mode" => self.mode = Some(mode(&value)?),
                "--termination-log" => self.settings.termination_log = Some(value.into()),
                "--quiet" | "-q" => self.settings.verbosity = Verbosity::Quiet,
                "--self-test" => self.ask = Some(Ask::SelfTest),
                // At once: whoever asks for help may have typed anything else.
                "--help" | "-h" => {
                    self.ask = Some(Ask::Help);
                    return Ok(());
                }
                "--version" | "-V" => {
                    self.ask = Some(Ask::Version);
                    return Ok(());
                }
                _ => {
                    return Err(format!(
                        "unknown option {option:?}; allowed are --to DIR, --mode OCTAL, --quiet, \
                         --termination-log FILE, --self-test, --help, --version"
                    ));
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, word: &str) -> Result<(), String> {
        // What comes after it may be what nobody should read in a log.
        if let Some((name, _)) = word.split_once('=') {
            return Err(format!(
                "name {name:?} has a `=`; write the name alone, the value is taken from the environment"
            ));
        }
        check_path(word).map_err(|error| format!("name {word:?}: {error}"))?;
        if word.contains('/') || word == "." {
            return Err(format!("name {word:?} has a `/`; a variable's name is the file's name"));
        }
        if self.names.iter().any(|name| name == word) {
            return Err(format!("name {word:?} is given twice"));
        }
        self.names.push(word.to_owned());
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        let to = self.to.take();
        let names = std::mem::take(&mut self.names);
        match (self.ask, to) {
            (Some(Ask::Help), _) => Ok(Command::Help),
            (Some(Ask::Version), _) => Ok(Command::Version),
            (Some(Ask::SelfTest), _) if !names.is_empty() || self.mode.is_some() => {
                Err("--self-test takes no names and no --mode; only --to DIR".to_owned())
            }
            (Some(Ask::SelfTest), to) => {
                Ok(Command::SelfTest { to: to.unwrap_or_else(|| DEFAULT_DIRECTORY.into()) })
            }
            (None, to) if names.is_empty() => match self.mode {
                None => Ok(Command::ByManifest { to }),
                Some(_) => {
                    Err("--mode goes with names of variables; a manifest has its own modes".to_owned())
                }
            },
            (None, Some(to)) => Ok(Command::ByNames { to, mode: self.mode.unwrap_or(0o444), names }),
            (None, None) => Err("names of variables need --to DIR".to_owned()),
        }
    }
}

fn mode(value: &OsStr) -> Result<u32, String> {
    let digits = match value.as_bytes() {
        [b'0', digits @ ..] if digits.len() == 3 => digits,
        digits => digits,
    };
    let octal = digits.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    if octal && digits.len() == 3 {
        Ok(digits.iter().fold(0, |mode, digit| mode << 3 | u32::from(digit - b'0')))
    } else {
        Err(format!("--mode {}: must be three octal digits, such as 0440", value.display()))
    }
}
