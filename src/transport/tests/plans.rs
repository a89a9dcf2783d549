//! Several calls on one `Retry`, and whatever may befall them: what happened is played again, event by event, to a
//! model that says what the loop may never do.
//! Time stands still until everybody waits for it.

use crate::telemetry::Recorder;
use crate::transport::breaker;
use crate::transport::breaker::Health;
use crate::transport::budget;
use crate::transport::budget::Pledge;
use crate::transport::retry::Class;
use crate::transport::retry::Config;
use crate::transport::retry::Exchange;
use crate::transport::retry::Failed;
use crate::transport::retry::Repetition;
use crate::transport::retry::Retry;
use crate::transport::retry::Stop;
use proptest::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

const CLASSES: [Class; 7] = [
    Class::Permanent,
    Class::Corrected,
    Class::NotSent,
    Class::Ambiguous,
    Class::Throttled,
    Class::Overloaded,
    Class::State,
];

type Verdict = Result<(), TestCaseError>;

/// A call, and what is to befall it.
#[derive(Debug, Clone)]
struct Call {
    /// When it comes. The times after it count from then.
    comes: Duration,
    deadline: Duration,
    /// When nobody waits for it any more.
    left_alone: Duration,
    repetition: Repetition,
    /// How long attempts take, and how they fail; what is beyond them succeeds.
    attempts: Vec<(Duration, Failed)>,
}

#[derive(Debug)]
enum What {
    Began,
    /// There is no time, or nobody waits.
    MayNotBegin,
    Failed(Failed),
    Succeeded,
    Paused(Duration),
    /// Whether anybody waits for what comes after it.
    PauseOver(bool),
    Ended(Result<(), Stop<Failed>>),
}

/// What befell which call, and when since the plan began.
#[derive(Debug)]
struct Event {
    at: Duration,
    call: usize,
    what: What,
}

struct Log {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

/// A call as the loop sees it.
struct Played {
    number: usize,
    call: Call,
    rest: Mutex<std::vec::IntoIter<(Duration, Failed)>>,
    log: Arc<Log>,
}

impl Played {
    fn new(number: usize, call: Call, log: Arc<Log>) -> Self {
        let rest = Mutex::new(call.attempts.clone().into_iter());
        Self { number, call, rest, log }
    }

    fn note(&self, what: What) {
        let event = Event { at: self.log.began.elapsed(), call: self.number, what };
        self.log.events.lock().unwrap().push(event);
    }

    fn age(&self) -> Duration {
        self.log.began.elapsed() - self.call.comes
    }

    async fn run(self, retry: Arc<Retry>) {
        tokio::time::sleep_until(self.log.began + self.call.comes).await;
        let ended = retry.run(&self).await;
        self.note(What::Ended(ended));
    }
}

impl Exchange for Played {
    type Answer = ();
    type Failure = Failed;

    fn repetition(&self) -> Repetition {
        self.call.repetition
    }

    fn left(&self) -> Duration {
        self.call.deadline.saturating_sub(self.age())
    }

    fn begin(&self) -> bool {
        let may = self.age() <= self.call.deadline && self.age() < self.call.left_alone;
        self.note(if may { What::Began } else { What::MayNotBegin });
        may
    }

    async fn attempt(&self) -> Result<(), Failed> {
        let next = self.rest.lock().unwrap().next();
        let Some((took, failed)) = next else {
            self.note(What::Succeeded);
            return Ok(());
        };
        tokio::time::sleep(took).await;
        self.note(What::Failed(failed));
        Err(failed)
    }

    fn failed(&self, failure: &Failed) -> Failed {
        *failure
    }

    async fn pause(&self, pause: Duration) -> bool {
        self.note(What::Paused(pause));
        let waited_for = self.call.left_alone.saturating_sub(self.age());
        tokio::time::sleep(pause.min(waited_for)).await;
        self.note(What::PauseOver(pause < waited_for));
        pause < waited_for
    }
}

/// What one call has behind it.
#[derive(Default)]
struct Behind {
    attempts: u32,
    of_states: u32,
    corrections: u32,
    /// Retries but those after a correction: pauses grow with them.
    retries: u32,
    last: Option<Failed>,
    /// What was taken from the budget for the next attempt, and for the last one that cost something.
    pledged: u32,
    paid: u32,
    /// The pause after the last failure.
    paused: Option<Duration>,
    may_not_begin: bool,
    /// How often the door had been opened again when the last attempt began.
    reopened: u32,
    broken_off: bool,
    succeeded: bool,
}

/// The breaker, told by what everybody can see. Its window is longer than any plan.
enum Door {
    Open {
        attempts: u32,
        ill: u32,
    },
    ShutUntil(Duration),
    /// But for this call.
    Shut(usize),
}

struct Model<'a> {
    config: Config,
    calls: &'a [Call],
    behind: Vec<Behind>,
    budget: u32,
    door: Door,
    /// How often it has been opened again: what began before counts no more.
    reopened: u32,
}

