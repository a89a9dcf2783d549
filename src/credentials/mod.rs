//! Who we are: where a credential comes from, and what is wrong when it does not.
//!
//! A request takes one [`Credentials`] and signs with that: key and key id are one snapshot, because a key id
//! read before a refresh does not belong to a key read after it. This room never signs a request and never
//! decides whether one is tried again.

mod api_key;
mod certificate;
mod config_error;
mod config_file;
mod federation;
mod files;
mod imds;
mod instance_principal;
mod issuer;
mod jwt;
mod oke_workload_identity;
mod pem;
mod refresh;
mod resource_principal;
mod security_token;
mod session_key;
mod sign_in;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::ocid::Ocid;
use crate::signature::Identity;
use crate::signature::PrivateKey;
use crate::transport::BoxFuture;

pub use self::api_key::Loaded;
pub use self::api_key::Source;
pub use self::api_key::Variables;
pub use self::certificate::CertificateError;
pub use self::config_error::ConfigError;
pub use self::config_error::Problem;
pub use self::config_file::Origin;
pub use self::config_file::Setting;
pub use self::federation::Federation;
pub use self::files::Found;
pub use self::files::ReadCredentials;
pub use self::files::Settle;
pub use self::imds::Imds;
pub use self::instance_principal::InstancePrincipal;
pub use self::instance_principal::Locate;
pub use self::issuer::IssuerError;
pub use self::issuer::IssuerProblem;
pub use self::jwt::JwtError;
pub use self::oke_workload_identity::OkeWorkloadIdentity;
pub use self::pem::PemError;
pub use self::refresh::FetchCredentials;
pub use self::refresh::Refreshing;
pub use self::resource_principal::PrincipalVariables;
pub use self::resource_principal::ResourcePrincipal;
pub use self::security_token::SecurityToken;
pub use self::sign_in::InstanceSettings;
pub use self::sign_in::SignIn;
pub use self::sign_in::WorkloadSettings;

/// A key, its id and how long they last, taken together. `Debug` shows nothing that signs.
pub struct Credentials {
    key_id: Zeroizing<String>,
    key: PrivateKey,
    expires: Option<SystemTime>,
    owner: Owner,
}

/// Whose a credential is, as far as it says so itself. Nothing of it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The tenancy, whose root compartment a probe may look at.
    pub tenancy: Option<Ocid>,
    /// What signs in: its kind (`user`, `instance`, …) and its name.
    pub subject: Option<(&'static str, String)>,
}

impl Credentials {
    /// `expires` is absent for what lasts until it is revoked.
    pub fn new(key_id: String, key: PrivateKey, expires: Option<SystemTime>) -> Self {
        Self { key_id: Zeroizing::new(key_id), key, expires, owner: Owner::default() }
    }

    /// The same, with what it says about its owner.
    #[must_use]
    pub fn of(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// Whose it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What a request is signed with.
    pub fn identity(&self) -> Identity<'_> {
        Identity { key_id: &self.key_id, key: &self.key }
    }

    /// Whether the other would sign the same way.
    fn is_same(&self, other: &Self) -> bool {
        *self.key_id == *other.key_id && self.key.public_der() == other.key.public_der()
    }

    /// When OCI stops accepting it; absent for what lasts until it is revoked.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A source of credentials. It is asked at every attempt and answers from memory whenever it can.
pub trait ProvideCredentials: fmt::Debug + Send + Sync {
    /// The credentials to sign one request with.
    fn provide(&self) -> Provided<'_>;

    /// OCI refused this one: is there another, or can one be had? Asks the source once, with all others who ask.
    /// `None`: signing again would meet the same refusal.
    fn renew<'a>(&'a self, _refused: &'a Arc<Credentials>) -> BoxFuture<'a, Option<Arc<Credentials>>> {
        Box::pin(std::future::ready(None))
    }

    /// What is to be shown of it.
    fn condition(&self) -> Condition {
        Condition::default()
    }
}

/// How a source of credentials is doing, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// When OCI stops accepting what is at hand; absent for what lasts until it is revoked.
    pub expires: Option<SystemTime>,
    /// How often the source gave nothing that can be used.
    pub failures: u64,
}

