//! Credentials that are replaced while calls are signed with them. The sandbox refuses a key id whose key did not sign:
//! where it never answers 401, nothing was mixed up, and nothing was found out by being refused.

use crate::rig::IDENTITY;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::credentials;
use crate::rig::local;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::credentials::Credentials;
use oci_backup_gateway::credentials::Found;
use oci_backup_gateway::credentials::Origin;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Provided;
use oci_backup_gateway::credentials::ReadCredentials;
use oci_backup_gateway::credentials::Refreshing;
use oci_backup_gateway::credentials::SecurityToken;
use oci_backup_gateway::credentials::Setting;
use oci_backup_gateway::credentials::Source;
use oci_backup_gateway::credentials::Variables;
use oci_backup_gateway::files;
use oci_backup_gateway::oci;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::IssuerConfig;
use oci_backup_gateway::sandbox::SessionKind;
use oci_backup_gateway::transport;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::reqwest;
use oci_backup_gateway::transport::reqwest::Trust;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

const ROTATIONS: usize = 50;

/// The way to OCI, which counts who goes along.
struct Watched {
    http: reqwest::Client,
    sent: Mutex<HashMap<String, usize>>,
}

impl Watched {
    fn new() -> Arc<Self> {
        let user_agent = oci::USER_AGENT.to_owned();
        let http = reqwest::Config { trust: Trust::Plaintext, proxy: None, user_agent };
        Arc::new(Self { http: reqwest::Client::new(&http).unwrap(), sent: Mutex::default() })
    }

    /// How many requests were signed under this name.
    fn sent(&self, key_id: &str) -> usize {
        self.sent.lock().unwrap().get(key_id).copied().unwrap_or_default()
    }
}

impl HttpService for Watched {
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<transport::Response, transport::Error>> {
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        let key_id = header.split("keyId=\"").nth(1).unwrap().split('"').next().unwrap();
        *self.sent.lock().unwrap().entry(key_id.to_owned()).or_default() += 1;
        self.http.send(request, limits)
    }
}