fn price(class: Class) -> u32 {
    match class {
        Class::Permanent | Class::Corrected | Class::State => 0,
        Class::Ambiguous => 14,
        Class::NotSent | Class::Throttled | Class::Overloaded => 5,
    }
}

fn may_be_repeated(class: Class, repetition: Repetition) -> bool {
    match class {
        Class::Permanent => false,
        Class::Ambiguous | Class::Overloaded => repetition != Repetition::Another,
        Class::State => repetition != Repetition::Harmless,
        Class::Corrected | Class::NotSent | Class::Throttled => true,
    }
}

/// The gateway's own pause at most, after so many.
fn longest_pause(class: Class, retries: u32) -> Duration {
    let first = match class {
        Class::Permanent | Class::Corrected => 0,
        Class::NotSent | Class::Ambiguous => 100,
        Class::State => 500,
        Class::Throttled | Class::Overloaded => 1000,
    };
    Duration::from_millis((first << retries.min(10)).min(5000))
}

impl<'a> Model<'a> {
    fn new(config: Config, calls: &'a [Call]) -> Self {
        let behind = calls.iter().map(|_| Behind::default()).collect();
        let door = Door::Open { attempts: 0, ill: 0 };
        Self { config, calls, behind, budget: config.budget.capacity, door, reopened: 0 }
    }

    fn see(&mut self, event: &Event) -> Verdict {
        let Event { at, call, what } = event;
        match what {
            What::Began => self.began(*at, *call),
            What::MayNotBegin => {
                prop_assert!(!self.behind[*call].broken_off, "a pause that was broken off is the end");
                self.behind[*call].may_not_begin = true;
                self.give_back(*call);
                self.let_through(*at, *call)?;
                self.tried(*at, *call, Health::Unknown);
                Ok(())
            }
            What::Failed(failed) => {
                let behind = &mut self.behind[*call];
                behind.last = Some(*failed);
                behind.of_states += u32::from(failed.class == Class::State);
                behind.paused = None;
                self.tried(*at, *call, failed.health);
                Ok(())
            }
            What::Succeeded => {
                let paid = self.behind[*call].paid;
                self.behind[*call].succeeded = true;
                self.give(if paid == 0 { 1 } else { paid });
                self.tried(*at, *call, Health::Well);
                Ok(())
            }
            What::Paused(pause) => self.paused(*at, *call, *pause),
            What::PauseOver(goes_on) => {
                self.behind[*call].broken_off = !goes_on;
                if !goes_on {
                    self.give_back(*call);
                }
                Ok(())
            }
            What::Ended(ended) => self.ended(*at, *call, ended),
        }
    }

    fn began(&mut self, at: Duration, call: usize) -> Verdict {
        self.let_through(at, call)?;
        let repetition = self.calls[call].repetition;
        if let Some(last) = self.behind[call].last {
            prop_assert!(may_be_repeated(last.class, repetition), "{last:?} is repeated: {repetition:?}");
            if self.behind[call].paused.is_none() {
                self.take(call, price(last.class))?;
            }
            let behind = &mut self.behind[call];
            behind.corrections += u32::from(last.class == Class::Corrected);
            behind.retries += u32::from(last.class != Class::Corrected);
            prop_assert!(behind.corrections <= 1, "one correction");
            let wish = last.retry_after.filter(|_| last.class != Class::Corrected).unwrap_or_default();
            let paused = behind.paused.unwrap_or_default();
            prop_assert!(paused >= wish.min(self.config.longest_pause), "{paused:?} for {wish:?}");
            behind.paid = if behind.pledged == 0 { behind.paid } else { behind.pledged };
            behind.pledged = 0;
        }
        let behind = &mut self.behind[call];
        behind.attempts += 1;
        prop_assert!(behind.attempts - behind.of_states <= 5, "five attempts, corrections among them");
        prop_assert!(!behind.broken_off, "a pause that was broken off is the end");
        Ok(())
    }

