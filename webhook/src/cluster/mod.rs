//! The API server as this process meets it: which one, as whom, with which limits. What is asked of it is the part of
//! whoever holds the client.

pub mod ask;
mod failure;
pub mod lease;
pub mod refusal;
mod traced;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use failure::{answered, describe};
use http::header::{DATE, USER_AGENT};
use http::{HeaderValue, Uri};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use rustls::crypto::CryptoProvider;
use secrecy::ExposeSecret as _;
use spark_injector_certs::crypto;
use traced::Trace;

/// A healthy API server takes a connection within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one watch goes on before it is asked for again, in seconds. A connection that was cut without a word is
/// noticed only after this time; a watch that resumes costs next to nothing.
pub const WATCH_SECONDS: u32 = 60;

/// Longer than any silence that is normal: the last words of a watch come a little after its time.
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);

const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the kubelet puts the namespace of a pod's service account.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Which API server is meant.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Kubeconfig files, merged in this order; empty for the pod's own service account or, outside a pod,
    /// `~/.kube/config`.
    pub kubeconfig: Vec<PathBuf>,
    /// The context to use, if it is not the current one of the kubeconfig.
    pub context: Option<String>,
}

/// Why there is no connection. Nothing was sent yet: whether the API server answers is not known.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig cannot be used.
    #[error("kubeconfig {file}: {why}; give another one with --kubeconfig or --context")]
    Kubeconfig {
        /// Where it was read from.
        file: String,
        /// What is wrong with it, without its content.
        why: String,
    },
    /// The files of the pod's service account cannot be used.
    #[error("service account of this pod: {0}; set automountServiceAccountToken, or give --kubeconfig")]
    ServiceAccount(#[from] kube::config::InClusterError),
    /// The credentials cannot be used.
    #[error("credentials for {url}: {why}")]
    Credentials {
        /// Address of the API server.
        url: String,
        /// What is wrong with them, without their content.
        why: String,
    },
}

/// A client, and which API server it asks: its own errors do not say.
pub struct Connection {
    /// Asks.
    pub client: Client,
    /// Address of the API server, for messages.
    pub address: String,
}

/// A client of the API server. Call it inside a runtime.
///
/// # Errors
///
/// When there is no usable configuration: the error says which file and what to do.
pub async fn connect(access: &Access) -> Result<Connection, ConnectError> {
    if CryptoProvider::get_default().is_none() {
        // Fails only where another thread was faster, with the same provider.
        drop(CryptoProvider::clone(&crypto()).install_default());
    }
    let mut config = configuration(access).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    // Without it the time that a pooled connection lay idle counts against the next answer.
    config.reset_reader_on_write = true;
    let agent = HeaderValue::from_static(concat!("spark-injector/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    let address = without_password(&config.cluster_url);
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| ConnectError::Credentials { url: address.clone(), why: describe(&error) })?;
    Ok(Connection { client: builder.with_layer(&Trace).build(), address })
}

/// When an answer was given, by the clock of the API server: the one that counts where several replicas have to agree.
pub fn server_time<B>(response: &http::Response<B>) -> Option<SystemTime> {
    httpdate::parse_http_date(response.headers().get(DATE)?.to_str().ok()?).ok()
}

/// The namespace of the pod that this process runs in, if it runs in one.
pub fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string(NAMESPACE_FILE).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

async fn configuration(access: &Access) -> Result<Config, ConnectError> {
    let is_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if access.kubeconfig.is_empty() && access.context.is_none() && is_pod {
        return Ok(Config::incluster()?);
    }
    let names: Vec<String> = access.kubeconfig.iter().map(|path| path.display().to_string()).collect();
    let file = if names.is_empty() { "~/.kube/config".to_owned() } else { names.join(", ") };
    let failed =
        |error: KubeconfigError| ConnectError::Kubeconfig { file: file.clone(), why: reason(&error) };
    let kubeconfig = read(&access.kubeconfig).map_err(failed)?;
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    // The client would ask as nobody.
    if let Some((context, user)) = missing_user(&kubeconfig, access.context.as_deref()) {
        let why = format!("context {context} is for the user {user}, whom it does not have");
        return Err(ConnectError::Kubeconfig { file, why });
    }
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|error| ConnectError::Kubeconfig {
        file: file.clone(),
        why: match &error {
            KubeconfigError::LoadContext(name) => format!("no context {name}; {}", listed(&contexts)),
            KubeconfigError::CurrentContextNotSet => format!("no current context; {}", listed(&contexts)),
            error => reason(error),
        },
    })?;
    // The client would panic at the first request.
    if config.cluster_url.scheme().is_none() || config.cluster_url.host().is_none() {
        let url = without_password(&config.cluster_url);
        let why = format!("the server {url} is no URL, such as https://HOST:6443");
        return Err(ConnectError::Kubeconfig { file, why });
    }
    // Here it would panic at once.
    if config
        .auth_info
        .token
        .as_ref()
        .is_some_and(|token| HeaderValue::from_str(token.expose_secret()).is_err())
    {
        let why = "the token cannot be sent: it holds a line end or another control character".to_owned();
        return Err(ConnectError::Kubeconfig { file, why });
    }
    Ok(config)
}

