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
use crate::transport::retry::Fate;
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
        let mut task = self.tasks.spawn(finish(Arc::clone(&exchange)));
        let joined = match tokio::time::timeout_at(exchange.call.deadline.answer_by(), &mut task).await {
            Ok(joined) => joined,
            Err(_elapsed) => match waiting.0.leave() {
                Audience::Answered => task.await,
                Audience::Waiting | Audience::Left => return Err(exchange.late()),
            },
        };
        joined.unwrap_or_else(|_panic| Err(exchange.error(Cause::Internal("a task panicked").into())))
    }
}

/// Runs a mutation to its own end. If nobody waits for it any more, the log is the only one to be told.
async fn finish<O: Operation>(exchange: Arc<Exchange<O>>) -> Result<Answer<O::Output>, Error> {
    let result = exchange.run(Duration::MAX).await;
    if exchange.conclude() == Audience::Left {
        exchange.log_unheard(&result);
    }
    result
}

/// Dropped with the caller's future: from then on nobody waits.
struct Waiting<O: Operation>(Arc<Exchange<O>>);

impl<O: Operation> Drop for Waiting<O> {
    fn drop(&mut self) {
        self.0.leave();
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

/// Who will hear how the call ended. Whoever moves it away from `Waiting` decides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Waiting,
    /// The caller has gone, or was told that its deadline passed.
    Left,
    /// The caller gets the result.
    Answered,
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
                outcome: Some(Outcome::NotStarted),
                opc_request_id: call.request_id.as_str().into(),
                retry_token: None,
            }),
        }
    }

    /// Makes attempts, each within `timeout`, as long as the loop asks for them and the caller waits.
    async fn run(&self, timeout: Duration) -> Result<Answer<O::Output>, Error> {
        let may_start =
            || self.call.deadline.allows_attempt() && self.progress().audience == Audience::Waiting;
        match retry::run(may_start, || self.attempt(timeout), |failure| failure.fate).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(failure)) => Err(self.error(failure.cause)),
            None => Err(self.late()),
        }
    }

    async fn attempt(&self, timeout: Duration) -> Result<Answer<O::Output>, Failure> {
        {
            let mut progress = self.progress();
            progress.attempts += 1;
            progress.attempt = Attempt::InFlight;
        }
        let result =
            self.client.caller.attempt(&self.operation, &self.request, &self.call.request_id, timeout).await;
        if !matches!(&result, Err(failure) if failure.fate == Fate::Corrected) {
            self.client.standing.note(result.as_ref().err().map(|failure| &*failure.cause));
        }
        let mut progress = self.progress();
        progress.attempt = Attempt::Ended;
        if let Err(failure) = &result {
            progress.outcome = progress.outcome.max(failure.cause.outcome());
            progress.last = Some(Arc::clone(&failure.cause));
            progress.opc_request_id.clone_from(&failure.opc_request_id);
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

    /// The caller waits no longer, unless the result was faster.
    fn leave(&self) -> Audience {
        self.settle(Audience::Left)
    }

    /// The result is there; it is the caller's, unless the caller has left.
    fn conclude(&self) -> Audience {
        self.settle(Audience::Answered)
    }

    fn settle(&self, audience: Audience) -> Audience {
        let mut progress = self.progress();
        if progress.audience == Audience::Waiting {
            progress.audience = audience;
        }
        progress.audience
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_unheard(&self, result: &Result<Answer<O::Output>, Error>) {
        let operation = O::NAME;
        let subject = self.operation.subject().as_str();
        let retry_token = self.request.idempotency.retry_token().map(tracing::field::display);
        match result {
            Ok(answer) => tracing::warn!(
                operation,
                subject,
                retry_token,
                opc_request_id = answer.opc_request_id,
                made = O::made(&answer.value),
                "done after the caller had stopped waiting"
            ),
            Err(error) => tracing::warn!(
                operation,
                subject,
                retry_token,
                opc_request_id = error.opc_request_id,
                outcome = error.outcome.map(Outcome::as_str),
                error = error.cause.describe(),
                "failed after the caller had stopped waiting"
            ),
        }
    }
}
