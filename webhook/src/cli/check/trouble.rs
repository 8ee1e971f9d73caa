//! What the API server's words about a call that failed mean, and what to do.

/// The part of a message by which a trouble is known, what it is, and the remedy; the first that fits counts.
const TROUBLES: [(&str, &str, &str); 20] = [
    (
        "certificate signed by unknown authority",
        "the caBundle does not fit the certificate that the injector shows",
        "with --tls self restart the injector, which writes it again; otherwise put the authority that signed the certificate into clientConfig.caBundle of every entry",
    ),
    (
        "certificate has expired",
        "the certificate of the injector is not valid now",
        "renew it, and compare the clocks of the control plane and of the injector's nodes",
    ),
    (
        "certificate is valid for",
        "the certificate of the injector is for another name",
        "it needs the name <service>.<namespace>.svc as subject alternative name",
    ),
    (
        "certificate is not valid for any names",
        "the certificate of the injector is for no name",
        "it needs the name <service>.<namespace>.svc as subject alternative name",
    ),
    (
        "tls: unknown certificate authority",
        "the injector does not accept the API server's certificate",
        "compare --client-ca with what signed the certificate in the API server's admission configuration",
    ),
    (
        "tls: expired certificate",
        "the API server's certificate for webhooks is not valid now",
        "renew the one in the API server's admission configuration, and compare the clocks of both",
    ),
    (
        "tls: bad certificate",
        "the injector does not accept the API server's certificate",
        "compare --client-ca and --client-name with the API server's admission configuration",
    ),
    (
        "--client-",
        "the injector does not take who asks for the API server",
        "let --client-ca, --client-name and --client-token-file fit what the API server's admission configuration shows",
    ),
    (
        "connection refused",
        "nobody listens where the API server calls",
        "look at the pods of the injector and at the port of its Service",
    ),
    (
        "no endpoints available",
        "the Service has no ready replica",
        "look at the pods of the injector: kubectl describe pods, and their logs",
    ),
    (
        "no service port",
        "the Service does not have the port in the webhook configuration",
        "let clientConfig.service.port and the port of the Service say the same: apply the manifests of this version",
    ),
    ("not found", "what the webhook configuration names is not there", "apply the manifests of this version"),
    (
        "no such host",
        "the name in the webhook configuration does not resolve",
        "correct clientConfig, or the DNS of the control plane",
    ),
    (
        "deadline exceeded",
        "the injector does not answer in time",
        "let the control plane reach its port: a firewall or NetworkPolicy between them is the usual cause; else look at its load",
    ),
    (
        "i/o timeout",
        "the injector does not answer in time",
        "let the control plane reach its port: a firewall or NetworkPolicy between them is the usual cause; else look at its load",
    ),
    (
        "Client.Timeout",
        "the injector does not answer in time",
        "let the control plane reach its port: a firewall or NetworkPolicy between them is the usual cause; else look at its load",
    ),
    ("EOF", "the injector ended the connection", "look into the log of the injector"),
    // A client that still writes when it is refused may tell of this instead of the alert.
    ("use of closed network connection", CUT, ASK_AGAIN),
    ("broken pipe", CUT, ASK_AGAIN),
    ("connection reset", CUT, ASK_AGAIN),
];

const CUT: &str = "the injector ended the connection while the API server was writing";
const ASK_AGAIN: &str = "ask again: mostly the reason is told then, such as an authority that --client-ca does not have; else look into the log of the injector";

/// What a failed call means: the matter, and the remedy.
pub(super) fn explain(message: &str) -> (&'static str, &'static str) {
    let known = TROUBLES.iter().find(|(part, _, _)| message.contains(part));
    known.map_or(
        ("the injector failed", "look into the log of the injector, and at its metrics"),
        |(_, matter, remedy)| (matter, remedy),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_api_server_are_understood() {
        let of = |cause: &str| {
            let message = format!(
                "Internal error occurred: failed calling webhook \"pods.spark-injector.io\": failed to call webhook: Post \"https://s.n.svc:443/mutate?timeout=5s\": {cause}"
            );
            explain(&message).0
        };
        for (cause, said) in [
            ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "caBundle"),
            (
                "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
                "not valid now",
            ),
            ("x509: certificate is valid for a, not s.n.svc", "another name"),
            ("dial tcp 127.0.0.1:1: connect: connection refused", "nobody listens"),
            ("no endpoints available for service \"s\"", "no ready replica"),
            ("no service port 444 found for service \"s\"", "does not have the port"),
            ("remote error: tls: unknown certificate authority", "does not accept the API server's"),
            ("remote error: tls: expired certificate", "API server's certificate for webhooks is not valid"),
            ("the client certificate has none of the names of --client-name", "does not take who asks"),
            ("service \"s\" not found", "not there"),
            ("context deadline exceeded", "in time"),
            ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "in time"),
            ("EOF", "ended the connection"),
            ("write tcp 127.0.0.1:1->127.0.0.1:2: use of closed network connection", "was writing"),
            ("the server said something new", "failed"),
        ] {
            assert!(of(cause).contains(said), "{cause}: {}", of(cause));
        }
    }
}