/// A credential as it lies in files, and the name that OCI has for it.
struct Version {
    files: Vec<(&'static str, String)>,
    key_id: String,
}

/// How new files take the place of old ones.
#[derive(Debug, Clone, Copy)]
enum How {
    /// One after another.
    Files,
    /// All at once, as the kubelet does with a mounted secret.
    Swap,
}

impl How {
    fn replace(self, dir: &Path, number: usize, version: &Version) {
        let at = |name: &str| dir.join(name);
        let volume = at(&format!("..{number}"));
        if matches!(self, Self::Swap) {
            fs::create_dir(&volume).unwrap();
        }
        for (name, content) in &version.files {
            match self {
                Self::Files => {
                    fs::write(at("new"), content).unwrap();
                    fs::rename(at("new"), at(name)).unwrap();
                }
                Self::Swap => {
                    fs::write(volume.join(name), content).unwrap();
                    let _ = symlink(format!("..data/{name}"), at(name));
                }
            }
        }
        if matches!(self, Self::Swap) {
            symlink(&volume, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        }
    }
}

fn profile(dir: &Path) -> Source {
    Source {
        auth: Origin::Default,
        config_file: Setting { value: dir.join("config"), origin: Origin::Named("--config-file") },
        profile: Setting { value: "DEFAULT".to_owned(), origin: Origin::Default },
        home: None,
        variables: Variables::default(),
    }
}

fn api_key(dir: &Path, identity: &Identity) -> Version {
    let (user, tenancy, fingerprint) = (identity.user(), identity.tenancy(), identity.fingerprint());
    let key = dir.join("key.pem");
    let config = format!(
        "[DEFAULT]\nuser={user}\ntenancy={tenancy}\nfingerprint={fingerprint}\nregion=iad\nkey_file={}\n",
        key.display()
    );
    Version {
        files: vec![("key.pem", identity.private_key_pem().to_owned()), ("config", config)],
        key_id: format!("{tenancy}/{user}/{fingerprint}"),
    }
}

fn session(rig: &Rig, dir: &Path) -> Version {
    let session =
        rig.sandbox.issuers().unwrap().session(SessionKind::User, Duration::from_secs(3600)).unwrap();
    let (key, token) = (dir.join("key.pem"), dir.join("token"));
    let config = format!(
        "[DEFAULT]\nregion=iad\nkey_file={}\nsecurity_token_file={}\n",
        key.display(),
        token.display()
    );
    Version {
        files: vec![
            ("key.pem", session.private_key_pem().unwrap().to_string()),
            ("token", session.token().to_owned()),
            ("config", config),
        ],
        key_id: format!("ST${}", session.token()),
    }
}

/// A gateway that signs with what `source` reads, and its way to OCI.
async fn gateway(source: impl ReadCredentials) -> (Rig, Arc<Watched>, Arc<Refreshing>) {
    let watched = Watched::new();
    let config = files::Config { look_again: Duration::from_millis(10) };
    let provider = Arc::new(Refreshing::start(Found::new(source, config), Clock::system()));
    let rig = Rig::with(Setup {
        credentials: Some(Arc::clone(&provider) as Arc<dyn ProvideCredentials>),
        http: Some(Arc::clone(&watched) as Arc<dyn HttpService>),
        issuers: Some(IssuerConfig::new(local(), local())),
        ..Setup::default()
    });
    (rig.await, watched, provider)
}

/// Replaces the credential again and again while calls are made; each is used before the next takes its place.
async fn rotate(
    (rig, watched, provider): (Rig, Arc<Watched>, Arc<Refreshing>),
    dir: &Path,
    how: How,
    versions: &[Version],
) {
    how.replace(dir, 0, &versions[0]);
    while provider.provide().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (mut caller, done) = (rig.caller.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut calls = 0;
                while !done.load(Ordering::Relaxed) {
                    caller.create_volume_backup(create()).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for number in 1..=ROTATIONS {
        let version = &versions[number % versions.len()];
        let began = Instant::now();
        how.replace(dir, number, version);
        let in_time = |what: &str| {
            assert!(began.elapsed() < Duration::from_secs(10), "{how:?}: rotation {number} is not {what}");
        };
        while provider.provide().await.unwrap().identity().key_id != version.key_id {
            in_time("taken");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = watched.sent(&version.key_id);
        while watched.sent(&version.key_id) == before {
            in_time("signed with");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap();
    }
    assert!(calls >= ROTATIONS, "{how:?}: {calls} calls");
    never_refused(&rig);
}

/// OCI never met a signature, or a credential, that it did not take.
#[track_caller]
fn never_refused(rig: &Rig) {
    let attempts = rig.sandbox.ledger().attempts;
    assert!(attempts.len() >= ROTATIONS, "{} attempts", attempts.len());
    let refused: Vec<_> =
        attempts.iter().filter(|attempt| attempt.refusal.is_some() || attempt.status == Some(401)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_rotations_of_an_api_key_under_load_are_taken_and_none_is_found_out_by_a_refusal() {
    let identities: Vec<_> = (0..4).map(|_| IDENTITY.rotated().unwrap()).collect();
    for how in [How::Files, How::Swap] {
        let dir = TempDir::new().unwrap();
        let gateway = gateway(profile(dir.path())).await;
        identities.iter().for_each(|identity| gateway.0.sandbox.accept(identity));
        let versions: Vec<_> = identities.iter().map(|identity| api_key(dir.path(), identity)).collect();
        rotate(gateway, dir.path(), how, &versions).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_rotations_of_a_token_and_its_key_under_load_are_taken_and_none_is_found_out_by_a_refusal() {
    for how in [How::Files, How::Swap] {
        let dir = TempDir::new().unwrap();
        let source = SecurityToken { source: profile(dir.path()), clock: Clock::system() };
        let gateway = gateway(source).await;
        let versions: Vec<_> = (0..4).map(|_| session(&gateway.0, dir.path())).collect();
        rotate(gateway, dir.path(), how, &versions).await;
    }
}

/// Gives another credential to whoever asks: two questions about one signature get answers that do not go together.
#[derive(Debug)]
struct Alternating {
    credentials: Vec<Arc<Credentials>>,
    asked: AtomicUsize,
}

impl ProvideCredentials for Alternating {
    fn provide(&self) -> Provided<'_> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        Provided::now(Ok(Arc::clone(&self.credentials[asked % self.credentials.len()])))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_request_is_signed_with_and_what_it_names_are_one_credential() {
    let other = IDENTITY.rotated().unwrap();
    let mut both = Vec::new();
    for identity in [&*IDENTITY, &other] {
        both.push(credentials(identity).provide().await.unwrap());
    }
    let names: Vec<_> = both.iter().map(|one| one.identity().key_id.to_owned()).collect();
    let (watched, provider) = (Watched::new(), Alternating { credentials: both, asked: AtomicUsize::new(0) });
    let rig = Rig::with(Setup {
        credentials: Some(Arc::new(provider)),
        http: Some(Arc::clone(&watched) as Arc<dyn HttpService>),
        ..Setup::default()
    })
    .await;
    rig.sandbox.accept(&other);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let mut caller = rig.caller.clone();
            tokio::spawn(async move { caller.create_volume_backup(create()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(names.iter().all(|name| watched.sent(name) >= 20), "both were used");
    never_refused(&rig);
}
