//! Harmless signed requests: is the credential accepted, and may it see backups?

use super::operation::Operation;
use super::request::Request;
use crate::ocid::Ocid;
use crate::ocid::ParseOcidError;
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
        Ok(Request::ask(format!("/volumeBackups?compartmentId={id}&limit=1")))
    }

    fn subject(&self) -> &Ocid {
        &self.compartment_id
    }
}

/// `GET /volumeBackups/{id}` of a backup that nobody has, for who does not know the tenancy: OCI answers 404 to whoever it
/// knows, and 401 to others.
#[derive(Debug, Clone)]
pub struct Knock(Ocid);

impl Knock {
    /// Asks for a backup that nobody has.
    pub fn new() -> Result<Self, ParseOcidError> {
        Ocid::parse("ocid1.volumebackup.oc1..nobodyhasabackupofthisname").map(Self)
    }
}

impl Operation for Knock {
    const NAME: &'static str = "GetVolumeBackup";
    type Output = IgnoredAny;

    fn request(&self) -> Result<Request, serde_json::Error> {
        Ok(Request::ask(format!("/volumeBackups/{}", self.0)))
    }

    fn subject(&self) -> &Ocid {
        &self.0
    }
}
