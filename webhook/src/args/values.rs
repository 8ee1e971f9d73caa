//! Values of flags that would go into every pod, or that Rust's own words would leave unexplained.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use crate::admit::quantity;
use crate::catalog::{LABEL_NAME, SUBDOMAIN, is_label_name, is_subdomain};

/// An amount of a resource, kept as it was written: a wrong one would make the API server refuse every pod.
pub(super) fn amount(text: &str) -> Result<String, String> {
    match quantity::billionths(text) {
        Some(amount) if amount > 0 => Ok(text.to_owned()),
        _ => Err("expected a quantity above 0, such as 100m or 32Mi".to_owned()),
    }
}

/// An image, as far as it can be told from other things: which registries exist is not known here.
pub(super) fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("expected the name of an image, such as registry.example/init-sync@sha256:…".to_owned());
    }
    Ok(text.to_owned())
}

/// The name of a namespace; an empty variable means that none is given.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { given_namespace(text) }
}

/// The name of a namespace where one has to be given: it becomes a part of a path.
pub(super) fn given_namespace(text: &str) -> Result<String, String> {
    if is_label_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected the name of a namespace: {LABEL_NAME}"))
}

/// The name of a pod: it becomes a part of a path.
pub(super) fn pod(text: &str) -> Result<String, String> {
    if is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected the name of a pod: {SUBDOMAIN}"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 0.0.0.0:8443 or [::1]:0".to_owned())
}

pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, at least 1".to_owned())
}

/// A number of threads; more than this would be a mistake.
pub(super) fn workers(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=64).contains(count));
    count.ok_or_else(|| "expected a whole number from 1 to 64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_every_pod_is_refused_at_start() {
        for good in ["100m", "32Mi", "0.5", "1", "1e3"] {
            assert_eq!(amount(good).as_deref(), Ok(good));
        }
        for bad in ["", "0", "0Mi", "-1", "banana", "32MiB", "1 Gi"] {
            assert!(amount(bad).unwrap_err().contains("such as 100m"), "{bad}");
        }
        assert!(image("registry:5000/a/b:c@sha256:00").is_ok());
        for bad in ["", "a b", "a\n", "\t"] {
            assert!(image(bad).unwrap_err().contains("name of an image"), "{bad:?}");
        }
        assert!(namespace("").is_ok() && namespace("team-a").is_ok());
        assert!(namespace("Team A").unwrap_err().contains("at most 63"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        assert!(given_namespace("team-a").is_ok() && pod("spark-pi.1-driver").is_ok());
        for bad in ["", "..", "a/b", "team-a?watch", "A", "%2e"] {
            assert!(given_namespace(bad).unwrap_err().contains("name of a namespace"), "{bad}");
            assert!(pod(bad).unwrap_err().contains("name of a pod"), "{bad}");
        }
    }

    #[test]
    fn addresses_and_counts_say_what_they_want() {
        for bad in ["", "nowhere", ":8443", "localhost:8443", "127.0.0.1:99999", "8443"] {
            assert!(address(bad).unwrap_err().contains("such as 0.0.0.0:8443"), "{bad}");
        }
        assert!(address("[::1]:0").is_ok());
        assert!(workers("65").is_err() && workers("64") == Ok(64));
        for bad in ["", "0", "-1", "x"] {
            assert!(count(bad).unwrap_err().contains("at least 1"), "{bad}");
            assert!(workers(bad).unwrap_err().contains("from 1 to 64"), "{bad}");
        }
    }
}
