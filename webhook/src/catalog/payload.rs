//! Files, encoded: variables with base64, what the manifest says of them, and the revision of it all.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use init_sync::{Encoding, MANIFEST_VARIABLE, MAX_FILES, is_legal_variable};
use sha2::{Digest, Sha256};

use super::ProblemKind;
use super::files::Mount;
use super::report::Report;
use crate::admit::plan::Origin;
use crate::api::{Delivery, Role};

/// Compression is tried above this size; below it a file stays readable under its own name.
const COMPRESS_ABOVE: usize = 16 * 1024;
/// One variable holds at most this much base64: the kernel takes 128 KiB for a name and its value.
const MAX_VALUE_BYTES: usize = 96 * 1024;
/// The longest key of a Secret.
const MAX_NAME_BYTES: usize = 253;
/// `Auto` puts at most this much, none of it secret, into the pod.
const AUTO_ENV_BYTES: usize = 16 * 1024;
/// All values of one pod: they stand in etcd, in the audit log and in the driver's memory once per executor.
const MAX_ENV_BYTES: usize = 256 * 1024;
/// All values of one revision: a Secret may hold 1 MiB.
const MAX_SECRET_BYTES: usize = 1_000_000;
/// All files of one profile, decoded: the init container holds them twice in its memory limit.
const MAX_DECODED_BYTES: usize = 8 * 1024 * 1024;
/// DEFLATE's middle: higher levels cost much and gain little.
const COMPRESSION_LEVEL: u8 = 6;

/// The files of a profile as they travel.
#[derive(Debug)]
pub(super) struct Payload {
    /// First 16 hex digits of SHA-256 over paths, modes, contents.
    pub(super) revision: String,
    pub(super) mounts: Vec<EncodedMount>,
}

/// One mount, below a directory of its own in the volume.
#[derive(Debug)]
pub(super) struct EncodedMount {
    /// Cleaned path in the Spark container.
    pub(super) path: String,
    pub(super) single: bool,
    pub(super) roles: Vec<Role>,
    pub(super) secret: bool,
    /// `m0`, `m1`, …
    pub(super) directory: String,
    pub(super) files: Vec<EncodedFile>,
    pub(super) origin: Origin,
}

/// One file: its line of the manifest, and its variables.
#[derive(Debug)]
pub(super) struct EncodedFile {
    pub(super) entry: init_sync::File,
    pub(super) values: Vec<String>,
}

impl EncodedFile {
    fn encoded_bytes(&self) -> usize {
        self.values.iter().map(String::len).sum()
    }

    fn decoded_bytes(&self) -> usize {
        usize::try_from(self.entry.size).unwrap_or(usize::MAX)
    }

    /// Names and values of the variables.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entry.variables.iter().map(String::as_str).zip(self.values.iter().map(String::as_str))
    }
}

impl Payload {
    /// Makes what else is delivered a part of the revision: one name for everything that has to be there.
    pub(super) fn revise(&mut self, content: &[u8]) {
        let hash = Sha256::new().chain_update(&self.revision).chain_update(content);
        self.revision = short_hex(&hash.finalize());
    }

    fn files(&self) -> impl Iterator<Item = &EncodedFile> {
        self.mounts.iter().flat_map(|mount| &mount.files)
    }

    /// Every variable of the profile, once.
    pub(super) fn variables(&self) -> Vec<(&str, &str)> {
        distinct_variables(&self.mounts)
    }

    /// The mounts of one role.
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &EncodedMount> {
        self.mounts.iter().filter(move |mount| mount.roles.contains(&role))
    }

    fn is_secret(&self) -> bool {
        self.mounts.iter().any(|mount| mount.secret)
    }

    /// How the files travel, and whether they may; mistakes go to the report.
    pub(super) fn choose_delivery(
        &self,
        written: Option<Delivery>,
        client_authentication: bool,
        report: &mut Report,
    ) -> Delivery {
        let decoded: usize = self.files().map(EncodedFile::decoded_bytes).sum();
        let delivery = match written.unwrap_or_default() {
            Delivery::Auto if self.is_secret() || decoded > AUTO_ENV_BYTES => Delivery::Secret,
            Delivery::Auto => Delivery::Env,
            chosen => chosen,
        };
        if delivery == Delivery::Env && self.is_secret() && !client_authentication {
            report.kind(
                ProblemKind::ClientAuthRequired,
                "spec.delivery",
                "ClientAuthRequired: Env would hand files of a Secret to any caller of the webhook; write Secret, or let \
                 the API server authenticate itself",
            );
        }
        if decoded > MAX_DECODED_BYTES {
            let message = format!(
                "{decoded} bytes of files, at most {MAX_DECODED_BYTES} are possible; {}",
                self.largest()
            );
            report.kind(ProblemKind::TooLarge, "spec.files", message);
            return delivery;
        }
        match delivery {
            Delivery::Env => {
                for role in Role::ALL {
                    let bytes: usize =
                        self.of(role).flat_map(|mount| &mount.files).map(EncodedFile::encoded_bytes).sum();
                    self.limit(
                        report,
                        bytes,
                        MAX_ENV_BYTES,
                        &format!("in the environment of {}s", role.as_str()),
                    );
                }
            }
            Delivery::Auto | Delivery::Secret => {
                let bytes = encoded_bytes(&self.variables());
                self.limit(report, bytes, MAX_SECRET_BYTES, "in one Secret");
            }
        }
        delivery
    }

