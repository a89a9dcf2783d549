//! Instance principals: the instance proves by its certificate who it is, and gets a token.

use super::Credentials;
use super::Error;
use super::FetchCredentials;
use super::Owner;
use super::federation::Federation;
use super::imds::Imds;
use super::issuer::IssuerProblem;
use super::issuer::wrong;
use super::session_key;

/// The instance that this runs on.
#[derive(Debug)]
pub struct InstancePrincipal {
    imds: Imds,
    federation: Federation,
}

impl InstancePrincipal {
    /// Proves itself by what `imds` has, to `federation`.
    pub fn new(imds: Imds, federation: Federation) -> Self {
        Self { imds, federation }
    }
}

impl FetchCredentials for InstancePrincipal {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let leaf = async { self.imds.leaf().await.map_err(Error::from) };
        let (session, leaf) = tokio::try_join!(session_key::generate(), leaf)?;
        let tenancy = leaf.certificate.tenancy();
        let tenancy = tenancy
            .map_err(|error| wrong("the instance's metadata service", IssuerProblem::Certificate(error)))?;
        let issued = self.federation.exchange(&leaf, &tenancy, &session).await?;
        let claimed = issued.claims.text("opc-instance").or(leaf.certificate.instance());
        let instance = claimed.or(issued.claims.text("sub")).map(str::to_owned);
        let owner = Owner { tenancy: Some(tenancy), subject: instance.map(|name| ("instance", name)) };
        Ok(issued.with(session, owner))
    }
}
