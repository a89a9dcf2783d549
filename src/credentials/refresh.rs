//! One credential, kept fresh. Whoever asks is answered from memory; one task fetches, and nobody else does, so
//! that a thousand who ask together make one request, and a caller who leaves takes nothing with him.

use super::Condition;
use super::Credentials;
use super::Error;
use super::ProvideCredentials;
use super::Provided;
use crate::clock::Clock;
use crate::transport::BoxFuture;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// What one fetch may take. A source that hangs and comes back is asked again no later than this.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause after a first failure, from beginning to beginning; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The least pause from an end to the next beginning.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// A token is not used without a try to replace it when less than this is left, or a fifth of its life.
const DUE: Duration = Duration::from_secs(5 * 60);
/// How long a caller waits for that try, as long as the old token is good.
const PATIENCE: Duration = Duration::from_secs(1);
/// An issuer that gives the same token again is asked no more often than this.
const SOONEST: Duration = Duration::from_secs(1);
/// How soon another refusal by OCI may make the source be asked again.
const FORCE_AGAIN: Duration = Duration::from_secs(5);

/// Where a credential comes from.
pub trait FetchCredentials: fmt::Debug + Send + Sync + 'static {
    /// Asks for one. Keys and certificates that it is asked with are read anew each time.
    fn fetch(&self) -> impl Future<Output = Result<Credentials, Error>> + Send;

    /// Ends when what the last one was made of is no longer as it was. What never shows a change never ends.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Keeps one credential fresh for as long as it is there.
pub struct Refreshing {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

struct Shared {
    clock: Clock,
    state: watch::Sender<State>,
    wanted: watch::Sender<Wanted>,
}

#[derive(Default)]
struct State {
    /// Fetches that have ended.
    ended: u64,
    /// Those that failed.
    failures: u64,
    held: Option<Held>,
    /// What the last fetch failed with: the next one is already due.
    trouble: Option<Error>,
}

#[derive(Clone)]
struct Held {
    credentials: Arc<Credentials>,
    /// From here on it is not used without a try to replace it.
    due: Option<SystemTime>,
}

/// What callers want: that more than `past` fetches have ended.
#[derive(Default)]
struct Wanted {
    past: u64,
    forced: Option<Instant>,
    /// The number of the fetch that OCI's last refusal asked for.
    refused: Option<u64>,
}

/// What a look at the state tells.
enum Look {
    Answer(Result<Arc<Credentials>, Error>),
    /// A fetch has to end first.
    Wait {
        ended: u64,
        meanwhile: Option<Arc<Credentials>>,
    },
}

impl Refreshing {
    /// Begins to fetch at once.
    pub fn start<S: FetchCredentials>(source: S, clock: Clock) -> Self {
        let (state, wanted) = (watch::Sender::default(), watch::Sender::default());
        let shared = Arc::new(Shared { clock, state, wanted });
        let keeper = tokio::spawn(keep(Arc::new(source), Arc::clone(&shared)));
        Self { shared, _keeper: AbortOnDropHandle::new(keeper) }
    }
}

impl ProvideCredentials for Refreshing {
    fn provide(&self) -> Provided<'_> {
        match self.shared.look() {
            Look::Answer(answer) => Provided::now(answer),
            Look::Wait { ended, meanwhile } => Provided::later(self.shared.wait(ended, meanwhile)),
        }
    }

    fn renew<'a>(&'a self, refused: &'a Arc<Credentials>) -> BoxFuture<'a, Option<Arc<Credentials>>> {
        Box::pin(self.shared.renew(refused))
    }

    fn condition(&self) -> Condition {
        let state = self.shared.state.borrow();
        let expires = state.held.as_ref().and_then(|held| held.credentials.expires());
        Condition { expires, failures: state.failures }
    }
}

impl fmt::Debug for Refreshing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshing").field("condition", &self.condition()).finish_non_exhaustive()
    }
}

impl Shared {
    fn look(&self) -> Look {
        let state = self.state.borrow();
        match (&state.held, &state.trouble) {
            (Some(held), _) if held.is_fresh(&self.clock) => Look::Answer(Ok(Arc::clone(&held.credentials))),
            // It is known to be down and asked again and again: nobody need wait for that.
            (Some(held), Some(_)) if held.is_good(&self.clock) => {
                Look::Answer(Ok(Arc::clone(&held.credentials)))
            }
            (_, Some(trouble)) => Look::Answer(Err(trouble.clone())),
            (held, None) => {
                let good = held.as_ref().filter(|held| held.is_good(&self.clock));
                let meanwhile = good.map(|held| Arc::clone(&held.credentials));
                Look::Wait { ended: state.ended, meanwhile }
            }
        }
    }