    fn limit(&self, report: &mut Report, bytes: usize, limit: usize, place: &str) {
        if bytes > limit {
            report.kind(
                ProblemKind::TooLarge,
                "spec.files",
                format!(
                    "{bytes} bytes of encoded files {place}, at most {limit} are possible; {}",
                    self.largest()
                ),
            );
        }
    }

    /// What an owner would look at first.
    fn largest(&self) -> String {
        let mut sizes: Vec<(usize, String)> = self
            .mounts
            .iter()
            .flat_map(|mount| mount.files.iter().map(move |file| (mount, file)))
            .map(|(mount, file)| {
                (file.encoded_bytes(), format!("{}/{}", mount.path, file_name(&file.entry.path)))
            })
            .collect();
        sizes.sort_by(|one, other| other.cmp(one));
        let names: Vec<String> =
            sizes.iter().take(3).map(|(bytes, name)| format!("{name} ({bytes})")).collect();
        format!("the largest are {}", names.join(", "))
    }
}

/// The variables of some mounts, each once, in the order of the files.
pub(super) fn distinct_variables<'m>(
    mounts: impl IntoIterator<Item = &'m EncodedMount>,
) -> Vec<(&'m str, &'m str)> {
    let mut seen = BTreeSet::new();
    let files = mounts.into_iter().flat_map(|mount| &mount.files);
    files.flat_map(EncodedFile::variables).filter(|(name, _)| seen.insert(*name)).collect()
}

fn encoded_bytes(variables: &[(&str, &str)]) -> usize {
    variables.iter().map(|(_, value)| value.len()).sum()
}

/// Encodes the files of a profile.
pub(super) fn encode(mounts: Vec<Mount<'_>>, report: &mut Report) -> Payload {
    let revision = revision(&mounts);
    let count: usize = mounts.iter().map(|mount| mount.files.len()).sum();
    if count > MAX_FILES {
        report.kind(
            ProblemKind::TooLarge,
            "spec.files",
            format!("{count} files, at most {MAX_FILES} are possible; leave some out with items"),
        );
        return Payload { revision, mounts: Vec::new() };
    }
    let mut names = Names::default();
    let encode_mount = |(index, mount): (usize, Mount<'_>)| {
        let directory = format!("m{index}");
        let encode_file =
            |file: &super::files::File<'_>| names.encode(&directory, &file.path, file.mode, file.content);
        EncodedMount {
            files: mount.files.iter().map(encode_file).collect(),
            path: mount.path,
            single: mount.single,
            roles: mount.roles,
            secret: mount.secret,
            directory,
            origin: mount.origin,
        }
    };
    Payload { mounts: mounts.into_iter().enumerate().map(encode_mount).collect(), revision }
}

/// Names of the variables, across all mounts. Equal files share one: a `krb5.conf` that drivers and executors find in
/// different places travels once, under its own name.
#[derive(Default)]
struct Names {
    taken: BTreeMap<String, [u8; 32]>,
    files: usize,
}

impl Names {
    fn encode(&mut self, directory: &str, path: &str, mode: u32, content: &[u8]) -> EncodedFile {
        let index = self.files;
        self.files += 1;
        let digest: [u8; 32] = Sha256::digest(content).into();
        let compressed = (content.len() > COMPRESS_ABOVE)
            .then(|| miniz_oxide::deflate::compress_to_vec(content, COMPRESSION_LEVEL))
            .filter(|compressed| compressed.len() * 2 <= content.len());
        let (encoding, bytes) = match &compressed {
            Some(compressed) => (Encoding::Deflate, compressed.as_slice()),
            None => (Encoding::Plain, content),
        };
        // A multiple of three bytes: each chunk is canonical base64 on its own.
        let chunks: Vec<&[u8]> = bytes.chunks(MAX_VALUE_BYTES / 4 * 3).collect();
        let values: Vec<String> = match chunks.as_slice() {
            [] => vec![String::new()],
            chunks => chunks.iter().map(|chunk| STANDARD.encode(chunk)).collect(),
        };
        let variables = match (encoding, values.len()) {
            (Encoding::Plain, 1) => vec![self.name(file_name(path), digest, index)],
            (_, 1) => vec![format!("f{index}")],
            (_, count) => (0..count).map(|chunk| format!("f{index}.{chunk}")).collect(),
        };
        let entry = init_sync::File {
            path: format!("{directory}/{path}"),
            mode,
            size: content.len() as u64,
            digest,
            encoding,
            variables,
        };
        EncodedFile { entry, values }
    }

    /// The file's own name, where it can be a variable's on every API server and no other file has it.
    fn name(&mut self, name: &str, digest: [u8; 32], index: usize) -> String {
        let usable = is_legal_variable(name)
            && name.len() <= MAX_NAME_BYTES
            && name != MANIFEST_VARIABLE
            && !is_derived(name);
        if usable && *self.taken.entry(name.to_owned()).or_insert(digest) == digest {
            name.to_owned()
        } else {
            format!("f{index}")
        }
    }
}

/// Whether a name looks like one that we derive.
fn is_derived(name: &str) -> bool {
    name.strip_prefix('f').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn revision(mounts: &[Mount<'_>]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for mount in mounts {
        part(mount.path.as_bytes());
        part(if mount.single { b"file" } else { b"directory" });
        part(&(mount.files.len() as u64).to_be_bytes());
        for file in &mount.files {
            part(file.path.as_bytes());
            part(&file.mode.to_be_bytes());
            part(file.content);
        }
    }
    short_hex(&hash.finalize())
}

/// The first 16 hex digits of a digest.
fn short_hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
