//! Flags about the log.

use clap::{Args, ValueEnum};

/// What is logged, and how it looks.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// What log lines look like
    #[arg(long, value_enum, env = "SPARK_INJECTOR_LOG_FORMAT", default_value_t = LogLook::Json)]
    pub log_format: LogLook,
    /// Least important lines that are written; `SPARK_INJECTOR_LOG` can say more, by part of the program
    #[arg(long, value_enum, env = "SPARK_INJECTOR_LOG_LEVEL", default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogLook {
    /// One object per line
    Json,
    /// For people
    Text,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogLevel {
    /// Something does not work
    Error,
    /// Something may not work as somebody expects
    Warn,
    /// Changes of state, and every admission
    Info,
    /// What the process is doing
    Debug,
}
