//! What the Secret holds: the one source of truth for all replicas.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::certificate::Certificate;
use crate::{Authority, Bundle, Leaf};

/// The data of a Secret, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const LEAF_CERTIFICATE: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";

/// Authorities that sign nothing any more, by the second until which their leaves may be served:
/// `retired-<seconds since 1970>.crt`.
const RETIRED: (&str, &str) = ("retired-", ".crt");

/// What the replicas share. Everything is optional: a part that is missing or cannot be used is made anew.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stored {
    /// Signs serving certificates.
    pub(crate) authority: Option<Authority>,
    /// Published already, signs nothing yet.
    pub(crate) next: Option<Authority>,
    /// What is served.
    pub(crate) leaf: Option<Leaf>,
    /// Authorities that are still trusted, each with the moment at which its last leaf expires.
    pub(crate) retired: Vec<(SystemTime, Certificate)>,
    /// Parts of the Secret that could not be used.
    damaged: Vec<String>,
    /// What is left of authorities in damaged parts.
    orphans: Vec<Certificate>,
}

impl Stored {
    /// Reads the data of a Secret; what cannot be used is left out, and named by [`Stored::damaged`].
    pub fn read(data: &Data) -> Self {
        let mut stored = Self::default();
        let mut known = Vec::new();
        let mut pair = |certificate: &'static str, key: &'static str| {
            known.extend([certificate, key]);
            (data.get(certificate).map(Vec::as_slice), data.get(key).map(Vec::as_slice))
        };
        let ca = pair(CA_CERTIFICATE, CA_KEY);
        let next = pair(NEXT_CERTIFICATE, NEXT_KEY);
        let leaf = pair(LEAF_CERTIFICATE, LEAF_KEY);
        stored.authority = stored.part(CA_CERTIFICATE, ca, Authority::load);
        stored.next = stored.part(NEXT_CERTIFICATE, next, Authority::load);
        stored.leaf = stored.part(LEAF_CERTIFICATE, leaf, Leaf::load);
        for (name, value) in data.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            match retired(name).zip(Certificate::from_pem(value)) {
                Some((until, certificates)) => {
                    stored.retired.extend(certificates.into_iter().map(|one| (until, one)));
                }
                None => stored.damaged.push(name.clone()),
            }
        }
        stored
    }

    fn part<T>(
        &mut self,
        name: &str,
        (certificate, key): (Option<&[u8]>, Option<&[u8]>),
        load: impl Fn(&[u8], &[u8]) -> Option<T>,
    ) -> Option<T> {
        if certificate.is_none() && key.is_none() {
            return None;
        }
        let loaded = load(certificate.unwrap_or_default(), key.unwrap_or_default());
        if loaded.is_none() {
            self.damaged.push(name.to_owned());
            self.orphans.extend(certificate.and_then(Certificate::from_pem).into_iter().flatten());
        }
        loaded
    }

    /// The data of the Secret.
    pub fn write(&self) -> Data {
        let mut data = Data::new();
        let mut put = |name: &str, value: Vec<u8>| drop(data.insert(name.to_owned(), value));
        if let Some(Authority { certificate, key }) = &self.authority {
            put(CA_CERTIFICATE, certificate.to_pem().into_bytes());
            put(CA_KEY, key.pem().to_vec());
        }
        if let Some(Authority { certificate, key }) = &self.next {
            put(NEXT_CERTIFICATE, certificate.to_pem().into_bytes());
            put(NEXT_KEY, key.pem().to_vec());
        }
        if let Some(leaf) = &self.leaf {
            put(LEAF_CERTIFICATE, leaf.chain_pem());
            put(LEAF_KEY, leaf.key.pem().to_vec());
        }
        for (until, certificate) in &self.retired {
            let seconds = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let name = format!("{}{seconds}{}", RETIRED.0, RETIRED.1);
            data.entry(name).or_default().extend(certificate.to_pem().into_bytes());
        }
        data
    }

    /// Whether anything of this data was written by us, or by nobody: else it is somebody else's Secret.
    pub fn is_ours(data: &Data) -> bool {
        let ours = [CA_KEY, NEXT_KEY];
        data.values().all(Vec::is_empty) || ours.iter().any(|name| data.contains_key(*name))
    }

    /// The serving certificate.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// Whether another authority is on its way.
    pub fn is_rotating(&self) -> bool {
        self.next.is_some()
    }

    /// The parts of the Secret that could not be used, by the name of their certificate.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The same without what could not be used.
    pub(crate) fn sound(&self) -> Self {
        Self { damaged: Vec::new(), orphans: Vec::new(), ..self.clone() }
    }

    /// Authorities of which the certificate is there and the key is not.
    pub(crate) fn orphans(&self) -> &[Certificate] {
        &self.orphans
    }

    pub(crate) fn knows(&self, certificate: &Certificate) -> bool {
        let current = [&self.authority, &self.next].into_iter().flatten().map(|one| &one.certificate);
        current.chain(self.retired.iter().map(|(_, one)| one)).any(|one| one == certificate)
    }

    /// Stops signing with this authority; it is trusted until `until`.
    pub(crate) fn retire(&mut self, certificate: Certificate, until: SystemTime) {
        self.retired.retain(|(_, one)| *one != certificate);
        self.retired.push((whole_seconds(until), certificate));
        self.retired.sort_by_key(|(until, _)| *until);
    }

    /// Whom clients are to trust at `now`.
    pub(crate) fn bundle(&self, now: SystemTime) -> Bundle {
        let mut bundle = Bundle::default();
        for authority in [&self.authority, &self.next].into_iter().flatten() {
            bundle.add(&authority.certificate);
        }
        for (_, certificate) in self.retired.iter().filter(|retired| is_needed(retired, now)) {
            bundle.add(certificate);
        }
        bundle
    }
}

/// Whether a retired authority may still have a leaf that is served.
pub(crate) fn is_needed((until, certificate): &(SystemTime, Certificate), now: SystemTime) -> bool {
    now <= *until && now <= certificate.not_after()
}

fn retired(name: &str) -> Option<SystemTime> {
    let seconds: u64 = name.strip_prefix(RETIRED.0)?.strip_suffix(RETIRED.1)?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// As precise as the Secret: what is read back equals what was written.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() + u64::from(since.subsec_nanos() > 0))
}
