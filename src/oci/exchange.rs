//! One call, from its first attempt to its answer: the deadline bounds the answer, and nothing cuts off a
//! mutation that is on its way.

use super::Answer;
use super::Call;
use super::Client;
use super::Error;
use super::call::Failure;
use super::error::Cause;
use super::error::Outcome;
use super::operation::Operation;
use super::request::Idempotency;
use super::request::Request;
use crate::transport::retry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

impl Client {
    /// Carries out a read. It ends with its deadline, or when the caller leaves.
    pub(super) async fn read<O: Operation>(
        &self,
        operation: O,
        call: Call,
    ) -> Result<Answer<O::Output>, Error> {
        let exchange = Exchange::new(self.clone(), operation, call)?;
        let answer_by = exchange.call.deadline.answer_by();
        let left = answer_by.saturating_duration_since(Instant::now());
        match tokio::time::timeout_at(answer_by, exchange.run(left)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(exchange.late()),
        }
    }

    /// Carries out a mutation as a task of its own, which neither the deadline nor a caller who leaves can
    /// cut off: a request that was sent may have been carried out, and its end has to be known.
    pub(super) async fn mutate<O: Operation>(
        &self,
        operation: O,
        call: Call,
    ) -> Result<Answer<O::Output>, Error> {
        let exchange = Arc::new(Exchange::new(self.clone(), operation, call)?);
        let waiting = Waiting(Arc::clone(&exchange));
        let task = self.tasks.spawn(Ending::of(Arc::clone(&exchange)));
        let ended = tokio::time::timeout_at(exchange.call.deadline.answer_by(), task).await;
        // From here on no attempt starts, so that the error below stays true.
        drop(waiting);
        match ended {
            Ok(Ok(ending)) => ending.heard().unwrap_or_else(|| Err(exchange.broken())),
            Ok(Err(_panic)) => Err(exchange.broken()),
            Err(_elapsed) => Err(exchange.late()),
        }
    }
}

/// The caller waits. Dropped with the caller's future, too: from then on nobody does.
struct Waiting<O: Operation>(Arc<Exchange<O>>);

impl<O: Operation> Drop for Waiting<O> {
    fn drop(&mut self) {
        self.0.progress().audience = Audience::Gone;
    }
}

/// How a mutation ended, on its way to the caller. If it is dropped before it is heard, because the caller
/// has left, or the process ends in the midst, the log is the only one to be told.
struct Ending<O: Operation> {
    exchange: Arc<Exchange<O>>,
    result: Option<Result<Answer<O::Output>, Error>>,
    ear: Ear,
}

#[derive(PartialEq, Eq)]
enum Ear {
    None,
    TheCallers,
}

impl<O: Operation> Ending<O> {
    /// Runs the mutation to its own end.
    async fn of(exchange: Arc<Exchange<O>>) -> Self {
        let mut ending = Self { exchange: Arc::clone(&exchange), result: None, ear: Ear::None };
        ending.result = Some(exchange.run(Duration::MAX).await);
        ending
    }

    fn heard(mut self) -> Option<Result<Answer<O::Output>, Error>> {
        self.ear = Ear::TheCallers;
        self.result.take()
    }
}

impl<O: Operation> Drop for Ending<O> {
    fn drop(&mut self) {
        if self.ear == Ear::None {
            self.exchange.log_unheard(self.result.as_ref());
        }
    }
}

struct Exchange<O> {
    client: Client,
    operation: O,
    request: Request,
    call: Call,
    progress: Mutex<Progress>,
}

/// What is known while attempts are made, for an answer that cannot wait for their end.
struct Progress {
    attempts: u32,
    attempt: Attempt,
    outcome: Outcome,
    last: Option<Arc<Cause>>,
    opc_request_id: Option<String>,
    audience: Audience,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    InFlight,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Waiting,
    /// The caller has left, or has been answered.
    Gone,
}

