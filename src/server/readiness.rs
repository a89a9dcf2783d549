//! Whether calls can be served, and why not: for gRPC health, for `/readyz`, from one state.

use crate::credentials::Credentials;
use crate::credentials::ProvideCredentials;
use crate::oci;
use crate::oci::Standing;
use crate::oci::deadline::Deadline;
use crate::oci::error::Cause;
use crate::oci::probe::Knock;
use crate::oci::probe::Probe;
use crate::pb::backup_service_server::BackupServiceServer;
use crate::rpc;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

/// SERVING as long as the process lives.
const LIVENESS: &str = "liveness";
/// The whole server.
const SERVER: &str = "";
const SERVICE: &str = <BackupServiceServer<rpc::Gateway> as NamedService>::NAME;

/// How often a source of credentials that does not answer is asked again.
const LOAD_AGAIN: Duration = Duration::from_secs(1);
/// How often OCI is asked about a credential that it refused, or of which it has said nothing yet.
const PROBE_AGAIN: Duration = Duration::from_secs(10);

/// Why calls are, or are not, served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The credential has not loaded yet.
    Loading {
        /// What its source said last.
        said: Option<String>,
    },
    /// There is a credential, of which OCI has not said anything yet.
    Asking,
    /// Whatever answers where OCI is looked for is not OCI, which this process has never heard of.
    Lost {
        /// What it was instead.
        said: String,
    },
    /// Calls are served.
    Ready,
    /// OCI refuses the credential.
    Refused,
    /// The process is on its way out.
    Draining,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading { said: None } => {
                formatter.write_str("not ready: the credential has not loaded yet")
            }
            Self::Loading { said: Some(said) } => write!(formatter, "not ready: no credential: {said}"),
            Self::Asking => formatter.write_str("not ready: OCI is asked whether it knows the credential"),
            Self::Lost { said } => {
                write!(formatter, "not ready: OCI is not where it is looked for: {said}; `check` says more")
            }
            Self::Ready => formatter.write_str("ready"),
            Self::Refused => formatter
                .write_str("not ready: OCI refuses the gateway's credential (401); `check` says more"),
            Self::Draining => formatter.write_str("not ready: shutting down"),
        }
    }
}

/// The state, for everybody who shows it.
#[derive(Clone)]
pub(super) struct Readiness {
    state: Arc<watch::Sender<State>>,
    telling: Arc<Mutex<()>>,
    health: HealthReporter,
}

