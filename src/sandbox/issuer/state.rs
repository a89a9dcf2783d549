//! What the issuers know, and what can be changed while they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rsa::RsaPublicKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::certificate::{Authority, Subject};
use super::keys::IssuerKeys;
use super::service_account::ServiceAccounts;
use super::session::{Session, SessionKind};
use super::token::Mint;
use super::{IssuerConfig, service_account};
use crate::sandbox::key::Key;
use crate::sandbox::{Error, Identity, Now};

/// A leaf certificate's life, unless told otherwise: OCI's live for hours.
const LEAF_LIFE: Duration = Duration::from_secs(2 * 3600);

/// How the metadata service names the region: both forms were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionForm {
    /// `iad`
    ShortCode,
    /// `us-ashburn-1`
    Name,
}

/// What kind of cluster asks for workload identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterType {
    /// One that may.
    Enhanced,
    /// One that is answered 403.
    Basic,
}

/// What is to be different from now on; what is left out stays. `POST /sandbox/issuers` takes this as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerChange {
    /// How long the tokens live that are issued from now on, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_life_seconds: Option<u64>,
    /// How the metadata service names the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionForm>,
    /// What kind of cluster it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterType>,
    /// Whose service accounts it knows, in place of those before: a real cluster's, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccounts>,
    /// A new leaf certificate with a new key. Takes a core for some hundred milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<NewCertificate>,
    /// Whether OCI refuses all tokens that were issued so far.
    #[serde(default)]
    pub revoke_tokens: bool,
    /// `false`: connections to the issuers are refused, and those that are there end. `true`: they listen again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<bool>,
}

/// The instance's next leaf certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// Another tenancy than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<String>,
    /// How long it is good, in seconds. Left out: two hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_seconds: Option<u64>,
}

pub(in crate::sandbox) struct State {
    pub(super) mint: Arc<Mint>,
    pub(super) authority: Authority,
    pub(super) keys: IssuerKeys,
    user: String,
    now: Now,
    settings: Mutex<Settings>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) token_life: Duration,
    pub(super) region: RegionForm,
    pub(super) cluster: ClusterType,
    pub(super) accounts: ServiceAccounts,
    pub(super) instance: Instance,
}

/// The instance as its certificate has it.
#[derive(Clone)]
pub(super) struct Instance {
    pub(super) subject: Subject,
    pub(super) key: Arc<Key>,
    pub(super) certificate: Arc<[u8]>,
}

impl State {
    pub(super) fn new(
        config: &IssuerConfig,
        keys: IssuerKeys,
        identity: &Identity,
        now: Now,
    ) -> Result<State, Error> {
        let authority = Authority::new(keys.clone(), now())?;
        let subject = Subject {
            tenancy: identity.tenancy().to_owned(),
            compartment: identity.tenancy().replace(".tenancy.", ".compartment."),
            instance: identity.tenancy().replace(".tenancy.oc1..", ".instance.oc1.iad."),
        };
        let (key, made) = (keys.leaf(), now());
        let certificate = authority.issue(&subject, &key, made, LEAF_LIFE)?.into();
        let settings = Settings {
            token_life: config.token_life,
            region: config.region,
            cluster: ClusterType::Enhanced,
            accounts: ServiceAccounts::own(keys.cluster()),
            instance: Instance { subject, key, certificate },
        };
        let mint = Mint::new(keys.clone());
        let user = identity.user().to_owned();
        Ok(State { mint, authority, keys, user, now, settings: Mutex::new(settings) })
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.now)()
    }

    pub(super) fn settings(&self) -> Settings {
        self.lock().clone()
    }

    pub(in crate::sandbox) fn change(&self, change: IssuerChange) -> Result<(), Error> {
        let instance = change.certificate.map(|new| self.next_instance(new)).transpose()?;
        let mut settings = self.lock();
        settings.token_life = change.token_life_seconds.map_or(settings.token_life, Duration::from_secs);
        settings.region = change.region.unwrap_or(settings.region);
        settings.cluster = change.cluster.unwrap_or(settings.cluster);
        if let Some(accounts) = change.service_accounts {
            settings.accounts = accounts;
        }
        if let Some(instance) = instance {
            settings.instance = instance;
        }
        if change.revoke_tokens {
            self.mint.revoke();
        }
        Ok(())
    }

    /// A token by one of the exchanges, of the life that is set.
    pub(super) fn exchanged(
        &self,
        claims: Map<String, Value>,
        session: &RsaPublicKey,
    ) -> Result<String, Error> {
        self.mint.issue(claims, session, self.now(), self.settings().token_life)
    }

    /// A token that is not asked for over the network, and its key.
    pub(in crate::sandbox) fn session(&self, kind: SessionKind, life: Duration) -> Result<Session, Error> {
        let key = Key::generate()?;
        let claims = kind.claims(&self.settings().instance.subject, &self.user);
        Ok(Session { token: self.mint.issue(claims, key.public(), self.now(), life)?, key })
    }

    pub(in crate::sandbox) fn service_account_token(
        &self,
        audience: &str,
        life: Duration,
    ) -> Result<String, Error> {
        service_account::issue(self.keys.cluster(), audience, self.now(), life)
    }

    fn next_instance(&self, new: NewCertificate) -> Result<Instance, Error> {
        let mut subject = self.settings().instance.subject;
        subject.tenancy = new.tenancy.unwrap_or(subject.tenancy);
        let key = Key::generate()?;
        let life = new.life_seconds.map_or(LEAF_LIFE, Duration::from_secs);
        let certificate = self.authority.issue(&subject, &key, self.now(), life)?.into();
        Ok(Instance { subject, key: Arc::new(key), certificate })
    }

    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claims of a way to sign in, from names and texts.
pub(super) fn claims<const N: usize>(texts: [(&str, &str); N]) -> Map<String, Value> {
    texts.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect()
}