impl<O: Operation> Exchange<O> {
    fn new(client: Client, operation: O, call: Call) -> Result<Self, Error> {
        let progress = Mutex::new(Progress {
            attempts: 0,
            attempt: Attempt::Ended,
            outcome: Outcome::NotStarted,
            last: None,
            opc_request_id: None,
            audience: Audience::Waiting,
        });
        match operation.request() {
            Ok(request) => Ok(Self { client, operation, request, call, progress }),
            Err(_unserializable) => Err(Error {
                cause: Cause::Internal("a validated input has no JSON form").into(),
                operation: O::NAME,
                subject: operation.subject().clone(),
                region: Arc::clone(&client.caller.region),
                elsewhere: None,
                attempts: 0,
                outcome: None,
                opc_request_id: call.request_id.as_str().into(),
                retry_token: None,
            }),
        }
    }

    /// Makes attempts, each within `timeout`, as long as the loop asks for them and the caller waits.
    async fn run(&self, timeout: Duration) -> Result<Answer<O::Output>, Error> {
        let ended = retry::run(|| self.begin(), || self.attempt(timeout), |failure| failure.fate).await;
        let cause =
            |result: &Result<_, Failure>| result.as_ref().err().map(|failure| Arc::clone(&failure.cause));
        if let Some(result) = &ended {
            self.client.standing.note(cause(result).as_deref());
        }
        match ended {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(failure)) => Err(self.error(failure.cause)),
            None => Err(self.late()),
        }
    }

    /// Whether another attempt may start; if so, it counts as begun. Both at once: whoever answers the caller
    /// in between must not say that nothing was started.
    fn begin(&self) -> bool {
        let mut progress = self.progress();
        let may = progress.audience == Audience::Waiting && self.call.deadline.allows_attempt();
        if may {
            progress.attempts += 1;
            progress.attempt = Attempt::InFlight;
        }
        may
    }

    async fn attempt(&self, timeout: Duration) -> Result<Answer<O::Output>, Failure> {
        let caller = &self.client.caller;
        let result = caller.attempt(&self.operation, &self.request, &self.call.request_id, timeout).await;
        let mut progress = self.progress();
        progress.attempt = Attempt::Ended;
        match &result {
            Ok(_answer) => progress.outcome = Outcome::Started,
            Err(failure) => {
                progress.outcome = progress.outcome.max(failure.cause.outcome());
                progress.last = Some(Arc::clone(&failure.cause));
                progress.opc_request_id.clone_from(&failure.opc_request_id);
            }
        }
        result
    }

    fn late(&self) -> Error {
        let last = self.progress().last.clone();
        self.error(Cause::Deadline { last }.into())
    }

    /// The error as it stands now: an attempt that is still in flight may yet make something.
    fn error(&self, cause: Arc<Cause>) -> Error {
        let progress = self.progress();
        let outcome = match progress.attempt {
            Attempt::InFlight => progress.outcome.max(Outcome::Unknown),
            Attempt::Ended => progress.outcome,
        };
        Error {
            cause,
            operation: O::NAME,
            subject: self.operation.subject().clone(),
            region: Arc::clone(&self.client.caller.region),
            elsewhere: self.client.caller.elsewhere(self.operation.subject()),
            attempts: progress.attempts,
            outcome: match self.request.idempotency {
                Idempotency::Read => None,
                Idempotency::RetryToken(_) => Some(outcome),
            },
            opc_request_id: progress
                .opc_request_id
                .as_deref()
                .unwrap_or(self.call.request_id.as_str())
                .into(),
            retry_token: self.request.idempotency.retry_token().cloned(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self) -> Error {
        self.error(Cause::Internal("a task ended before its time").into())
    }

    fn log_unheard(&self, result: Option<&Result<Answer<O::Output>, Error>>) {
        let operation = O::NAME;
        let subject = self.operation.subject().as_str();
        let opc_retry_token = self.request.idempotency.retry_token().map(tracing::field::display);
        let broken = || Err(self.broken());
        match result.map_or_else(broken, |result| result.as_ref().map_err(Error::clone)) {
            Ok(answer) => tracing::warn!(
                operation,
                subject,
                opc_retry_token,
                opc_request_id = answer.opc_request_id,
                made = O::made(&answer.value),
                "done after the caller had stopped waiting"
            ),
            Err(error) => tracing::warn!(
                operation,
                subject,
                opc_retry_token,
                opc_request_id = &*error.opc_request_id,
                outcome = error.outcome.map(Outcome::as_str),
                error = error.cause.describe(),
                "failed, or was cut off, after the caller had stopped waiting"
            ),
        }
    }
}
