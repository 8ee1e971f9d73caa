//! Deliveries, runs of the binary, and what is in a directory afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use init_sync::{Encoding, Entry, Exit, File, MANIFEST_VARIABLE, Manifest};
use miniz_oxide::deflate::compress_to_vec;
use sha2::{Digest as _, Sha256};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_init-sync");

/// A manifest, its variables, and what they must become.
#[derive(Default)]
pub(crate) struct Delivery {
    pub(crate) entries: Vec<Entry>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) expected: Tree,
}

/// Mode and content by path; a directory has no content and an uninteresting mode.
pub(crate) type Tree = BTreeMap<String, (u32, Option<Vec<u8>>)>;

impl Delivery {
    /// A file in one variable, plain.
    pub(crate) fn with(self, path: &str, mode: u32, content: &[u8]) -> Self {
        let variable = path.rsplit('/').next().unwrap().to_owned();
        let variable = if init_sync::is_legal_variable(&variable) { variable } else { self.derived() };
        self.with_chunks(path, mode, content, Encoding::Plain, vec![(variable, usize::MAX)])
    }

    /// A file in variables that are named and sized.
    pub(crate) fn with_chunks(
        mut self,
        path: &str,
        mode: u32,
        content: &[u8],
        encoding: Encoding,
        chunks: Vec<(String, usize)>,
    ) -> Self {
        let encoded = match encoding {
            Encoding::Plain => content.to_vec(),
            Encoding::Deflate => compress_to_vec(content, 9),
        };
        let mut rest = &encoded[..];
        let mut variables = Vec::new();
        for (name, size) in chunks {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            self.variables.insert(name.clone(), BASE64_STANDARD.encode(chunk));
            variables.push(name);
            rest = after;
        }
        assert!(rest.is_empty(), "chunks that do not hold {path}");
        self.entries.push(Entry::File(File {
            path: path.to_owned(),
            mode,
            size: content.len() as u64,
            digest: Sha256::digest(content).into(),
            encoding,
            variables,
        }));
        self.expect(path, mode, Some(content))
    }

    pub(crate) fn with_directory(mut self, path: &str) -> Self {
        self.entries.push(Entry::Directory { path: path.to_owned() });
        self.expect(path, 0o755, None)
    }

    pub(crate) fn with_empty_file(mut self, path: &str) -> Self {
        self.entries.push(Entry::EmptyFile { path: path.to_owned() });
        self.expect(path, 0o444, Some(b""))
    }

    /// A name as the webhook derives it for what cannot name a variable.
    pub(crate) fn derived(&self) -> String {
        format!("f{}", self.entries.len())
    }

    fn expect(mut self, path: &str, mode: u32, content: Option<&[u8]>) -> Self {
        for (end, _) in path.match_indices('/') {
            self.expected.insert(path[..end].to_owned(), (0o755, None));
        }
        self.expected.insert(path.to_owned(), (mode, content.map(<[u8]>::to_vec)));
        self
    }

    pub(crate) fn manifest(&self) -> String {
        Manifest { directory: "/spark-injector".to_owned(), entries: self.entries.clone() }.to_string()
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.variables.clone();
        environment.insert(MANIFEST_VARIABLE.to_owned(), self.manifest());
        environment
    }

    /// Runs the binary on this delivery, into `to`.
    pub(crate) fn run(&self, to: &Path) -> Finished {
        run(&self.environment(), &["--to", to.to_str().unwrap()])
    }

    pub(crate) fn assert_in(&self, root: &Path) {
        let found = tree(root);
        assert_eq!(found.keys().collect::<Vec<_>>(), self.expected.keys().collect::<Vec<_>>());
        for (path, expected) in &self.expected {
            assert!(found[path] == *expected, "{path}: mode {:o}, or another content", found[path].0);
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn assert_done(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
    }

    /// That code, one line on stderr that names `about`, nothing on stdout.
    pub(crate) fn assert_failed(&self, exit: Exit, about: &str) {
        assert_eq!(self.code, Some(i32::from(exit.code())), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.starts_with("init-sync: ") && self.stderr.contains(about), "{about:?}: {self:?}");
        assert_eq!(self.stderr.matches('\n').count(), 1, "{self:?}");
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn run(environment: &BTreeMap<String, String>, arguments: &[&str]) -> Finished {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    run_command(command, environment)
}

pub(crate) fn run_command(mut command: Command, environment: &BTreeMap<String, String>) -> Finished {
    // The default search path finds the tools that some tests put before the binary.
    command.env_clear().envs(environment).output().unwrap().into()
}

pub(crate) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let status = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = status.is_file().then(|| fs::read(&path).unwrap());
            tree.insert(name, (status.permissions().mode() & 0o7777, content));
            if status.is_dir() {
                left.push(path);
            }
        }
    }
    tree
}

/// Reproducible bytes that do not compress.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

pub(crate) fn skipped(what: &str) {
    println!("skipped: {what}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
