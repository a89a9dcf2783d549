//! THE loop: what failed decides whether, and when, another attempt starts.
//!
//! [`Config::decide`] is pure. [`Retry::run`] never sleeps by itself and never looks at a clock: whether an attempt may start is
//! asked, and so is a pause.

use super::breaker;
use super::breaker::Breaker;
use super::breaker::Health;
use super::budget;
use super::budget::Budget;
use super::budget::Pledge;
use crate::telemetry::Recorder;
use std::time::Duration;

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Another attempt would end the same way.
    Permanent,
    /// The cause was on our side and has been put right: one more attempt, at once.
    Corrected,
    /// The request never reached the server.
    NotSent,
    /// The server may have acted, or not.
    Ambiguous,
    /// The server says that it is asked too often.
    Throttled,
    /// The server says that it is too busy.
    Overloaded,
    /// What the request is about is not in the state for it, yet.
    State,
}

impl Class {
    /// Its name, for metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Corrected => "corrected",
            Self::NotSent => "not_sent",
            Self::Ambiguous => "ambiguous",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::State => "state",
        }
    }
}

/// What sending a request twice would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// It reads.
    Harmless,
    /// It deletes what it names, which is gone then.
    SameEnd,
    /// It carries a token that keeps the server from doing it twice.
    Guarded,
    /// It would happen twice.
    Another,
    /// It only asks, and whoever asks will ask again: nothing is to be spent on it.
    Pointless,
}

/// A failed attempt, as the loop sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// What it means for the next one.
    pub class: Class,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// What it says about the server.
    pub health: Health,
}

/// How often and how soon.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Attempts of one call at most; only those that met the wrong state do not count.
    pub attempts: u32,
    /// The first pause at most, for most failures.
    pub pause: Duration,
    /// The same where what the request is about is in the wrong state.
    pub pause_for_state: Duration,
    /// The same where the server has too much to do.
    pub pause_for_overload: Duration,
    /// No pause is longer, but by the server's own wish.
    pub longest_pause: Duration,
    /// What retries are paid from.
    pub budget: budget::Config,
    /// When no attempt is made at all.
    pub breaker: breaker::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_millis(100),
            pause_for_state: Duration::from_millis(500),
            pause_for_overload: Duration::from_secs(1),
            longest_pause: Duration::from_secs(5),
            budget: budget::Config::default(),
            breaker: breaker::Config::default(),
        }
    }
}

/// What a call has behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Failed attempts that count: all but those that met the wrong state.
    failures: u32,
    /// Corrections of a cause on our side.
    corrections: u32,
    /// Pauses.
    pauses: u32,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the failure.
    Answer,
    /// Make another attempt after this pause.
    After(Duration),
}

/// Whether a failure of this class may be repeated at all.
fn is_repeatable(class: Class, repetition: Repetition) -> bool {
    match (class, repetition) {
        (Class::Permanent, _) => false,
        (Class::Corrected, _) => true,
        (_, Repetition::Pointless) => false,
        (Class::NotSent | Class::Throttled, _) => true,
        (Class::Ambiguous | Class::Overloaded, repetition) => repetition != Repetition::Another,
        // What only reads needs no state.
        (Class::State, repetition) => repetition != Repetition::Harmless,
    }
}

impl Config {
    /// Decides. `left` is the time until the last moment at which an attempt may start, `jitter` a number from 0
    /// to 1 that is another each time.
    #[must_use]
    pub fn decide(
        &self,
        failed: Failed,
        repetition: Repetition,
        history: &History,
        left: Duration,
        jitter: f64,
    ) -> Decision {
        let used_up = match failed.class {
            Class::Corrected => history.corrections > 1 || history.failures >= self.attempts,
            Class::State => false,
            Class::Permanent | Class::NotSent | Class::Ambiguous | Class::Throttled | Class::Overloaded => {
                history.failures >= self.attempts
            }
        };
        if used_up || !is_repeatable(failed.class, repetition) {
            return Decision::Answer;
        }
        let pause = self.pause(failed, history.pauses, left, jitter);
        pause.filter(|pause| *pause <= left).map_or(Decision::Answer, Decision::After)
    }

