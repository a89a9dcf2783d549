//! What of gRPC's service config this client follows: `timeout`, `waitForReady`, `retryPolicy` and
//! `retryThrottling`. tonic knows none of it. The rules are those of gRPC's proposal A6.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tonic::Status;

use crate::explain::name_of;

/// The service config of `examples/clients`.
pub const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/service-config.json"));

/// What the service config says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceConfig {
    #[serde(default)]
    method_config: Vec<MethodConfig>,
    retry_throttling: Option<Throttle>,
}

/// What it says about some methods.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodConfig {
    name: Vec<Name>,
    /// While no gateway can be reached, wait for one until the deadline.
    #[serde(default)]
    pub wait_for_ready: bool,
    /// The longest deadline.
    #[serde(default, deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// When to try again.
    pub retry_policy: Option<RetryPolicy>,
}

#[derive(Debug, Deserialize)]
struct Name {
    #[serde(default)]
    service: String,
    #[serde(default)]
    method: String,
}

/// When to try again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    max_attempts: u32,
    #[serde(deserialize_with = "duration")]
    initial_backoff: Duration,
    #[serde(deserialize_with = "duration")]
    max_backoff: Duration,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<String>,
}

/// Of a method that the service config does not name.
static UNNAMED: MethodConfig =
    MethodConfig { name: Vec::new(), wait_for_ready: false, timeout: None, retry_policy: None };

impl ServiceConfig {
    /// The config of a method: what names it, else what names its service, else what names nothing.
    pub fn method(&self, service: &str, method: &str) -> &MethodConfig {
        [(service, method), (service, ""), ("", "")]
            .into_iter()
            .find_map(|(service, method)| {
                let named = |name: &Name| name.service == service && name.method == method;
                self.method_config.iter().find(|config| config.name.iter().any(named))
            })
            .unwrap_or(&UNNAMED)
    }

    /// A call succeeded.
    pub fn succeeded(&self) {
        if let Some(throttle) = &self.retry_throttling {
            throttle.succeeded();
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    pub fn pause(&self, policy: &RetryPolicy, retries: &mut Retries, status: &Status) -> Option<Duration> {
        let pushback = Pushback::of(status);
        if !policy.retryable_status_codes.iter().any(|code| code == name_of(status.code())) {
            return None;
        }
        if self.retry_throttling.as_ref().is_some_and(|throttle| !throttle.failed()) {
            return None;
        }
        retries.made += 1;
        if retries.made >= policy.max_attempts.min(MOST_ATTEMPTS) {
            return None;
        }
        match pushback {
            Pushback::Stop => None,
            Pushback::Wait(pause) => {
                retries.since_pushback = 0;
                Some(pause)
            }
            Pushback::None => {
                let factor = policy.backoff_multiplier.powi(retries.since_pushback);
                retries.since_pushback += 1;
                let seconds = policy.initial_backoff.as_secs_f64() * factor;
                let pause = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                Some(pause.min(policy.max_backoff).mul_f64(0.8 + 0.4 * fastrand::f64()))
            }
        }
    }
}

/// More are made by no library, whatever the config says.
const MOST_ATTEMPTS: u32 = 5;

/// How often a call was made again.
#[derive(Debug, Default)]
pub struct Retries {
    made: u32,
    since_pushback: i32,
}

/// What the gateway tells libraries about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    None,
    Stop,
    Wait(Duration),
}

impl Pushback {
    pub fn of(status: &Status) -> Pushback {
        match status.metadata().get("grpc-retry-pushback-ms") {
            None => Pushback::None,
            Some(value) => match value.to_str().ok().and_then(|text| text.parse::<u32>().ok()) {
                Some(milliseconds) => Pushback::Wait(Duration::from_millis(milliseconds.into())),
                // -1, and what is no number.
                None => Pushback::Stop,
            },
        }
    }
}

/// In an outage most calls fail, and retries would only add to it: they rest while too few calls succeed.
#[derive(Debug, Deserialize)]
#[serde(from = "Throttling")]
struct Throttle {
    most: f64,
    ratio: f64,
    tokens: Mutex<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    max_tokens: f64,
    token_ratio: f64,
}

impl From<Throttling> for Throttle {
    fn from(config: Throttling) -> Throttle {
        Throttle { most: config.max_tokens, ratio: config.token_ratio, tokens: Mutex::new(config.max_tokens) }
    }
}

impl Throttle {
    fn succeeded(&self) {
        let mut tokens = self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *tokens = (*tokens + self.ratio).min(self.most);
    }

    /// Takes the failure down, and tells whether there may be a retry.
    fn failed(&self) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *tokens = (*tokens - 1.0).max(0.0);
        *tokens > self.most / 2.0
    }
}

/// protobuf's JSON form of a duration: `"0.2s"`.
fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    text.strip_suffix('s')
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.parse().ok()?).ok())
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration such as \"0.2s\"")))
}

fn some_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    duration(input).map(Some)
}
