//! Who asks: users by client certificate, service accounts by token, and kubeconfigs for both.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Cluster;
use crate::client::{Api, Credential};
use crate::pki;

impl Cluster {
    /// Requests as this user, with nothing but what RBAC gives to it.
    pub fn as_user(&self, name: &str, group: Option<&str>) -> Api {
        let identity = self.authority.client(name, group);
        Api::new(&self.url(), self.authority.der(), Credential::Certificate(identity))
    }

    /// Requests with a bearer token, as of [`Api::token`].
    pub fn as_token(&self, token: &str) -> Api {
        Api::new(&self.url(), self.authority.der(), Credential::Token(token.to_owned()))
    }

    /// Requests as a service account, which is made if it is not there.
    pub fn service_account(&self, namespace: &str, name: &str) -> Api {
        self.as_token(&self.account_token(namespace, name))
    }

    /// A kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory().join("admin.kubeconfig")
    }

    /// Writes a kubeconfig for this user and returns its path.
    pub fn kubeconfig_for(&self, name: &str, group: Option<&str>) -> PathBuf {
        let file = file_name(name);
        self.authority.client(name, group).write(self.directory(), &file);
        let user = by_certificate(self.directory(), &file);
        self.write_kubeconfig(&file, &self.url(), &user)
    }

    /// Writes a kubeconfig for a service account, which is made if it is not there, and returns its path.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> PathBuf {
        self.service_account_kubeconfig_to(&self.url(), namespace, name)
    }

    /// The same with another address of the API server, as that of a [`crate::balancer::Balancer`] before it.
    pub fn service_account_kubeconfig_to(&self, url: &str, namespace: &str, name: &str) -> PathBuf {
        let user = json!({"token": self.account_token(namespace, name)});
        self.write_kubeconfig(&file_name(&format!("{url}-{namespace}-{name}")), url, &user)
    }

    /// Good for a day, so that a long run does not end with it.
    fn account_token(&self, namespace: &str, name: &str) -> String {
        self.admin().ensure_service_account(namespace, name);
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                             "spec": {"expirationSeconds": 86400}});
        let body = self.admin().post(&path, &request).expect(201);
        body["status"]["token"].as_str().expect("a token").to_owned()
    }

    pub(super) fn write_kubeconfig(&self, name: &str, server: &str, user: &Value) -> PathBuf {
        let home = self.directory();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "acceptance",
            "contexts": [{"name": "acceptance", "context": {"cluster": "acceptance", "user": "acceptance"}}],
            "clusters": [{"name": "acceptance",
                          "cluster": {"server": server, "certificate-authority": home.join("ca.crt")}}],
            "users": [{"name": "acceptance", "user": user}],
        });
        pki::write(home, &format!("{name}.kubeconfig"), &config.to_string())
    }
}

/// A user by the pair of files that [`pki::Identity::write`] left.
pub(super) fn by_certificate(home: &Path, file: &str) -> Value {
    json!({"client-certificate": home.join(format!("{file}.crt")), "client-key": home.join(format!("{file}.key"))})
}

/// A user name may hold colons and slashes.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
