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
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

/// From the instance's region to the service there that gives tokens.
pub type Locate = Box<dyn Fn(&str) -> Result<Federation, Error> + Send + Sync>;

/// The instance that this runs on.
pub struct InstancePrincipal {
    imds: Imds,
    federation: OnceLock<Federation>,
    locate: Locate,
}

impl InstancePrincipal {
    /// Proves itself by what `imds` has, to `federation`.
    pub fn new(imds: Imds, federation: Federation) -> Self {
        let located =
            || Error::Unexpected(Arc::new(std::io::Error::other("the federation endpoint is known")));
        Self { imds, federation: OnceLock::from(federation), locate: Box::new(move |_| Err(located())) }
    }

    /// The same where the region is not known: `imds` is asked for it, until it says.
    pub fn located(imds: Imds, locate: Locate) -> Self {
        Self { imds, federation: OnceLock::new(), locate }
    }

    async fn federation(&self) -> Result<&Federation, Error> {
        if let Some(known) = self.federation.get() {
            return Ok(known);
        }
        let found = (self.locate)(&self.imds.region().await?)?;
        Ok(self.federation.get_or_init(|| found))
    }
}

impl fmt::Debug for InstancePrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { imds, federation, locate: _ } = self;
        f.debug_struct("InstancePrincipal").field("imds", imds).field("federation", federation).finish()
    }
}

impl FetchCredentials for InstancePrincipal {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let leaf = async { self.imds.leaf().await.map_err(Error::from) };
        let (federation, leaf) = tokio::try_join!(self.federation(), leaf)?;
        // Only now: a source that is down must not cost a key each time it is asked.
        let session = session_key::generate().await?;
        let tenancy = leaf.certificate.tenancy();
        let tenancy = tenancy
            .map_err(|error| wrong("the instance's metadata service", IssuerProblem::Certificate(error)))?;
        let issued = federation.exchange(&leaf, &tenancy, &session).await?;
        let claimed = issued.claims.text("opc-instance").or(leaf.certificate.instance());
        let instance = claimed.or(issued.claims.text("sub")).map(str::to_owned);
        let owner = Owner { tenancy: Some(tenancy), subject: instance.map(|name| ("instance", name)) };
        Ok(issued.with(session, owner))
    }
}