    fn paused(&mut self, at: Duration, call: usize, pause: Duration) -> Verdict {
        let (last, retries) = (self.behind[call].last.unwrap(), self.behind[call].retries);
        self.take(call, price(last.class))?;
        self.behind[call].paused = Some(pause);
        prop_assert!(pause <= self.left(at, call), "{pause:?} goes beyond the deadline");
        let longest = longest_pause(last.class, retries);
        let wish = last.retry_after.unwrap_or_default().min(longest + self.config.longest_pause);
        prop_assert!(pause <= longest.max(wish), "{pause:?} is too long");
        Ok(())
    }

    fn ended(&mut self, at: Duration, call: usize, ended: &Result<(), Stop<Failed>>) -> Verdict {
        self.give_back(call);
        let (shut, behind) = (self.shut(at), &self.behind[call]);
        match ended {
            Ok(()) => prop_assert!(behind.succeeded, "success is not made up"),
            Err(Stop::Open(open)) => {
                prop_assert_eq!(Some(open.left), shut);
                prop_assert!(behind.attempts == 0, "a failure is the better answer");
            }
            Err(Stop::NeverBegan) => prop_assert!(behind.may_not_begin && behind.attempts == 0),
            Err(Stop::Interrupted(last)) => {
                prop_assert!(behind.broken_off);
                prop_assert_eq!(Some(*last), behind.last, "the last word counts");
            }
            Err(Stop::Failed(last)) => {
                prop_assert!(!behind.broken_off, "who waits for nothing more is told so");
                prop_assert_eq!(Some(*last), behind.last, "the last word counts");
                let may_go_on = may_be_repeated(last.class, self.calls[call].repetition)
                    && (last.class == Class::State || behind.attempts - behind.of_states < 5)
                    && (last.class != Class::Corrected || behind.corrections == 0);
                let left = self.left(at, call);
                let has_time = last.retry_after.is_none_or(|asked| asked <= left)
                    && longest_pause(last.class, behind.retries) + self.config.longest_pause <= left;
                let given_up = may_go_on && has_time && self.budget >= price(last.class);
                let stopped = behind.may_not_begin || shut.is_some();
                prop_assert!(!given_up || stopped, "it gives up without a reason");
                prop_assert!(behind.paused.is_none() || stopped, "a pause for nothing");
            }
        }
        Ok(())
    }

    fn left(&self, at: Duration, call: usize) -> Duration {
        (self.calls[call].comes + self.calls[call].deadline).saturating_sub(at)
    }

    fn take(&mut self, call: usize, price: u32) -> Verdict {
        prop_assert!(self.budget >= price, "a retry that nobody pays for");
        self.budget -= price;
        self.behind[call].pledged = price;
        Ok(())
    }

    fn give_back(&mut self, call: usize) {
        let pledged = std::mem::take(&mut self.behind[call].pledged);
        self.give(pledged);
    }

    fn give(&mut self, earned: u32) {
        self.budget = (self.budget + earned).min(self.config.budget.capacity);
    }

    /// For how long nobody gets through.
    fn shut(&self, at: Duration) -> Option<Duration> {
        match self.door {
            Door::Open { .. } => None,
            Door::ShutUntil(until) => until.checked_sub(at).filter(|left| !left.is_zero()),
            Door::Shut(_) => Some(Duration::from_secs(1)),
        }
    }

    fn let_through(&mut self, at: Duration, call: usize) -> Verdict {
        prop_assert!(self.shut(at).is_none(), "the breaker is open");
        if let Door::ShutUntil(_) = self.door {
            self.door = Door::Shut(call);
        }
        self.behind[call].reopened = self.reopened;
        Ok(())
    }

