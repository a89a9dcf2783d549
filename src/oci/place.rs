//! Where the API is: known from the start, or found out together with the credential, and so before any request.

use super::endpoint::Endpoint;
use std::sync::Arc;
use std::sync::OnceLock;

/// An endpoint, and the region that it serves. Clones share what is found out.
#[derive(Debug, Clone, Default)]
pub struct Place(Arc<OnceLock<At>>);

#[derive(Debug, Clone)]
struct At {
    endpoint: Endpoint,
    region: Arc<str>,
}

impl Place {
    /// A place that is known. The region is empty when nobody said.
    #[must_use]
    pub fn known(endpoint: Endpoint, region: &str) -> Self {
        Self(Arc::new(OnceLock::from(At { endpoint, region: region.into() })))
    }

    /// Takes over what another knows, if nothing is known yet.
    pub fn find(&self, other: &Self) {
        if let Some(at) = other.0.get() {
            let _ = self.0.set(at.clone());
        }
    }

    /// The endpoint, once it is known.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.get().map(|at| &at.endpoint)
    }

    /// The region by its full name; empty as long as nobody said.
    #[must_use]
    pub fn region(&self) -> Arc<str> {
        self.0.get().map_or_else(|| Arc::from(""), |at| Arc::clone(&at.region))
    }
}