    async fn wait(&self, ended: u64, meanwhile: Option<Arc<Credentials>>) -> Result<Arc<Credentials>, Error> {
        self.want(ended);
        let patience = if meanwhile.is_some() { PATIENCE } else { FETCH_TIMEOUT + LONGEST_PAUSE };
        let in_time = tokio::time::timeout(patience, self.past(ended)).await;
        match (in_time, meanwhile, self.look()) {
            (Ok(()), _, Look::Answer(answer)) => answer,
            (_, Some(old), _) => Ok(old),
            (Ok(()), None, Look::Wait { meanwhile: Some(new), .. }) => Ok(new),
            (Ok(()), None, Look::Wait { meanwhile: None, .. }) => {
                Err(unexpected("it was expired when it came"))
            }
            (Err(_elapsed), None, _) => Err(unexpected("nobody fetches it any more")),
        }
    }

    async fn renew(&self, refused: &Arc<Credentials>) -> Option<Arc<Credentials>> {
        let ended = match &*self.state.borrow() {
            State { held: Some(held), .. } if !Arc::ptr_eq(&held.credentials, refused) => {
                return Some(Arc::clone(&held.credentials));
            }
            // It is asked already, and has nothing.
            State { trouble: Some(_), .. } => return None,
            State { ended, .. } => *ended,
        };
        if !self.force(ended) {
            return None;
        }
        // A fetch ends in its time, or its keeper is gone with the process.
        tokio::time::timeout(FETCH_TIMEOUT + LONGEST_PAUSE, self.past(ended)).await.ok()?;
        let state = self.state.borrow();
        let held = state.held.as_ref().filter(|held| !Arc::ptr_eq(&held.credentials, refused));
        held.map(|held| Arc::clone(&held.credentials))
    }

    /// Asks for a fetch after the first `ended`, unless somebody has.
    fn want(&self, ended: u64) {
        self.wanted.send_if_modified(|wanted| {
            let changes = wanted.past <= ended;
            wanted.past = wanted.past.max(ended.saturating_add(1));
            changes
        });
    }

    /// The same because of a refusal. An OCI that refuses whatever it is shown does not make the source be asked
    /// without end.
    fn force(&self, ended: u64) -> bool {
        let now = Instant::now();
        let mut granted = true;
        self.wanted.send_if_modified(|wanted| {
            if wanted.past > ended {
                return false;
            }
            granted = wanted.forced.is_none_or(|forced| now.duration_since(forced) >= FORCE_AGAIN);
            if granted {
                let next = ended.saturating_add(1);
                *wanted = Wanted { past: next, forced: Some(now), refused: Some(next) };
            }
            granted
        });
        granted
    }

    /// Waits until more than `ended` fetches have ended.
    async fn past(&self, ended: u64) {
        // The sender lives as long as this does.
        let _ = self.state.subscribe().wait_for(|state| state.ended > ended).await;
    }

    /// Takes note of how a fetch ended. Answers how many have.
    fn note(&self, fetched: Result<Held, Error>) -> u64 {
        self.tell(fetched.as_ref());
        let mut ended = 0;
        self.state.send_modify(|state| {
            state.ended = state.ended.saturating_add(1);
            ended = state.ended;
            match fetched {
                Ok(held) => (state.held, state.trouble) = (Some(held), None),
                Err(error) => {
                    state.failures = state.failures.saturating_add(1);
                    state.trouble = Some(error);
                }
            }
        });
        ended
    }

