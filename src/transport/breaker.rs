//! The breaker: where nearly every attempt fails, none is made for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Fewer attempts than this say nothing.
    pub attempts: u32,
    /// The share of failures from which on it opens.
    pub failures: f64,
    /// How far back attempts count.
    pub window: Duration,
    /// How long it stays open before one attempt is let through.
    pub open: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { attempts: 20, failures: 0.8, window: Duration::from_secs(10), open: Duration::from_secs(30) }
    }
}

/// What an attempt says about the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered, if only with a refusal.
    Well,
    /// It could not be reached, did not answer, or answered that it fails.
    Ill,
    /// Neither.
    Unknown,
}

/// Whether attempts are made, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// They are.
    Closed,
    /// None is.
    Open,
    /// One finds out, or the next one will.
    HalfOpen,
}

impl Position {
    /// All, by their names.
    pub const NAMES: &[&str] = &["closed", "open", "half_open"];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// No attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// For how long.
    pub left: Duration,
}

/// Counts attempts and says whether another may be made. Clones share the count.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    gate: Mutex<Gate>,
}

#[derive(Debug)]
struct Gate {
    state: State,
    /// How often it has closed again.
    closed: u64,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open {
        until: Instant,
    },
    /// One attempt is on its way to find out.
    Probing,
}

