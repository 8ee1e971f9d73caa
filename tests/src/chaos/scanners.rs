//! Scene: what programs find that look for weak TLS, in the server as it is installed, with certificates of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::certificates::installation;
use super::stage::SERVICE;
use super::{Finding, is_installed};
use crate::cluster::Cluster;
use crate::installed::CONFIGURATION;
use crate::process;
use crate::scratch::Scratch;
use crate::webhook::Webhook;
use crate::witness;

const PATIENCE: Duration = Duration::from_secs(900);

/// What testssl.sh says above "informational", by the beginning of its name, and why it is as it should be.
const EXPLAINED: [(&str, &str); 7] = [
    ("engine_problem", "about the OpenSSL that the scanner runs with"),
    ("cipher_order", "every suite that is offered is as strong as the others, so the client's wish decides"),
    ("cert_chain_of_trust", "the authority is the installation's own, and in the caBundle"),
    ("cert_expirationStatus", "certificates live for 30 days and are replaced after 20"),
    ("cert_notAfter", "the same"),
    ("cert_revocation", "a certificate is replaced, not revoked; the API server asks nobody"),
    ("DNS_CAArecord", "the name is a Service's, in no public DNS"),
];

/// Every suite of TLS 1.3 and 1.2 that may be offered: authenticated encryption, with forward secrecy.
const SUITES: [&str; 6] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];

/// Scans the review port as it is by default, and with TLS 1.2 and client certificates.
pub fn scan() -> Vec<Finding> {
    let cluster = Cluster::start();
    let client_ca = format!("--client-ca={}", cluster.directory().join("ca.crt").display());
    let variants: [(&str, &[&str], &[&str]); 2] = [
        ("by default", &["TLSv1.3"], &[]),
        ("with --tls-min 1.2 and --client-ca", &["TLSv1.2", "TLSv1.3"], &["--tls-min=1.2", &client_ca]),
    ];
    let (installed, pod) = installation(&cluster);
    let folder = Scratch::new("scan");
    let mut findings = Vec::new();
    for (variant, versions, arguments) in variants {
        let replica = installed.run(&pod, arguments);
        replica.wait_until_ready();
        let bundle = witness::bundles(&installed.api.get(CONFIGURATION).expect(200)).remove(0);
        let authority = folder.path().join("ca.crt");
        std::fs::write(&authority, bundle).expect("a file");
        findings.push(with_sslscan(&replica, variant, versions));
        findings.push(with_testssl(&replica, variant, &authority, folder.path()));
    }
    findings
}

fn with_sslscan(replica: &Webhook, variant: &str, versions: &[&str]) -> Finding {
    let mut finding = Finding::new(&format!("sslscan, {variant}"));
    if !is_installed("sslscan") {
        return finding.skipped("sslscan is not installed (Debian and Ubuntu have a package of that name)");
    }
    let mut command = Command::new("sslscan");
    let sni = format!("--sni-name={SERVICE}");
    command.args(["--no-colour", &sni, &replica.review_address().to_string()]);
    let text = process::run(command, b"", PATIENCE).stdout;
    let lines = || text.lines().map(str::trim);
    let enabled: Vec<&str> =
        lines().filter_map(|line| line.strip_suffix(" enabled").map(str::trim)).collect();
    finding.promise(enabled == versions, format_args!("it offers {}", enabled.join(", ")));
    let suites: Vec<&str> = lines()
        .filter(|line| line.starts_with("Preferred ") || line.starts_with("Accepted "))
        .filter_map(|line| line.split_whitespace().nth(4))
        .collect();
    let known = !suites.is_empty() && suites.iter().all(|suite| SUITES.contains(suite));
    finding.promise(known, format_args!("with {}", suites.join(", ")));
    let weak: Vec<&str> =
        lines().filter(|line| line.contains("vulnerable") && !line.contains("not vulnerable")).collect();
    finding.promise(weak.is_empty(), format_args!("nothing is vulnerable ({} findings)", weak.len()));
    finding
}

fn with_testssl(replica: &Webhook, variant: &str, authority: &Path, folder: &Path) -> Finding {
    let mut finding = Finding::new(&format!("testssl.sh, {variant}"));
    let Some(program) = ["testssl", "testssl.sh"].into_iter().find(|program| is_installed(program)) else {
        return finding
            .skipped("testssl.sh is not installed (Debian and Ubuntu have a package of that name)");
    };
    let (address, report) = (replica.review_address(), folder.join(format!("{}.json", replica.id())));
    let mut command = Command::new(program);
    // Protocols, suites, forward secrecy, preferences, certificate, and everything that has a name of its own.
    command.args(["-p", "-s", "-f", "-P", "-S", "-U", "--quiet", "--color", "0", "--warnings", "batch"]);
    command.arg("--add-ca").arg(authority).arg("--jsonfile").arg(&report);
    command.args(["--ip", &address.ip().to_string(), &format!("{SERVICE}:{}", address.port())]);
    let finished = process::run(command, b"", PATIENCE);
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let Ok(Value::Array(found)) = serde_json::from_str(&text) else {
        finding.promise(false, format_args!("it ends with a report: {}{}", finished.stdout, finished.stderr));
        return finding;
    };
    let text_of = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let mut unexplained = String::new();
    for one in &found {
        let (id, severity, says) = (text_of(one, "id"), text_of(one, "severity"), text_of(one, "finding"));
        if ["OK", "INFO", "DEBUG"].contains(&severity.as_str()) {
            continue;
        }
        match EXPLAINED.iter().find(|(name, _)| id.starts_with(name)) {
            Some((_, why)) => finding.measured(format_args!("{id} ({severity}): {says}: {why}")),
            None => _ = write!(unexplained, "; {id} ({severity}): {says}"),
        }
    }
    finding.measured(format_args!("{} things were looked at", found.len()));
    finding.promise(
        unexplained.is_empty() && found.len() > 50,
        format_args!("nothing above informational is unexplained{unexplained}"),
    );
    finding
}