    /// Says in the log what changes by that: nobody else writes the state, and nobody waits for the log.
    fn tell(&self, fetched: Result<&Held, &Error>) {
        let (trouble, held, number) = {
            let state = self.state.borrow();
            (state.trouble.as_ref().map(Error::line), state.held.clone(), state.ended.saturating_add(1))
        };
        let held = held.as_ref();
        match (trouble, fetched) {
            (Some(_), Ok(_)) => tracing::info!("the credential can be refreshed again"),
            (None, Ok(new)) => {
                let replaced = held.is_some_and(|held| !Arc::ptr_eq(&held.credentials, &new.credentials));
                // Once, however many calls were refused together.
                if replaced && self.wanted.borrow().refused == Some(number) {
                    tracing::warn!("OCI refused the credential: signing with another");
                }
            }
            // What is tried every few seconds is said once, and a wrong setting by whoever starts with it.
            (Some(said), Err(error)) if said == error.line() => {}
            (None, Err(error)) if number == 1 && error.is_setting() => {}
            (_, Err(error)) => {
                let kept = held.is_some_and(|held| held.is_good(&self.clock));
                tracing::warn!(kept, "the credential could not be refreshed: {}", error.line());
            }
        }
    }

    /// What was fetched, in the place of what is held.
    fn accept(&self, fetched: Credentials) -> Result<Held, Error> {
        let now = self.clock.now();
        if fetched.expires().is_some_and(|expires| expires <= now) {
            return Err(unexpected("it was expired when it came; is this machine's clock right?"));
        }
        let state = self.state.borrow();
        let before = state.held.as_ref().map(|held| &held.credentials);
        if let Some(before) = before
            && let (Some(was), Some(is)) = (&before.owner().tenancy, &fetched.owner().tenancy)
            && was != is
        {
            let line = format!(
                "the credential is now of the tenancy {is}, before it was of {was}; restart the gateway if that is right"
            );
            return Err(Error::InvalidConfiguration(Arc::new(std::io::Error::other(line))));
        }
        // Whoever compares finds the same one, if it is the same.
        let same = before.filter(|before| before.is_same(&fetched));
        let credentials = same.map_or_else(|| Arc::new(fetched), Arc::clone);
        Ok(Held::new(credentials, now))
    }
}

impl Held {
    fn new(credentials: Arc<Credentials>, now: SystemTime) -> Self {
        let due =
            credentials.expires().and_then(|expires| expires.checked_sub(DUE.min(left(expires, now) / 5)));
        Self { credentials, due }
    }

    fn is_fresh(&self, clock: &Clock) -> bool {
        self.due.is_none_or(|due| clock.now() < due)
    }

    fn is_good(&self, clock: &Clock) -> bool {
        self.credentials.expires().is_none_or(|expires| clock.now() < expires)
    }

    /// How long it is left alone: half of its life, and a little more or less, so that a fleet which started
    /// together does not ask together.
    fn rest(&self, clock: &Clock) -> Option<Duration> {
        let left = left(self.credentials.expires()?, clock.now());
        Some(left.mul_f64(rand::random_range(0.5..0.6)).max(SOONEST))
    }
}

fn left(expires: SystemTime, now: SystemTime) -> Duration {
    expires.duration_since(now).unwrap_or_default()
}

fn unexpected(line: &'static str) -> Error {
    Error::Unexpected(Arc::new(std::io::Error::other(line)))
}