    /// Full jitter over an exponential that starts with the class
    /// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), no shorter than the server asks for and
    /// at most [`Config::longest_pause`] longer. `None`: the server asks for more than is left.
    fn pause(&self, failed: Failed, pauses: u32, left: Duration, jitter: f64) -> Option<Duration> {
        let base = match failed.class {
            Class::Corrected | Class::Permanent => return Some(Duration::ZERO),
            Class::NotSent | Class::Ambiguous => self.pause,
            Class::State => self.pause_for_state,
            Class::Throttled | Class::Overloaded => self.pause_for_overload,
        };
        let longest = base.saturating_mul(2_u32.saturating_pow(pauses)).min(self.longest_pause);
        let own = longest.mul_f64(jitter.clamp(0.0, 1.0));
        match failed.retry_after {
            None => Some(own),
            Some(asked) if asked > left => None,
            Some(asked) => Some(asked.clamp(own, own + self.longest_pause)),
        }
    }
}

impl History {
    fn failed(&mut self, class: Class) {
        self.failures += u32::from(class != Class::State);
        self.corrections += u32::from(class == Class::Corrected);
    }

    fn paused(&mut self, class: Class) {
        self.pauses += u32::from(class != Class::Corrected);
    }
}

/// What all calls of a region share.
#[derive(Debug)]
pub struct Retry {
    config: Config,
    pub(super) budget: Budget,
    breaker: Breaker,
    recorder: Recorder,
}

/// The budget has not as much left as another attempt costs.
struct Spent;

/// One call, as the loop sees it.
pub trait Exchange {
    /// How an attempt succeeds.
    type Answer;
    /// How an attempt fails.
    type Failure;

    /// What sending its request twice would do.
    fn repetition(&self) -> Repetition;

    /// The time until the last moment at which an attempt may start.
    fn left(&self) -> Duration;

    /// Begins an attempt, unless too little time is left or nobody waits for it any more.
    fn begin(&self) -> bool;

    /// Makes the attempt that has begun.
    fn attempt(&self) -> impl Future<Output = Result<Self::Answer, Self::Failure>> + Send;

    /// What a failure means.
    fn failed(&self, failure: &Self::Failure) -> Failed;

    /// Pauses. `false`: there is no next attempt to wait for.
    fn pause(&self, pause: Duration) -> impl Future<Output = bool> + Send;
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<F> {
    /// The last attempt failed, and no other is made.
    Failed(F),
    /// The last attempt failed, and the pause before the next was broken off.
    Interrupted(F),
    /// Not even the first attempt could begin.
    NeverBegan,
    /// The breaker is open, and no attempt was made.
    Open(breaker::Open),
}

impl Retry {
    /// With a full budget and a closed breaker.
    #[must_use]
    pub fn new(config: Config, recorder: Recorder) -> Self {
        Self { config, budget: Budget::new(config.budget), breaker: Breaker::new(config.breaker), recorder }
    }

    /// What is left to pay retries from.
    #[must_use]
    pub fn budget_left(&self) -> u32 {
        self.budget.left()
    }

    /// Where the breaker stands.
    #[must_use]
    pub fn breaker(&self) -> breaker::Position {
        self.breaker.position()
    }

