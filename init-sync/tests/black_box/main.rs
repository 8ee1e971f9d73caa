//! The built binary, as a container runtime runs it: an environment, a directory, an exit code.
//!
//! | module | asks |
//! | --- | --- |
//! | `restore` | are the files, byte for byte, what was delivered? |
//! | `refuse` | does every wrong input end with its own code and no file? |
//! | `volume` | users, modes, full and read-only volumes, as in a pod |
//! | `killed` | what does a run leave that dies at any system call? |
//! | `cli` | the command line, its help and its messages |
//!
//! Some need root, a kernel that lets us mount, or strace; where that is missing they print a line that starts with
//! `skipped:` and test the rest.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod refuse;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod volume;