/// Fetches, rests, and fetches again.
async fn keep<S: FetchCredentials>(source: Arc<S>, shared: Arc<Shared>) {
    let mut wanted = shared.wanted.subscribe();
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match fetch(&source).await.and_then(|fetched| shared.accept(fetched)) {
            Ok(held) => {
                pause = FIRST_PAUSE;
                let rest = held.rest(&shared.clock);
                let ended = shared.note(Ok(held));
                tokio::select! {
                    () = rested(rest) => {}
                    _ = wanted.wait_for(|wanted| wanted.past > ended) => {}
                    () = source.changed() => {}
                }
            }
            Err(error) => {
                shared.note(Err(error));
                let soonest = Instant::now() + SHORTEST_PAUSE;
                // Shorter by chance, and never longer: replicas that lost one source together do not come back together.
                let shortened = pause.mul_f64(rand::random_range(0.5..1.0));
                tokio::time::sleep_until(soonest.max(began + shortened)).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

async fn rested(rest: Option<Duration>) {
    match rest {
        Some(rest) => tokio::time::sleep(rest).await,
        None => std::future::pending().await,
    }
}

/// One fetch within its time, as a task of its own: not even one that panics leaves callers waiting.
async fn fetch<S: FetchCredentials>(source: &Arc<S>) -> Result<Credentials, Error> {
    let source = Arc::clone(source);
    let task = AbortOnDropHandle::new(tokio::spawn(async move { source.fetch().await }));
    match tokio::time::timeout(FETCH_TIMEOUT, task).await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(_panicked)) => Err(unexpected("fetching it failed by a fault of this program")),
        Err(_elapsed) => {
            let line = format!("the source gave no credential within {} s", FETCH_TIMEOUT.as_secs());
            Err(Error::Unavailable(Arc::new(std::io::Error::other(line))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Owner;
    use crate::ocid::Ocid;
    use crate::signature::PrivateKey;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    use std::time::UNIX_EPOCH;
    use tokio::sync::Notify;

    const HOUR: u64 = 3600;

    /// What a source does when it is asked; the last of a script is done again and again.
    #[derive(Debug, Clone, Copy)]
    enum Act {
        /// Gives a token of this many seconds, under a new name.
        Give(u64),
        /// Gives one under this name, of this tenancy.
        Same(&'static str, &'static str),
        /// Gives a new one of an hour after this many seconds.
        Late(u64),
        /// Gives one under this name with a key of its own.
        Rekeyed(&'static str),
        /// Gives one and the same until its hour is over.
        Cached,
        Fail,
        Hang,
        Panic,
    }

    #[derive(Debug)]
    struct Scripted {
        script: Mutex<VecDeque<Act>>,
        asked: Arc<AtomicU64>,
        clock: Clock,
        change: Arc<Notify>,
    }

    impl FetchCredentials for Scripted {
        async fn fetch(&self) -> Result<Credentials, Error> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            let act = {
                let mut script = self.script.lock().unwrap();
                if script.len() > 1 { script.pop_front().unwrap() } else { script[0] }
            };
            let token = |name: String, seconds: u64| {
                let expires = self.clock.now() + Duration::from_secs(seconds);
                Credentials::new(name, key(), Some(expires))
            };
            match act {
                Act::Give(seconds) => Ok(token(format!("ST${number}"), seconds)),
                Act::Same(name, tenancy) => Ok(token(name.to_owned(), HOUR).of(Owner {
                    tenancy: Some(Ocid::parse(&format!("ocid1.tenancy.oc1..{tenancy}")).unwrap()),
                    subject: None,
                })),
                Act::Late(seconds) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    Ok(token(format!("ST${number}"), HOUR))
                }
                Act::Rekeyed(name) => {
                    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
                    Ok(Credentials::new(name.to_owned(), PrivateKey::from_pair(pair).unwrap(), None))
                }
                Act::Cached => {
                    let second = self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                    Ok(token(format!("ST${}", second / HOUR), HOUR - second % HOUR))
                }
                Act::Fail => Err(Error::Unavailable(Arc::new(std::io::Error::other("it is down")))),
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("on purpose"),
            }
        }

        async fn changed(&self) {
            self.change.notified().await;
        }
    }

    /// A key is slow to make, and one will do.
    fn key() -> PrivateKey {
        static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let der = DER.get_or_init(|| {
            let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&key).unwrap();
            der.as_ref().to_vec()
        });
        PrivateKey::from_pkcs8(der).unwrap()
    }

    struct Rig {
        provider: Arc<Refreshing>,
        asked: Arc<AtomicU64>,
        change: Arc<Notify>,
    }

    fn rig(script: &[Act]) -> Rig {
        let _ = key();
        let began = Instant::now();
        let clock = Clock::with_source(Arc::new(move || {
            UNIX_EPOCH + Duration::from_secs(1_900_000_000) + began.elapsed()
        }));
        let (asked, change) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let source = Scripted {
            script: Mutex::new(script.iter().copied().collect()),
            asked: Arc::clone(&asked),
            clock: clock.clone(),
            change: Arc::clone(&change),
        };
        Rig { provider: Arc::new(Refreshing::start(source, clock)), asked, change }
    }

    impl Rig {
        async fn name(&self) -> Result<String, String> {
            let provided = self.provider.provide().await;
            provided.map(|it| it.identity().key_id.to_owned()).map_err(|error| error.line())
        }

        fn asked(&self) -> u64 {
            self.asked.load(Ordering::Relaxed)
        }

        /// Whether the answer is there without waiting, and what it is.
        async fn at_once(&self) -> Result<String, String> {
            let began = Instant::now();
            let name = self.name().await;
            assert_eq!(began.elapsed(), Duration::ZERO, "somebody waited");
            name
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_ask_together_make_one_request_and_all_hear_of_its_end() {
        for (act, expected) in
            [(Act::Late(2), Ok("ST$1".to_owned())), (Act::Fail, Err("it is down".to_owned()))]
        {
            let rig = Arc::new(rig(&[act]));
            let callers: Vec<_> = (0..1000)
                .map(|_| {
                    let rig = Arc::clone(&rig);
                    tokio::spawn(async move { rig.name().await })
                })
                .collect();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), expected);
            }
            assert_eq!(rig.asked(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_cancels_nothing() {
        let rig = rig(&[Act::Late(2)]);
        assert!(tokio::time::timeout(Duration::from_secs(1), rig.name()).await.is_err());
        let began = Instant::now();
        assert_eq!(rig.name().await.unwrap(), "ST$1");
        assert_eq!((began.elapsed().as_secs(), rig.asked()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_replaced_in_the_background_from_half_of_its_life() {
        let rig = rig(&[Act::Give(HOUR)]);
        assert_eq!(rig.name().await.unwrap(), "ST$1");
        pass(HOUR / 2 - 1).await;
        assert_eq!((rig.at_once().await.unwrap().as_str(), rig.asked()), ("ST$1", 1));
        pass(HOUR / 10 + 1).await;
        assert_eq!((rig.at_once().await.unwrap().as_str(), rig.asked()), ("ST$2", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_down_or_hangs_holds_up_nobody_while_the_token_lives() {
        for trouble in [Act::Fail, Act::Hang] {
            let rig = rig(&[Act::Give(HOUR), trouble]);
            assert_eq!(rig.name().await.unwrap(), "ST$1");
            for _second in 1..HOUR {
                pass(1).await;
                assert_eq!(rig.at_once().await.unwrap(), "ST$1");
            }
            pass(1).await;
            assert!(rig.at_once().await.is_err(), "it has expired");
            assert!(rig.provider.condition().failures > 100);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_comes_back_is_used_within_fifteen_seconds() {
        for trouble in [Act::Fail, Act::Hang] {
            for tries in 1..12 {
                let mut script = vec![trouble; tries];
                script.push(Act::Give(HOUR));
                let rig = rig(&script);
                while rig.asked() < u64::try_from(tries).unwrap() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let back = Instant::now();
                while rig.name().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                assert!(
                    back.elapsed() < Duration::from_secs(15),
                    "{trouble:?} {tries}: {:?}",
                    back.elapsed()
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_that_lost_one_source_together_ask_it_at_times_of_their_own() {
        let mut times: Vec<Vec<Duration>> = Vec::new();
        for _replica in 0..8 {
            let (rig, began) = (rig(&[Act::Fail]), Instant::now());
            let mut asked = Vec::new();
            while asked.len() < 8 {
                while rig.asked() <= u64::try_from(asked.len()).unwrap() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                asked.push(began.elapsed());
            }
            times.push(asked);
        }
        for asked in 1..8 {
            let mut at: Vec<_> = times.iter().map(|times| times[asked]).collect();
            at.sort();
            at.dedup();
            assert!(at.len() > 4, "the retry {asked} of eight replicas: {at:?}");
        }
        for replica in &times {
            let pauses = replica.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(pauses.into_iter().all(|pause| pause <= LONGEST_PAUSE + FIRST_PAUSE), "{replica:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_one_fetch_for_a_source_that_hangs_or_breaks() {
        for (act, expected) in [
            (Act::Hang, "the source gave no credential within 10 s"),
            (Act::Panic, "fetching it failed by a fault of this program"),
        ] {
            let rig = rig(&[act]);
            let began = Instant::now();
            assert_eq!(rig.name().await.unwrap_err(), expected);
            assert!(began.elapsed() <= FETCH_TIMEOUT);
            assert_eq!(rig.at_once().await.unwrap_err(), expected, "who comes later hears it at once");
        }
    }

    /// A machine that slept through the token's second half.
    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_due_is_replaced_before_use_and_used_if_that_takes_long() {
        for (act, name, waited) in
            [(Act::Give(HOUR), "ST$2", 0), (Act::Fail, "ST$1", 0), (Act::Hang, "ST$1", 1)]
        {
            let rig = rig(&[Act::Give(HOUR), act]);
            rig.name().await.unwrap();
            rig.provider.shared.state.send_modify(|state| {
                let held = state.held.as_mut().unwrap();
                held.due = Some(UNIX_EPOCH);
            });
            let began = Instant::now();
            assert_eq!(rig.name().await.unwrap(), name, "{act:?}");
            assert_eq!(began.elapsed().as_secs(), waited, "{act:?}");
        }
    }

    #[test]
    fn the_last_five_minutes_or_the_last_fifth_are_due() {
        let now = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        for (life, left_when_due) in [(HOUR, 300), (24 * HOUR, 300), (1500, 300), (1200, 240), (60, 12)] {
            let expires = now + Duration::from_secs(life);
            let held = Held::new(Arc::new(Credentials::new(String::new(), key(), Some(expires))), now);
            assert_eq!(held.due, Some(expires - Duration::from_secs(left_when_due)), "{life}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_makes_the_source_be_asked_once_for_all_who_were_refused() {
        let rig = rig(&[Act::Give(HOUR), Act::Late(1)]);
        let refused = rig.provider.provide().await.unwrap();
        let renewals: Vec<_> = (0..100)
            .map(|_| {
                let (provider, refused) = (Arc::clone(&rig.provider), Arc::clone(&refused));
                tokio::spawn(async move { provider.renew(&refused).await })
            })
            .collect();
        for renewal in renewals {
            assert_eq!(renewal.await.unwrap().unwrap().identity().key_id, "ST$2");
        }
        assert_eq!(rig.asked(), 2);
        let late = rig.provider.renew(&refused).await.unwrap();
        assert_eq!((late.identity().key_id, rig.asked()), ("ST$2", 2), "that one is replaced already");
        assert!(rig.provider.renew(&late).await.is_none(), "not again so soon");
        pass(5).await;
        assert_eq!(rig.provider.renew(&late).await.unwrap().identity().key_id, "ST$3");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_token_again_is_no_correction_and_a_source_that_is_down_neither() {
        for act in [Act::Same("ST$a", "a"), Act::Fail] {
            let rig = rig(&[Act::Same("ST$a", "a"), act]);
            let refused = rig.provider.provide().await.unwrap();
            for _ in 0..2 {
                assert!(rig.provider.renew(&refused).await.is_none(), "{act:?}");
            }
            assert_eq!(rig.at_once().await.unwrap(), "ST$a");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_under_the_same_name_is_another_credential() {
        let rig = rig(&[Act::Rekeyed("ST$a")]);
        let wrong = rig.provider.provide().await.unwrap();
        let right = rig.provider.renew(&wrong).await.unwrap();
        assert_eq!(wrong.identity().key_id, right.identity().key_id);
        assert_ne!(wrong.identity().key.public_der(), right.identity().key.public_der());
    }

    #[tokio::test(start_paused = true)]
    async fn another_tenancy_is_an_error_and_the_old_credential_stays() {
        let rig = rig(&[Act::Same("ST$a", "a"), Act::Same("ST$b", "b")]);
        rig.name().await.unwrap();
        pass(HOUR * 6 / 10).await;
        assert_eq!(rig.at_once().await.unwrap(), "ST$a");
        pass(HOUR * 4 / 10).await;
        let line = rig.at_once().await.unwrap_err();
        assert!(
            line.starts_with("the credential is now of the tenancy ocid1.tenancy.oc1..b, before"),
            "{line}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_gives_the_same_token_again_is_not_asked_in_a_loop() {
        let rig = rig(&[Act::Cached]);
        for _second in 0..10 * HOUR {
            rig.name().await.unwrap();
            pass(1).await;
        }
        assert!(rig.asked() < 200, "{}", rig.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_fetched_at_once_and_a_broken_one_keeps_the_old() {
        let rig = rig(&[Act::Give(HOUR), Act::Fail, Act::Give(HOUR)]);
        rig.name().await.unwrap();
        rig.change.notify_one();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!((rig.at_once().await.unwrap().as_str(), rig.asked()), ("ST$1", 2));
        assert_eq!(rig.provider.condition().failures, 1);
        pass(1).await;
        assert_eq!(rig.at_once().await.unwrap(), "ST$3");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_shows_the_token_and_nothing_is_fetched_when_nobody_holds_the_provider() {
        let rig = rig(&[Act::Give(10)]);
        assert!(rig.name().await.unwrap().starts_with("ST$"));
        assert!(!format!("{:?}", rig.provider).contains("ST$"));
        let asked = rig.asked();
        drop(rig.provider);
        pass(HOUR).await;
        assert_eq!(rig.asked.load(Ordering::Relaxed), asked);
    }
}