/// What [`ProvideCredentials::provide`] answers: at once, or when the source has answered.
pub struct Provided<'a>(State<'a>);

enum State<'a> {
    Now(std::future::Ready<Result<Arc<Credentials>, Error>>),
    Later(Pin<Box<dyn Future<Output = Result<Arc<Credentials>, Error>> + Send + 'a>>),
}

impl<'a> Provided<'a> {
    /// An answer from memory: nothing is awaited, nothing allocated.
    pub fn now(answer: Result<Arc<Credentials>, Error>) -> Self {
        Self(State::Now(std::future::ready(answer)))
    }

    /// An answer that has to be waited for.
    pub fn later(answer: impl Future<Output = Result<Arc<Credentials>, Error>> + Send + 'a) -> Self {
        Self(State::Later(Box::pin(answer)))
    }
}

impl Future for Provided<'_> {
    type Output = Result<Arc<Credentials>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Now(answer) => Pin::new(answer).poll(context),
            State::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Provided<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided").finish_non_exhaustive()
    }
}

/// Credentials that stay as they are for the life of the process: those of the embedded OCI, and of tests.
#[derive(Debug, Clone)]
pub struct StaticCredentials(Arc<Credentials>);

impl StaticCredentials {
    /// Hands these out, always.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(credentials))
    }
}

impl ProvideCredentials for StaticCredentials {
    fn provide(&self) -> Provided<'_> {
        Provided::now(Ok(Arc::clone(&self.0)))
    }
}

/// What went wrong underneath; shared, because many calls may wait for one answer.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why there are no credentials. The variant says whose move it is, its source says what exactly is wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Nothing says who we are. The operator's move: configure a credential.
    #[error("no credential is configured")]
    NotConfigured(#[source] Cause),
    /// What says who we are is wrong. The operator's move: correct it.
    #[error("the configured credential cannot be used")]
    InvalidConfiguration(#[source] Cause),
    /// The issuer knows us and said no. The tenancy administrator's move: policies, groups, keys.
    #[error("the issuer refused to give a credential")]
    Refused(#[source] Cause),
    /// The issuer gave no answer in time. Nobody's move: it is tried again.
    #[error("the source of the credential did not answer")]
    Unavailable(#[source] Cause),
    /// The issuer answered what nobody foresaw. The move of whoever maintains this program.
    #[error("the credential's source answered something unforeseen")]
    Unexpected(#[source] Cause),
}

impl Error {
    /// The cause's own line: it names the place and the remedy.
    #[must_use]
    pub fn line(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), ToString::to_string)
    }

    /// Whether somebody has to change a setting or a file before this can go away.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        match self {
            Self::NotConfigured(_) | Self::InvalidConfiguration(_) => true,
            Self::Refused(_) | Self::Unavailable(_) | Self::Unexpected(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_safe_provider_answers_from_memory_without_waiting() {
        let provider: Box<dyn ProvideCredentials> = Box::new(StaticCredentials::new(credentials()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut ask = || match Pin::new(&mut provider.provide()).poll(&mut context) {
            Poll::Ready(answer) => answer.unwrap(),
            Poll::Pending => panic!("a static provider waits for nothing"),
        };
        assert!(Arc::ptr_eq(&ask(), &ask()));
    }

    #[tokio::test]
    async fn an_answer_may_be_waited_for() {
        let provided = Provided::later(async {
            tokio::task::yield_now().await;
            Err(Error::Unavailable(Arc::new(std::io::Error::other("timed out"))))
        });
        assert!(matches!(provided.await, Err(Error::Unavailable(_))));
    }

    #[test]
    fn debug_shows_neither_key_nor_key_id() {
        let shown = format!("{:?} {:?}", credentials(), StaticCredentials::new(credentials()));
        assert_eq!(
            shown,
            "Credentials { expires: None, .. } StaticCredentials(Credentials { expires: None, .. })"
        );
    }

    fn credentials() -> Credentials {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&key).unwrap();
        Credentials::new("ST$secret".to_owned(), PrivateKey::from_pkcs8(der.as_ref()).unwrap(), None)
    }
}