/// An address for messages: some put a password into it.
fn without_password(url: &Uri) -> String {
    let text = url.to_string();
    let text = text.trim_end_matches('/');
    match url.authority().and_then(|authority| authority.as_str().rsplit_once('@')) {
        Some((password, _)) => text.replacen(&format!("{password}@"), "", 1),
        None => text.to_owned(),
    }
}

/// The context that is used, and its user, where there is no such user.
fn missing_user<'k>(kubeconfig: &'k Kubeconfig, context: Option<&'k str>) -> Option<(&'k str, &'k str)> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let named = kubeconfig.contexts.iter().find(|context| context.name == name)?;
    let user = named.context.as_ref()?.user.as_deref().filter(|user| !user.is_empty())?;
    let is_known = kubeconfig.auth_infos.iter().any(|known| known.name == user);
    (!is_known).then_some((name, user))
}

fn listed(contexts: &[String]) -> String {
    if contexts.is_empty() { "it has none".to_owned() } else { format!("it has {}", contexts.join(", ")) }
}

fn read(files: &[PathBuf]) -> Result<Kubeconfig, KubeconfigError> {
    let Some((first, more)) = files.split_first() else { return Kubeconfig::read() };
    more.iter().try_fold(Kubeconfig::read_from(first)?, |all, path: &PathBuf| {
        all.merge(Kubeconfig::read_from::<&Path>(path)?)
    })
}

/// The parser's own words may quote a token.
fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "not YAML in the form of a kubeconfig".to_owned(),
        KubeconfigError::ReadConfig(error, path) => format!("cannot read {}: {error}", path.display()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: Option<&str>, context: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let access = Access { kubeconfig: vec![file], context: context.map(ToOwned::to_owned) };
        match connect(&access).await {
            Ok(_) => panic!("connected"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_used_is_named_and_not_quoted() {
        let missing = refused(None, None).await;
        assert!(missing.contains("/config: cannot read") && missing.contains("--kubeconfig"), "{missing}");
        let broken = refused(Some("users: [{name: a, user: {token: s3cr3t"), None).await;
        assert!(broken.contains("not YAML") && !broken.contains("s3cr3t"), "{broken}");
        let empty = refused(Some("{apiVersion: v1, kind: Config}"), None).await;
        assert!(empty.contains("no current context; it has none"), "{empty}");
        let unknown = refused(Some("{apiVersion: v1, kind: Config}"), Some("prod")).await;
        assert!(unknown.contains("prod"), "{unknown}");
        let named = "{contexts: [{name: a, context: {cluster: k}}, {name: b}], clusters: [{name: k, cluster: {server: SERVER}}]}";
        let other = refused(Some(named), Some("prod")).await;
        assert!(other.contains("no context prod; it has a, b"), "{other}");
        let nobody = named.replace("cluster: k}", "cluster: k, user: u}");
        let nobody = refused(Some(&nobody), Some("a")).await;
        assert!(nobody.contains("context a is for the user u, whom it does not have"), "{nobody}");
        for server in ["nonsense", "/path", "nonsense:6443"] {
            let bare = refused(Some(&named.replace("SERVER", server)), Some("a")).await;
            assert!(bare.contains(server) && bare.contains("such as https://"), "{bare}");
        }
    }

    #[tokio::test]
    async fn what_is_secret_in_a_kubeconfig_is_not_told() {
        let with = |server: &str, user: &str| {
            format!(
                "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}],
                clusters: [{{name: k, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {user}}}]}}"
            )
        };
        let token = refused(Some(&with("https://127.0.0.1:1", "{token: \"s3cr3t\\n\"}")), None).await;
        assert!(token.contains("it holds a line end") && !token.contains("s3cr3t"), "{token}");
        let path = refused(Some(&with("a:s3cr3t@h:1", "{token: t}")), None).await;
        assert!(path.contains("the server h:1 is no URL") && !path.contains("s3cr3t"), "{path}");
        let plugin = "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,
            command: sh, args: [-c, 'echo s3cr3t; exit 7']}}";
        let plugin = refused(Some(&with("https://u:s3cr3t@127.0.0.1:1", plugin)), None).await;
        let proxy = with("https://127.0.0.1:1', proxy-url: 'http://u:s3cr3t@127.0.0.1:2", "{token: t}");
        let proxy = refused(Some(&proxy), None).await;
        assert!(proxy.contains("leave out proxy-url") && !proxy.contains("s3cr3t"), "{proxy}");
        let said = "credentials for https://127.0.0.1:1: the credential plugin of the kubeconfig ended with exit status: 7; run it by hand";
        assert_eq!(plugin, said);
    }

    #[tokio::test]
    async fn a_kubeconfig_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u, namespace: n}}],
            clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: t}}]}";
        std::fs::write(&file, text).unwrap();
        let access = Access { kubeconfig: vec![file], context: None };
        assert_eq!(connect(&access).await.unwrap().client.default_namespace(), "n");
    }
}
