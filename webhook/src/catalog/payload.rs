//! Files, encoded: variables with base64, and what the manifest says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use init_sync::{Encoding, MANIFEST_VARIABLE, MAX_FILES, is_legal_variable};
use sha2::{Digest, Sha256};

use super::ProblemKind;
use super::encode::{Encoded, Encodings};
use super::files::Mount;
use super::report::Report;
use crate::admit::plan::Origin;
use crate::api::{Delivery, Role};

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

/// The files of a profile as they travel.
#[derive(Debug)]
pub(super) struct Payload {
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
    content: Arc<Encoded>,
}

impl EncodedFile {
    fn encoded_bytes(&self) -> usize {
        self.content.values.iter().map(String::len).sum()
    }

    fn decoded_bytes(&self) -> usize {
        usize::try_from(self.entry.size).unwrap_or(usize::MAX)
    }

    /// The variables by name.
    fn variables(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let value = |chunk| Value { content: &self.content, chunk };
        self.entry.variables.iter().enumerate().map(move |(chunk, name)| (name.as_str(), value(chunk)))
    }
}

/// The value of a variable: a chunk of a content, which may be another profile's as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'p> {
    pub(super) content: &'p Arc<Encoded>,
    pub(super) chunk: usize,
}

impl<'p> Value<'p> {
    pub(super) fn text(self) -> &'p str {
        self.content.values.get(self.chunk).map(String::as_str).unwrap_or_default()
    }
}

impl Payload {
    fn files(&self) -> impl Iterator<Item = &EncodedFile> {
        self.mounts.iter().flat_map(|mount| &mount.files)
    }

    /// Every variable of the profile, once.
    pub(super) fn variables(&self) -> Vec<(&str, Value<'_>)> {
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
                 the API server authenticate itself (serve --client-ca or --client-token-file, offline \
                 --client-authentication)",
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
                    let bytes = encoded_bytes(&distinct_variables(self.of(role)));
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
) -> Vec<(&'m str, Value<'m>)> {
    let mut seen = BTreeSet::new();
    let files = mounts.into_iter().flat_map(|mount| &mount.files);
    files.flat_map(EncodedFile::variables).filter(|(name, _)| seen.insert(*name)).collect()
}

fn encoded_bytes(variables: &[(&str, Value<'_>)]) -> usize {
    variables.iter().map(|(_, value)| value.text().len()).sum()
}

/// Encodes the files of a profile.
pub(super) fn encode(mounts: Vec<Mount<'_>>, encodings: &mut Encodings, report: &mut Report) -> Payload {
    let count: usize = mounts.iter().map(|mount| mount.files.len()).sum();
    if count > MAX_FILES {
        report.kind(
            ProblemKind::TooLarge,
            "spec.files",
            format!("{count} files, at most {MAX_FILES} are possible; leave some out with items"),
        );
        return Payload { mounts: Vec::new() };
    }
    let mut names = Names { encodings, taken: BTreeMap::new(), files: 0 };
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
    Payload { mounts: mounts.into_iter().enumerate().map(encode_mount).collect() }
}

/// Names of the variables, across all mounts. Equal files share one: a `krb5.conf` that drivers and executors find in
/// different places travels once, under its own name.
struct Names<'e> {
    encodings: &'e mut Encodings,
    taken: BTreeMap<String, [u8; 32]>,
    files: usize,
}

impl Names<'_> {
    fn encode(&mut self, directory: &str, path: &str, mode: u32, content: &[u8]) -> EncodedFile {
        let index = self.files;
        self.files += 1;
        let digest: [u8; 32] = Sha256::digest(content).into();
        let encoded = self.encodings.of(digest, content);
        let variables = match (encoded.encoding, encoded.values.len()) {
            (Encoding::Plain, 1) => vec![self.name(file_name(path), digest, index)],
            (_, 1) => vec![format!("f{index}")],
            (_, count) => (0..count).map(|chunk| format!("f{index}.{chunk}")).collect(),
        };
        let entry = init_sync::File {
            path: format!("{directory}/{path}"),
            mode,
            size: content.len() as u64,
            digest,
            encoding: encoded.encoding,
            variables,
        };
        EncodedFile { entry, content: encoded }
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
