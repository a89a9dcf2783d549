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
use crate::files::Reader;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;

const UNREAD: &str = "the authorities that the federation endpoint is trusted by are not read; \
    does the file system that they are on answer?";

/// From the instance's region to the service there that gives tokens. It may read files.
pub type Locate = Box<dyn Fn(&str) -> Result<Federation, Error> + Send + Sync>;

/// The instance that this runs on.
pub struct InstancePrincipal {
    imds: Imds,
    federation: OnceLock<Federation>,
    locate: Option<Arc<Locate>>,
    reader: Reader,
}

impl InstancePrincipal {
    /// Proves itself by what `imds` has, to `federation`.
    pub fn new(imds: Imds, federation: Federation) -> Self {
        Self { imds, federation: OnceLock::from(federation), locate: None, reader: Reader::default() }
    }

    /// The same where the region is not known: `imds` is asked for it, until it says.
    pub fn located(imds: Imds, locate: Locate) -> Self {
        let locate = Some(Arc::new(locate));
        Self { imds, federation: OnceLock::new(), locate, reader: Reader::default() }
    }

    async fn federation(&self) -> Result<&Federation, Error> {
        match (self.federation.get(), &self.locate) {
            (Some(known), _) => Ok(known),
            (None, Some(locate)) => self.find(locate).await,
            (None, None) => {
                Err(Error::Unexpected(Arc::new(io::Error::other("there is no federation endpoint"))))
            }
        }
    }

    async fn find(&self, locate: &Arc<Locate>) -> Result<&Federation, Error> {
        let (region, locate) = (self.imds.region().await?, Arc::clone(locate));
        let found = self.reader.run(move || locate(&region)).await;
        let hangs = |_unread| Error::Unavailable(Arc::new(io::Error::other(UNREAD)));
        let found = found.map_err(hangs)??;
        Ok(self.federation.get_or_init(|| found))
    }
}

impl fmt::Debug for InstancePrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { imds, federation, locate: _, reader: _ } = self;
        f.debug_struct("InstancePrincipal").field("imds", imds).field("federation", federation).finish()
    }
}

impl FetchCredentials for InstancePrincipal {
    async fn fetch(&self) -> Result<Credentials, Error> {
        // Together, and what fails is told in this order: a service that is down is the same news each time.
        let (federation, leaf) = tokio::join!(self.federation(), self.imds.leaf());
        let (federation, leaf) = (federation?, leaf?);
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