/// While the answer of the one that finds out is awaited.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let gate = Gate { state: State::Closed(Window::default()), closed: 0 };
        Self(Arc::new(Shared { config, gate: Mutex::new(gate) }))
    }

    /// Asks for leave to make an attempt.
    pub(super) fn admit(&self) -> Result<Admission, Open> {
        let mut gate = self.gate();
        let role = match gate.state {
            State::Closed(_) => Role::OneOfMany { closed: gate.closed },
            State::Probing => return Err(Open { left: A_MOMENT }),
            State::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(Open { left });
                }
                gate.state = State::Probing;
                Role::Probe
            }
        };
        drop(gate);
        Ok(Admission { breaker: self.clone(), role, health: Health::Unknown })
    }

    /// Where it stands now.
    #[must_use]
    pub fn position(&self) -> Position {
        match self.gate().state {
            State::Closed(_) => Position::Closed,
            State::Open { until } if until > Instant::now() => Position::Open,
            State::Open { .. } | State::Probing => Position::HalfOpen,
        }
    }

    fn note(&self, role: Role, health: Health) {
        let now = Instant::now();
        let config = &self.0.config;
        let mut gate = self.gate();
        let closed = gate.closed;
        match (&mut gate.state, role) {
            (State::Probing, Role::Probe) => match health {
                Health::Well => {
                    tracing::info!("the server answers again");
                    *gate = Gate { state: State::Closed(Window::default()), closed: closed + 1 };
                }
                Health::Ill => gate.state = State::Open { until: now + config.open },
                // Nothing was found out: the next one may try.
                Health::Unknown => gate.state = State::Open { until: now },
            },
            (State::Closed(window), Role::OneOfMany { closed: when }) if when == closed => {
                window.note(health, now, config);
                if window.is_ill(config) {
                    tracing::warn!(pause = ?config.open, "nearly every attempt fails: none is made for a while");
                    gate.state = State::Open { until: now + config.open };
                }
            }
            // Attempts that began before it opened change nothing any more, even if it has closed since.
            (State::Closed(_) | State::Open { .. } | State::Probing, Role::OneOfMany { .. })
            | (State::Closed(_) | State::Open { .. }, Role::Probe) => {}
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to make one attempt. Dropped, it tells how that ended.
#[derive(Debug)]
pub(super) struct Admission {
    breaker: Breaker,
    role: Role,
    health: Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It began when the gate had closed so often.
    OneOfMany {
        closed: u64,
    },
    Probe,
}

impl Admission {
    pub(super) fn ended(mut self, health: Health) {
        self.health = health;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.breaker.note(self.role, self.health);
    }
}

/// Attempts by the tenth of the window in which they ended.
#[derive(Debug, Default)]
struct Window(VecDeque<Slice>);

#[derive(Debug)]
struct Slice {
    began: Instant,
    attempts: u32,
    failures: u32,
}

impl Window {
    fn note(&mut self, health: Health, now: Instant, config: &Config) {
        if health == Health::Unknown {
            return;
        }
        while self.0.front().is_some_and(|slice| now - slice.began >= config.window) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|slice| now - slice.began >= config.window / 10) {
            self.0.push_back(Slice { began: now, attempts: 0, failures: 0 });
        }
        if let Some(slice) = self.0.back_mut() {
            slice.attempts += 1;
            slice.failures += u32::from(health == Health::Ill);
        }
    }

    /// Whether failures have reached their share.
    fn is_ill(&self, config: &Config) -> bool {
        let attempts: u32 = self.0.iter().map(|slice| slice.attempts).sum();
        let failures: u32 = self.0.iter().map(|slice| slice.failures).sum();
        attempts >= config.attempts && f64::from(failures) >= config.failures * f64::from(attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(breaker: &Breaker, health: Health) -> Result<(), Duration> {
        breaker.admit().map(|admission| admission.ended(health)).map_err(|open| open.left)
    }

    fn attempts(breaker: &Breaker, many: usize, health: Health) {
        (0..many).for_each(|_| attempt(breaker, health).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn opens_at_four_failures_in_five_of_at_least_twenty_attempts() {
        let breaker = Breaker::new(Config::default());
        attempts(&breaker, 19, Health::Ill);
        attempts(&breaker, 1, Health::Ill);
        assert_eq!(attempt(&breaker, Health::Well), Err(Duration::from_secs(30)));

        let breaker = Breaker::new(Config::default());
        attempts(&breaker, 5, Health::Well);
        attempts(&breaker, 19, Health::Ill);
        attempts(&breaker, 9, Health::Unknown);
        attempts(&breaker, 1, Health::Ill);
        assert!(attempt(&breaker, Health::Well).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_long_ago_do_not_count() {
        let breaker = Breaker::new(Config::default());
        attempts(&breaker, 19, Health::Ill);
        tokio::time::advance(Duration::from_secs(10)).await;
        attempts(&breaker, 19, Health::Ill);
        assert!(attempt(&breaker, Health::Ill).is_ok());
        assert!(attempt(&breaker, Health::Ill).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn lets_one_attempt_through_after_its_time_and_believes_it() {
        let breaker = Breaker::new(Config::default());
        attempts(&breaker, 20, Health::Ill);
        tokio::time::advance(Duration::from_secs(30)).await;
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.admit().unwrap_err().left, Duration::from_secs(1), "one at a time");
        probe.ended(Health::Ill);
        assert_eq!(breaker.admit().unwrap_err().left, Duration::from_secs(30));

        tokio::time::advance(Duration::from_secs(30)).await;
        drop(breaker.admit().unwrap());
        let probe = breaker.admit().expect("a probe that found out nothing makes way for the next");
        probe.ended(Health::Well);
        attempts(&breaker, 19, Health::Ill);
        assert!(attempt(&breaker, Health::Well).is_ok(), "it starts to count anew");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_began_before_it_opened_change_nothing() {
        let breaker = Breaker::new(Config::default());
        let early = breaker.admit().unwrap();
        attempts(&breaker, 20, Health::Ill);
        early.ended(Health::Well);
        assert!(breaker.admit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nor_do_they_when_it_has_closed_again() {
        let breaker = Breaker::new(Config::default());
        let early: Vec<Admission> = (0..20).map(|_| breaker.admit().unwrap()).collect();
        attempts(&breaker, 20, Health::Ill);
        tokio::time::advance(Duration::from_secs(30)).await;
        attempt(&breaker, Health::Well).unwrap();
        early.into_iter().for_each(|attempt| attempt.ended(Health::Ill));
        assert!(breaker.admit().is_ok());
    }
}
