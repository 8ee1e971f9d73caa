//! The cryptography of TLS, of all of it: what is served, what clients show, and what is asked of the API server.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};

/// Who signs, agrees on keys, and encrypts: ring, which needs nothing but a C compiler.
pub fn crypto() -> Arc<CryptoProvider> {
    static RING: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&RING)
}
