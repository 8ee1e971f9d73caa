//! Where the lease is kept.

use std::future::Future;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};

use super::NAME;
use crate::cluster::describe;

/// Why a lease was not read or not written.
#[derive(Debug)]
pub enum Trouble {
    /// Somebody else was faster, or the lease is gone.
    Lost,
    /// Anything else; nothing is known then.
    Other(String),
}

/// Reads and writes of one lease.
pub trait Store: Send {
    fn read(&self) -> impl Future<Output = Result<Option<Lease>, Trouble>> + Send;
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Trouble>> + Send;
    /// Only over the very version that `lease` came from.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Trouble>> + Send;
}

/// The API server.
#[derive(Debug)]
pub struct Leases(Api<Lease>);

impl Leases {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }
}

impl Store for Leases {
    async fn read(&self) -> Result<Option<Lease>, Trouble> {
        self.0.get_opt(NAME).await.map_err(trouble)
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, Trouble> {
        self.0.create(&PostParams::default(), lease).await.map_err(trouble)
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Trouble> {
        self.0.replace(NAME, &PostParams::default(), lease).await.map_err(trouble)
    }
}

fn trouble(error: kube::Error) -> Trouble {
    match error {
        // 409: changed or created meanwhile. 404: deleted meanwhile.
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => Trouble::Lost,
        error => Trouble::Other(describe(&error)),
    }
}
