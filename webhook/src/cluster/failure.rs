//! Failures of requests in words: nothing of what was sent or answered, which may be a Secret, and nothing of credentials.

use std::error::Error;

use kube::client::AuthError;
use kube::core::Status;

/// The reason that the client makes up where an answer is none of Kubernetes, but, say, the page of a proxy.
const NO_STATUS: &str = "Failed to parse error data";

/// A failed request in one line.
pub fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => answered(status),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            "the API server's answer cannot be understood".to_owned()
        }
        // The library quotes the address, password and all, and a feature of its own.
        kube::Error::ProxyProtocolDisabled { .. } | kube::Error::ProxyProtocolUnsupported { .. } => {
            "a proxy is not supported: leave out proxy-url of the kubeconfig, and HTTPS_PROXY of the environment".to_owned()
        }
        other => match causes(other).find_map(|cause| cause.downcast_ref::<AuthError>()) {
            Some(error) => credentials(error),
            None => chain(other),
        },
    }
}

/// What the API server says; the status code alone where somebody else has answered in its place.
pub fn answered(status: &Status) -> String {
    if status.message.is_empty() || status.reason == NO_STATUS {
        return format!("HTTP status {}", status.code);
    }
    status.message.clone()
}

/// The library quotes the command line of a credential plugin with its variables, and what it printed: the token.
fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the credential plugin of the kubeconfig ended with {}; run it by hand", out.status)
        }
        AuthError::AuthExecStart(error) => {
            format!("the credential plugin of the kubeconfig cannot be run: {error}")
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read: {error}", path.display())
        }
        AuthError::InvalidBasicAuth(_) | AuthError::InvalidBearerToken(_) => {
            "the token or password cannot be sent: it holds a line end or another control character"
                .to_owned()
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the credential plugin of the kubeconfig printed no ExecCredential with a status".to_owned()
        }
        _ => "the credentials of the kubeconfig cannot be used".to_owned(),
    }
}

fn chain(error: &kube::Error) -> String {
    let mut causes = causes(error);
    // This one says only that there is a cause.
    let first = match error {
        kube::Error::Service(_) => causes.next().map(ToString::to_string),
        _ => None,
    };
    causes.fold(first.unwrap_or_else(|| error.to_string()), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitStatus, Output};

    use super::*;

    #[test]
    fn somebody_elses_page_is_not_quoted() {
        let page = Status::failure("<html>CANARY</html>", NO_STATUS).with_code(502);
        assert_eq!(describe(&kube::Error::Api(page.boxed())), "HTTP status 502");
        let said = Status::failure("no such thing", "NotFound").with_code(404);
        assert_eq!(describe(&kube::Error::Api(said.boxed())), "no such thing");
    }

    #[test]
    fn a_credential_plugin_is_not_quoted() {
        let out = Output {
            status: ExitStatus::from_raw(256),
            stdout: b"CANARY".to_vec(),
            stderr: b"CANARY".to_vec(),
        };
        let failed = || AuthError::AuthExecRun { cmd: "p CANARY".to_owned(), out: Box::new(out.clone()) };
        let said = "the credential plugin of the kubeconfig ended with exit status: 1; run it by hand";
        assert_eq!(describe(&kube::Error::Auth(failed())), said);
        assert_eq!(describe(&kube::Error::Service(Box::new(failed()))), said);
    }
}
