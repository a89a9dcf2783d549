//! A harmless signed request: is the credential accepted, and may it see backups?

use super::operation::Operation;
use super::request::Request;
use crate::ocid::Ocid;
use serde::de::IgnoredAny;

/// `GET /volumeBackups?compartmentId=…&limit=1`: changes nothing and returns next to nothing.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where to look; the tenancy's OCID is its root compartment's.
    pub compartment_id: Ocid,
}

impl Operation for Probe {
    const NAME: &'static str = "ListVolumeBackups";
    type Output = Vec<IgnoredAny>;

    fn request(&self) -> Result<Request, serde_json::Error> {
        let id = self.compartment_id.as_str();
        // An OCID needs no escaping in a query: see `Ocid`.
        Ok(Request::read(format!("/volumeBackups?compartmentId={id}&limit=1")))
    }

    fn subject(&self) -> &Ocid {
        &self.compartment_id
    }
}