    fn tried(&mut self, at: Duration, call: usize, health: Health) {
        let breaker = &self.config.breaker;
        match (&mut self.door, health) {
            (Door::Open { attempts, ill }, Health::Well | Health::Ill)
                if self.behind[call].reopened == self.reopened =>
            {
                *attempts += 1;
                *ill += u32::from(health == Health::Ill);
                let share = f64::from(*ill) >= breaker.failures * f64::from(*attempts);
                if *attempts >= breaker.attempts && share {
                    self.door = Door::ShutUntil(at + breaker.open);
                }
            }
            (Door::Shut(probe), _) if *probe == call => {
                self.door = match health {
                    Health::Well => {
                        self.reopened += 1;
                        Door::Open { attempts: 0, ill: 0 }
                    }
                    Health::Ill => Door::ShutUntil(at + breaker.open),
                    Health::Unknown => Door::ShutUntil(at),
                };
            }
            _ => {}
        }
    }
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn failures() -> impl Strategy<Value = (Duration, Failed)> {
    let health =
        prop::sample::select(&[Health::Ill, Health::Ill, Health::Ill, Health::Well, Health::Unknown]);
    let took = prop_oneof![millis(0..20), millis(0..12_000)];
    let asked = prop::option::weighted(0.3, millis(0..20_000));
    (took, prop::sample::select(&CLASSES), asked, health)
        .prop_map(|(took, class, retry_after, health)| (took, Failed { class, retry_after, health }))
}

fn calls() -> impl Strategy<Value = Call> {
    const REPETITIONS: [Repetition; 4] =
        [Repetition::Harmless, Repetition::SameEnd, Repetition::Guarded, Repetition::Another];
    let comes = prop_oneof![Just(Duration::ZERO), millis(0..60_000)];
    let left_alone = prop_oneof![3 => Just(HOUR), 1 => millis(0..20_000)];
    let attempts = prop::collection::vec(failures(), 0..9);
    (comes, millis(0..30_000), left_alone, prop::sample::select(&REPETITIONS), attempts).prop_map(
        |(comes, deadline, left_alone, repetition, attempts)| Call {
            comes,
            deadline,
            left_alone,
            repetition,
            attempts,
        },
    )
}

/// Budgets and breakers from such as soon get in the way to such as never do.
fn configs() -> impl Strategy<Value = Config> {
    let capacity = prop_oneof![2 => 0_u32..60, 1 => Just(1000)];
    let attempts = prop_oneof![1 => 1_u32..10, 1 => Just(20), 1 => Just(u32::MAX)];
    let breaker = (attempts, prop::sample::select(&[0.5, 0.8]), millis(1..30_000));
    (capacity, breaker).prop_map(|(capacity, (attempts, failures, open))| Config {
        budget: budget::Config { capacity, ..budget::Config::default() },
        breaker: breaker::Config { attempts, failures, window: HOUR, open },
        ..Config::default()
    })
}

/// Plays a plan; what happened, in order, and what is left of the budget.
async fn play(config: Config, calls: &[Call]) -> (Vec<Event>, u32) {
    let log = Arc::new(Log { began: Instant::now(), events: Mutex::default() });
    let retry = Arc::new(Retry::new(config, Recorder::nowhere()));
    let mut playing = JoinSet::new();
    for (number, call) in calls.iter().enumerate() {
        let played = Played::new(number, call.clone(), Arc::clone(&log));
        playing.spawn(played.run(Arc::clone(&retry)));
    }
    playing.join_all().await;
    let coins = (0..16).rev().map(|bit| 1 << bit);
    let left = coins.filter(|coin| retry.budget.pledge(*coin).map(Pledge::spend).is_some()).sum();
    (std::mem::take(&mut *log.events.lock().unwrap()), left)
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    );
}

/// `PROPTEST_CASES` for more of them; proptest prints the plan that failed, and `PROPTEST_RNG_SEED` replays
/// the run.
fn plans() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig { cases: given.cases.max(2000), failure_persistence: None, ..given }
}

proptest! {
    #![proptest_config(plans())]

    #[test]
    fn no_plan_of_faults_makes_the_loop_break_its_rules(
        config in configs(),
        calls in prop::collection::vec(calls(), 1..9),
    ) {
        let (events, left) = RUNTIME.with_borrow(|runtime| runtime.block_on(play(config, &calls)));
        let mut model = Model::new(config, &calls);
        for event in &events {
            model.see(event).map_err(|error| TestCaseError::fail(format!("{event:?}: {error}")))?;
        }
        prop_assert_eq!(left, model.budget, "what is left of the budget");
    }
}