    /// Makes attempts until one succeeds, [`Config::decide`] says stop, the budget is spent, or none may begin.
    pub async fn run<E: Exchange>(&self, exchange: &E) -> Result<E::Answer, Stop<E::Failure>> {
        let mut history = History::default();
        // The last failure, and its class.
        let (mut last, mut class) = (None, None);
        // For the last retry that was made, and for the one that is to be made.
        let (mut paid, mut pledge) = (0, None);
        loop {
            let admission = match self.breaker.admit() {
                Ok(admission) => admission,
                Err(open) => {
                    self.recorder.breaker_refused();
                    return Err(last.map_or(Stop::Open(open), Stop::Failed));
                }
            };
            if !exchange.begin() {
                return Err(last.map_or(Stop::NeverBegan, Stop::Failed));
            }
            class.map(Class::as_str).into_iter().for_each(|class| self.recorder.retry(class));
            paid = pledge.take().map_or(paid, Pledge::spend);
            let failure = match exchange.attempt().await {
                Ok(answer) => {
                    admission.ended(Health::Well);
                    self.budget.give(if paid == 0 { self.config.budget.success } else { paid });
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let failed = exchange.failed(&failure);
            admission.ended(failed.health);
            history.failed(failed.class);
            let pause = match self.next(exchange, failed, &history) {
                None => return Err(Stop::Failed(failure)),
                Some(pause) => pause,
            };
            pledge = match self.pledge(failed.class) {
                Err(Spent) => return Err(Stop::Failed(failure)),
                Ok(pledge) => pledge,
            };
            history.paused(failed.class);
            if !pause.is_zero() && !exchange.pause(pause).await {
                return Err(Stop::Interrupted(failure));
            }
            (last, class) = (Some(failure), Some(failed.class));
        }
    }

    fn next<E: Exchange>(&self, exchange: &E, failed: Failed, history: &History) -> Option<Duration> {
        let (repetition, left) = (exchange.repetition(), exchange.left());
        match self.config.decide(failed, repetition, history, left, rand::random()) {
            Decision::Answer => None,
            Decision::After(pause) => Some(pause),
        }
    }

    /// Sets the price of another attempt aside, if it has one.
    fn pledge(&self, class: Class) -> Result<Option<Pledge<'_>>, Spent> {
        match self.price(class) {
            0 => Ok(None),
            price => match self.budget.pledge(price) {
                None => {
                    self.recorder.retry_refused();
                    Err(Spent)
                }
                pledge => Ok(pledge),
            },
        }
    }

    /// What another attempt after such a failure costs. What was our own fault and is mended costs nothing, and
    /// neither does waiting for a state: the server is well, and others' retries must not be spent on it.
    fn price(&self, class: Class) -> u32 {
        match class {
            Class::Corrected | Class::Permanent | Class::State => 0,
            Class::Ambiguous => self.config.budget.after_ambiguous,
            Class::NotSent | Class::Throttled | Class::Overloaded => self.config.budget.retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::Instant;

    const CLASSES: [Class; 7] = [
        Class::Permanent,
        Class::Corrected,
        Class::NotSent,
        Class::Ambiguous,
        Class::Throttled,
        Class::Overloaded,
        Class::State,
    ];
    const HOUR: Duration = Duration::from_secs(3600);

    fn failed(class: Class) -> Failed {
        Failed { class, retry_after: None, health: Health::Unknown }
    }

    fn repeats(class: Class, repetition: Repetition, history: History) -> bool {
        let decision = Config::default().decide(failed(class), repetition, &history, HOUR, 0.5);
        decision != Decision::Answer
    }

    #[test]
    fn what_failed_and_what_repeating_would_do_decide() {
        const ALL: [Repetition; 5] = [
            Repetition::Harmless,
            Repetition::SameEnd,
            Repetition::Guarded,
            Repetition::Another,
            Repetition::Pointless,
        ];
        let yes_and_no = |class, of: [bool; 5]| (class, of);
        for (class, expected) in [
            //                            harmless, same end, guarded, another, pointless
            yes_and_no(Class::Permanent, [false, false, false, false, false]),
            yes_and_no(Class::Corrected, [true, true, true, true, true]),
            yes_and_no(Class::NotSent, [true, true, true, true, false]),
            yes_and_no(Class::Ambiguous, [true, true, true, false, false]),
            yes_and_no(Class::Throttled, [true, true, true, true, false]),
            yes_and_no(Class::Overloaded, [true, true, true, false, false]),
            yes_and_no(Class::State, [false, true, true, true, false]),
        ] {
            let of = ALL.map(|repetition| {
                repeats(class, repetition, History { failures: 1, corrections: 1, pauses: 0 })
            });
            assert_eq!(of, expected, "{class:?}");
        }
    }

    #[test]
    fn five_attempts_are_made_one_correction_and_as_many_as_fit_for_a_state() {
        let mut history = History::default();
        [Class::Corrected, Class::State, Class::NotSent].into_iter().for_each(|class| history.failed(class));
        assert_eq!(history, History { failures: 2, corrections: 1, pauses: 0 });
        for class in CLASSES {
            let fifth = History { failures: 5, corrections: 1, pauses: 4 };
            let second_correction = History { failures: 0, corrections: 2, pauses: 0 };
            let guarded = |history| repeats(class, Repetition::Guarded, history);
            assert_eq!(guarded(fifth), class == Class::State, "{class:?}");
            assert_eq!(
                guarded(second_correction),
                !matches!(class, Class::Permanent | Class::Corrected),
                "{class:?}"
            );
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_with_the_class() {
        let pause = |class, pauses, jitter| {
            let history = History { failures: 1, corrections: 1, pauses };
            match Config::default().decide(failed(class), Repetition::Guarded, &history, HOUR, jitter) {
                Decision::After(pause) => pause.as_millis(),
                Decision::Answer => panic!("{class:?} is repeated"),
            }
        };
        for (class, longest) in [
            (Class::NotSent, [100, 200, 400, 800]),
            (Class::Ambiguous, [100, 200, 400, 800]),
            (Class::State, [500, 1000, 2000, 4000]),
            (Class::Throttled, [1000, 2000, 4000, 5000]),
            (Class::Overloaded, [1000, 2000, 4000, 5000]),
        ] {
            for (pauses, longest) in (0..).zip(longest) {
                assert_eq!(pause(class, pauses, 1.0), longest, "{class:?} after {pauses}");
                assert_eq!(pause(class, pauses, 0.5), longest / 2, "{class:?} after {pauses}");
                assert_eq!(pause(class, pauses, 0.0), 0, "{class:?} after {pauses}");
            }
            assert_eq!(pause(class, 40, 1.0), 5000, "{class:?} at last");
        }
        assert_eq!(pause(Class::Corrected, 3, 1.0), 0);
    }

    #[test]
    fn the_servers_wish_is_followed_within_reason() {
        let decide = |asked: f64, left: f64| {
            let failed =
                Failed { retry_after: Some(Duration::from_secs_f64(asked)), ..failed(Class::Throttled) };
            let history = History { failures: 1, ..History::default() };
            let left = Duration::from_secs_f64(left);
            match Config::default().decide(failed, Repetition::Guarded, &history, left, 0.5) {
                Decision::After(pause) => Some(pause.as_secs_f64()),
                Decision::Answer => None,
            }
        };
        assert_eq!(decide(0.2, 20.0), Some(0.5), "no sooner than ours");
        assert_eq!(decide(2.0, 20.0), Some(2.0));
        assert_eq!(decide(15.0, 20.0), Some(5.5), "at most five seconds later than ours");
        assert_eq!(decide(21.0, 20.0), None, "more than is left");
        assert_eq!(decide(0.2, 0.4), None, "ours is more than is left");
    }

    /// A call whose attempts end as a script says; what is beyond it succeeds.
    struct Scripted {
        script: Mutex<Vec<(Duration, Failed)>>,
        began: Instant,
        deadline: Duration,
        starts: Mutex<Vec<Duration>>,
    }

    impl Scripted {
        fn new(script: Vec<(Duration, Failed)>, deadline: Duration) -> Self {
            let script = Mutex::new(script.into_iter().rev().collect());
            Self { script, began: Instant::now(), deadline, starts: Mutex::default() }
        }

        fn attempts(&self) -> usize {
            self.starts.lock().unwrap().len()
        }
    }

    impl Exchange for Scripted {
        type Answer = ();
        type Failure = Failed;

        fn repetition(&self) -> Repetition {
            Repetition::Guarded
        }

        fn left(&self) -> Duration {
            self.deadline.saturating_sub(self.began.elapsed())
        }

        fn begin(&self) -> bool {
            let may = self.began.elapsed() <= self.deadline;
            if may {
                self.starts.lock().unwrap().push(self.began.elapsed());
            }
            may
        }

        async fn attempt(&self) -> Result<(), Failed> {
            let next = self.script.lock().unwrap().pop();
            let Some((took, failed)) = next else { return Ok(()) };
            tokio::time::sleep(took).await;
            Err(failed)
        }

        fn failed(&self, failure: &Failed) -> Failed {
            *failure
        }

        async fn pause(&self, pause: Duration) -> bool {
            tokio::time::sleep(pause).await;
            true
        }
    }

    fn generous() -> Config {
        let budget = budget::Config { capacity: 1_000_000, ..budget::Config::default() };
        let breaker = breaker::Config { attempts: u32::MAX, ..breaker::Config::default() };
        Config { budget, breaker, ..Config::default() }
    }

    async fn attempts_of(config: Config, classes: &[Class], deadline: Duration) -> (usize, bool) {
        let script = classes.iter().map(|class| (Duration::ZERO, failed(*class))).collect();
        let call = Scripted::new(script, deadline);
        let ended = Retry::new(config, Recorder::nowhere()).run(&call).await;
        (call.attempts(), ended.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_success_with_their_number_and_with_the_deadline() {
        use Class::*;
        let minute = Duration::from_secs(60);
        assert_eq!(attempts_of(generous(), &[], minute).await, (1, true));
        assert_eq!(attempts_of(generous(), &[Permanent], minute).await, (1, false));
        assert_eq!(attempts_of(generous(), &[Corrected], minute).await, (2, true));
        assert_eq!(attempts_of(generous(), &[Corrected, Corrected], minute).await, (2, false));
        assert_eq!(attempts_of(generous(), &[Ambiguous; 4], minute).await, (5, true));
        assert_eq!(attempts_of(generous(), &[NotSent; 5], minute).await, (5, false));
        for at in 0..5 {
            let mut with_a_correction = [Ambiguous; 6];
            with_a_correction[at] = Corrected;
            assert_eq!(attempts_of(generous(), &with_a_correction, minute).await, (5, false), "at {at}");
        }
        assert_eq!(
            attempts_of(generous(), &[Ambiguous, Corrected, State, Permanent], minute).await,
            (4, false)
        );
        let (attempts, ok) = attempts_of(generous(), &[State; 1000], minute).await;
        assert!((10..1000).contains(&attempts) && !ok, "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_is_spent_ends_retries_and_success_fills_it() {
        let config = Config { breaker: generous().breaker, ..Config::default() };
        let retry = Retry::new(config, Recorder::nowhere());
        let down = || Scripted::new(vec![(Duration::ZERO, failed(Class::NotSent)); 9], HOUR);
        let mut made = 0;
        for _ in 0..100 {
            let call = down();
            retry.run(&call).await.unwrap_err();
            made += call.attempts();
        }
        assert_eq!(made, 100 + 20, "a capacity of 100, and 5 for each retry");
        for _ in 0..5 {
            retry.run(&Scripted::new(vec![], HOUR)).await.unwrap();
        }
        let call = down();
        retry.run(&call).await.unwrap_err();
        assert_eq!(call.attempts(), 2, "five successes pay for one retry");

        let retry = Retry::new(config, Recorder::nowhere());
        for _ in 0..100 {
            let once = vec![(Duration::ZERO, failed(Class::Ambiguous))];
            retry.run(&Scripted::new(once, HOUR)).await.expect("a retry that succeeds is paid back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_is_the_answer_before_the_first_attempt_and_the_failure_after_it() {
        let ill = Failed { health: Health::Ill, ..failed(Class::NotSent) };
        let config = Config { budget: generous().budget, ..Config::default() };
        let retry = Retry::new(config, Recorder::nowhere());
        for _ in 0..4 {
            let call = Scripted::new(vec![(Duration::ZERO, ill); 9], HOUR);
            assert_eq!(retry.run(&call).await, Err(Stop::Failed(ill)));
            assert_eq!(call.attempts(), 5);
        }
        let call = Scripted::new(vec![], HOUR);
        let Err(Stop::Open(open)) = retry.run(&call).await else { panic!("open after twenty failures") };
        assert!(open.left > Duration::from_secs(29) && call.attempts() == 0, "{open:?}");
        tokio::time::sleep(open.left).await;
        retry.run(&call).await.unwrap();
    }
}