impl Readiness {
    /// Not ready yet, and the health service that says so.
    pub(super) async fn new() -> (Self, HealthServer<impl Health>) {
        // tonic's reporter starts as SERVING.
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        let state = Arc::new(watch::Sender::new(State::Loading { said: None }));
        let readiness = Self { state, telling: Arc::default(), health };
        readiness.tell().await;
        (readiness, service)
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Changes the state, unless the process is already on its way out.
    pub(super) async fn set(&self, new: State) {
        // One at a time: of two changes the later one must be told last.
        let _telling = self.telling.lock().await;
        let changed = self.state.send_if_modified(|state| {
            let changes = *state != State::Draining && *state != new;
            if changes {
                *state = new;
            }
            changes
        });
        if changed {
            match self.state() {
                // Over in a moment, and nothing that anybody has to know.
                state @ State::Asking => tracing::debug!(%state, "readiness"),
                state @ (State::Ready | State::Draining) => tracing::info!(%state, "readiness"),
                state @ (State::Loading { .. } | State::Lost { .. } | State::Refused) => {
                    tracing::warn!(%state, "readiness")
                }
            }
            self.tell().await;
        }
    }

    async fn tell(&self) {
        let status = match self.state() {
            State::Ready => ServingStatus::Serving,
            State::Loading { .. } | State::Asking | State::Lost { .. } | State::Refused | State::Draining => {
                ServingStatus::NotServing
            }
        };
        for name in [SERVER, SERVICE] {
            self.health.set_service_status(name, status).await;
        }
    }

    /// Follows the credential for the life of the process: whether there is one, and OCI's opinion of it.
    /// For its first opinion of a credential it is given `first_look`.
    pub(super) async fn follow(
        self,
        client: oci::Client,
        credentials: Arc<dyn ProvideCredentials>,
        first_look: Option<Duration>,
    ) {
        let mut standing = client.standing();
        let mut shown: Option<Arc<Credentials>> = None;
        let mut has_met_oci = false;
        loop {
            let held = self.loaded(&*credentials).await;
            let is_new = shown.as_ref().is_none_or(|shown| !Arc::ptr_eq(shown, &held));
            // What OCI said of the one before says nothing of this one.
            if is_new {
                client.forget_standing();
            }
            // Whoever is rolled out with a credential that OCI does not know must not take the place of those that work.
            let is_unknown = *standing.borrow() == Standing::Unknown;
            if let Some(time) = first_look.filter(|_time| is_unknown) {
                let unheard = self.look(&client, &held, time, has_met_oci).await;
                // Not again and again.
                if let Some(cause) = unheard.filter(|_cause| is_new) {
                    tracing::warn!(cause, "OCI could not be asked about the credential; `check` says more");
                }
            }
            shown = Some(Arc::clone(&held));
            let seen = *standing.borrow_and_update();
            has_met_oci |= seen != Standing::Unknown;
            let (state, look_again) = match seen {
                Standing::Accepted => (State::Ready, LOAD_AGAIN),
                // A silent OCI keeps nobody out, and is asked on: its first word may be a refusal.
                Standing::Unknown => {
                    let lost = Some(self.state()).filter(|state| matches!(state, State::Lost { .. }));
                    (lost.unwrap_or(State::Ready), first_look.map_or(LOAD_AGAIN, |_time| PROBE_AGAIN))
                }
                Standing::Refused => (State::Refused, PROBE_AGAIN),
            };
            self.set(state).await;
            if seen == Standing::Refused {
                // What comes of it shows in the standing.
                let _ = probe(&client, &held, PROBE_AGAIN).await;
            }
            // Whoever changes OCI's opinion first, a probe or a call, ends the wait.
            if let Ok(Err(_gone)) = tokio::time::timeout(look_again, standing.changed()).await {
                return;
            }
        }
    }

    /// The credential, when there is one.
    async fn loaded(&self, credentials: &dyn ProvideCredentials) -> Arc<Credentials> {
        loop {
            match credentials.provide().await {
                Ok(held) => return held,
                Err(error) => {
                    self.set(State::Loading { said: Some(told(&error)) }).await;
                    tokio::time::sleep(LOAD_AGAIN).await;
                }
            }
        }
    }

    /// Asks OCI about a credential of which it has said nothing; tells why it still has not, unless the state says that.
    /// Who serves already goes on: most new credentials are as good as the old.
    async fn look(
        &self,
        client: &oci::Client,
        held: &Credentials,
        within: Duration,
        has_met_oci: bool,
    ) -> Option<String> {
        let serves = self.state() == State::Ready;
        let was_lost = matches!(self.state(), State::Lost { .. });
        if !serves && !was_lost {
            self.set(State::Asking).await;
        }
        let error = probe(client, held, within).await.err()?;
        let said = match &*error.cause {
            Cause::Deadline { last: None } => format!("no answer within {within:?}"),
            cause => cause.describe(),
        };
        if error.cause.is_elsewhere() && !serves && !has_met_oci {
            self.set(State::Lost { said }).await;
            return None;
        }
        if was_lost {
            self.set(State::Asking).await;
        }
        // A refusal has its own line.
        Some(said).filter(|_said| *client.standing().borrow() == Standing::Unknown)
    }
}

/// What went wrong, and why.
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// Asks OCI for something harmless; the answer shows in the client's standing.
async fn probe(client: &oci::Client, held: &Credentials, within: Duration) -> Result<(), oci::Error> {
    let call = oci::Call { deadline: Deadline::after(within), ..oci::Call::default() };
    if let Some(tenancy) = &held.owner().tenancy {
        client.probe(Probe { compartment_id: tenancy.clone() }, call).await
    } else if let Ok(knock) = Knock::new() {
        client.knock(knock, call).await
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FIRST_LOOK;
    use super::*;
    use crate::clock::Clock;
    use crate::credentials;
    use crate::credentials::Owner;
    use crate::credentials::Provided;
    use crate::oci::endpoint::Endpoint;
    use crate::ocid::Ocid;
    use crate::region::Regions;
    use crate::region::Sources;
    use crate::signature::PrivateKey;
    use crate::transport;
    use crate::transport::BoxFuture;
    use crate::transport::HttpService;
    use crate::transport::Limits;
    use bytes::Bytes;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use tokio::time::Instant;

    const ENDPOINT: &str = "http://127.0.0.1:1";

    fn answer(status: u16, body: &'static str) -> transport::Response {
        http::Response::builder().status(status).body(Ok(Bytes::from_static(body.as_bytes()))).unwrap()
    }

    /// Refuses so often, and then accepts.
    struct Refusing(AtomicU32);

    impl HttpService for Refusing {
        fn send(
            &self,
            _request: http::Request<Bytes>,
            _limits: Limits,
        ) -> BoxFuture<'_, Result<transport::Response, transport::Error>> {
            let refuses =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            let (status, body) =
                if refuses.is_ok() { (401, r#"{"code": "NotAuthenticated"}"#) } else { (200, "[]") };
            Box::pin(async move { Ok(answer(status, body)) })
        }
    }

    /// Says nothing at first, and then refuses all.
    struct Silent {
        speaks_after: Instant,
    }

    impl HttpService for Silent {
        fn send(
            &self,
            request: http::Request<Bytes>,
            limits: Limits,
        ) -> BoxFuture<'_, Result<transport::Response, transport::Error>> {
            Box::pin(async move {
                if Instant::now() < self.speaks_after {
                    std::future::pending::<()>().await;
                }
                Refusing(AtomicU32::new(u32::MAX)).send(request, limits).await
            })
        }
    }

    /// Another server, a broken OCI, and then OCI as it should be; each for so many answers.
    struct Elsewhere([(u32, u16, &'static str); 3], AtomicU32);

    impl HttpService for Elsewhere {
        fn send(
            &self,
            _request: http::Request<Bytes>,
            _limits: Limits,
        ) -> BoxFuture<'_, Result<transport::Response, transport::Error>> {
            let mut before = self.1.fetch_add(1, Ordering::Relaxed);
            let now = self.0.iter().find(|(times, ..)| {
                let is_now = before < *times;
                before = before.saturating_sub(*times);
                is_now
            });
            let (_times, status, body) = *now.unwrap();
            Box::pin(async move { Ok(answer(status, body)) })
        }
    }

    /// Has nothing so often, and then a key.
    #[derive(Debug)]
    struct Late {
        failures: AtomicU32,
        credentials: Arc<Credentials>,
    }

    impl ProvideCredentials for Late {
        fn provide(&self) -> Provided<'_> {
            let fails =
                self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            Provided::now(match fails {
                Err(_none_left) => Ok(Arc::clone(&self.credentials)),
                Ok(_) => Err(credentials::Error::Unavailable(Arc::new(std::io::Error::other("no route")))),
            })
        }
    }

    fn key() -> PrivateKey {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&key).unwrap();
        PrivateKey::from_pkcs8(der.as_ref()).unwrap()
    }

    fn credential(tenancy: Option<&str>) -> Credentials {
        let tenancy = tenancy.map(|tenancy| Ocid::parse(tenancy).unwrap());
        let owner = Owner { tenancy, subject: None };
        Credentials::new("tenancy/user/fingerprint".to_owned(), key(), None).of(owner)
    }

    const TENANCY: Option<&str> = Some("ocid1.tenancy.oc1..a");

    /// Follows a credential that comes after so many failures and that OCI refuses so often.
    async fn followed(
        tenancy: Option<&str>,
        failures: u32,
        refusals: u32,
    ) -> (watch::Receiver<State>, oci::Client) {
        followed_by(tenancy, failures, Arc::new(Refusing(AtomicU32::new(refusals)))).await
    }

    async fn followed_by(
        tenancy: Option<&str>,
        failures: u32,
        http: Arc<dyn HttpService>,
    ) -> (watch::Receiver<State>, oci::Client) {
        let credentials = Arc::new(credential(tenancy));
        followed_with(Arc::new(Late { failures: AtomicU32::new(failures), credentials }), http).await
    }

    async fn followed_with(
        provider: Arc<dyn ProvideCredentials>,
        http: Arc<dyn HttpService>,
    ) -> (watch::Receiver<State>, oci::Client) {
        let endpoint = Endpoint::parse(ENDPOINT).unwrap();
        let regions = Regions::new(Sources::default());
        let config = oci::Config::new(oci::Place::known(endpoint, ""), Duration::from_secs(5), regions);
        let clock = Clock::system();
        let client = oci::Client::new(config, http, Arc::clone(&provider), clock, oci::Mutations::new());
        let (readiness, _health) = Readiness::new().await;
        let state = readiness.state.subscribe();
        tokio::spawn(readiness.follow(client.clone(), provider, Some(FIRST_LOOK)));
        (state, client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_without_a_credential_is_asked_every_second_and_its_words_are_told() {
        let began = Instant::now();
        let (mut state, _client) = followed(TENANCY, 3, 0).await;
        let told = state.wait_for(|state| *state != State::Loading { said: None }).await.unwrap().to_string();
        assert_eq!(told, "not ready: no credential: the source of the credential did not answer: no route");
        state.wait_for(|state| *state == State::Ready).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn oci_is_asked_every_ten_seconds_whether_it_takes_a_refused_credential_again() {
        // The first look, and three probes: at once, after ten and after twenty seconds.
        for tenancy in [TENANCY, None] {
            let (mut state, _client) = followed(tenancy, 0, 4).await;
            state.wait_for(|state| matches!(state, State::Refused | State::Ready)).await.unwrap();
            assert_eq!(*state.borrow(), State::Refused, "a credential that OCI does not know was ready");
            let began = Instant::now();
            let ready = state.wait_for(|state| *state == State::Ready);
            let ready = tokio::time::timeout(Duration::from_secs(60), ready).await;
            assert!(ready.is_ok(), "{tenancy:?}: OCI is not asked");
            assert_eq!(began.elapsed().as_secs(), 30, "{tenancy:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_nothing_from_oci_is_ready_after_two_seconds_and_not_any_more_once_it_refuses() {
        let began = Instant::now();
        let silent = Silent { speaks_after: began + Duration::from_secs(5) };
        let (mut state, _client) = followed_by(TENANCY, 0, Arc::new(silent)).await;
        state.wait_for(|state| *state == State::Asking).await.unwrap();
        state.wait_for(|state| *state == State::Ready).await.unwrap();
        assert_eq!(began.elapsed().as_secs_f64().round(), 2.0);
        // No call has come that would have found out.
        state.wait_for(|state| *state != State::Ready).await.unwrap();
        let waited = began.elapsed().as_secs_f64().round();
        assert_eq!((state.borrow().clone(), waited), (State::Refused, 12.0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_another_server_where_oci_should_be_is_not_ready_before_it_hears_of_oci() {
        const BUSY: &str = r#"{"code": "InternalServerError", "message": "later"}"#;
        for (status, body) in
            [(302, ""), (401, "<html>"), (404, "<html>"), (403, ""), (200, "<html>"), (200, "{}")]
        {
            for (later, words) in [(500, BUSY), (503, "<html>"), (200, "[]")] {
                let began = Instant::now();
                let http =
                    Elsewhere([(3, status, body), (1, later, words), (99, 200, "[]")], AtomicU32::new(0));
                let (mut state, _client) = followed_by(TENANCY, 0, Arc::new(http)).await;
                let lost = |state: &State| matches!(state, State::Lost { .. });
                state.wait_for(|state| lost(state) || *state == State::Ready).await.unwrap();
                assert!(lost(&state.borrow()), "{status} {body}: {:?}", *state.borrow());
                state.wait_for(|state| *state == State::Ready).await.unwrap();
                assert_eq!(began.elapsed().as_secs(), 30, "{status} {body}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_on_its_way_out_never_serves_again() {
        let (readiness, _health) = Readiness::new().await;
        readiness.set(State::Draining).await;
        readiness.set(State::Ready).await;
        assert_eq!(readiness.state(), State::Draining);
    }

    /// One credential after another.
    #[derive(Debug)]
    struct Replaced(watch::Receiver<Arc<Credentials>>);

    impl ProvideCredentials for Replaced {
        fn provide(&self) -> Provided<'_> {
            Provided::now(Ok(Arc::clone(&self.0.borrow())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn oci_is_asked_about_a_credential_that_takes_the_place_of_a_good_one() {
        let http = Arc::new(Refusing(AtomicU32::new(0)));
        let (replace, current) = watch::channel(Arc::new(credential(TENANCY)));
        let (mut state, _client) = followed_with(Arc::new(Replaced(current)), Arc::clone(&http) as _).await;
        state.wait_for(|state| *state == State::Ready).await.unwrap();
        http.0.store(u32::MAX, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*state.borrow(), State::Ready, "nothing was asked: OCI knows this one");
        replace.send_replace(Arc::new(credential(TENANCY)));
        let refused = state.wait_for(|state| *state != State::Ready);
        assert_eq!(
            *tokio::time::timeout(Duration::from_secs(3), refused).await.unwrap().unwrap(),
            State::Refused
        );
    }
}
