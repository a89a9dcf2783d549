//! One exchange with OCI, from its first attempt to its end, and the callers who wait for it: their deadlines bound
//! their answers, and nothing cuts off a mutation that is on its way.

use super::Answer;
use super::Call;
use super::Client;
use super::Error;
use super::call::Failure;
use super::deadline::Deadline;
use super::error::Cause;
use super::error::Outcome;
use super::flights::Boarded;
use super::operation::Operation;
use super::request::Idempotency;
use super::request::Request;
use crate::credentials::Credentials;
use crate::transport::retry;
use crate::transport::retry::Class;
use crate::transport::retry::Failed;
use crate::transport::retry::Repetition;
use crate::transport::retry::Stop;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

type Ended<T> = Result<Answer<T>, Error>;

impl Client {
    /// Carries out a read. It ends with its deadline, or when the caller leaves.
    pub(super) async fn read<O: Operation>(&self, operation: O, call: Call) -> Ended<O::Output> {
        let answer_by = call.deadline.answer_by();
        let left = answer_by.saturating_duration_since(Instant::now());
        let exchange = Exchange::new(self.clone(), operation, call, left)?;
        match tokio::time::timeout_at(answer_by, exchange.run()).await {
            Ok(ended) => ended,
            Err(_elapsed) => Err(exchange.late(&exchange.progress())),
        }
    }

    /// Carries out a mutation as a task of its own, which neither a deadline nor a caller who leaves can cut off: a
    /// request that was sent may have been carried out, and its end has to be known.
    pub(super) async fn mutate<O: Operation>(&self, operation: O, call: Call) -> Ended<O::Output> {
        let deadline = call.deadline;
        let new = Exchange::new(self.clone(), operation, call, Duration::MAX)?;
        let exchange = match self.board(new, deadline) {
            Boarded::First(exchange) => {
                self.mutations.spawn(to_its_end(Running(Arc::clone(&exchange))));
                exchange
            }
            Boarded::Joined(exchange) => exchange,
            Boarded::Reused(new) => return Err(new.error(Cause::TokenReused.into())),
        };
        let waiting = Waiting(exchange, deadline);
        match tokio::time::timeout_at(deadline.answer_by(), waiting.0.ended()).await {
            Ok(ended) => ended,
            Err(_elapsed) => Err(waiting.leave().left_behind()),
        }
    }

    fn board<O: Operation>(&self, new: Exchange<O>, deadline: Deadline) -> Boarded<O> {
        match &self.flights {
            Some(flights) => flights.board(new, deadline),
            None => Boarded::First(Arc::new(new)),
        }
    }
}

/// A caller who waits. Dropped with the caller's future, too: from then on that one does not.
struct Waiting<O: Operation>(Arc<Exchange<O>>, Deadline);

impl<O: Operation> Waiting<O> {
    /// From here on no attempt starts for this caller, so that what it is told stays true.
    fn leave(self) -> Arc<Exchange<O>> {
        Arc::clone(&self.0)
    }
}

impl<O: Operation> Drop for Waiting<O> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

async fn to_its_end<O: Operation>(running: Running<O>) {
    tokio::select! {
        ended = running.0.run() => running.0.end(ended),
        // What becomes of the attempt in flight nobody will know.
        () = running.0.client.mutations.cut_off() => {}
    }
}

/// A mutation as a task. Dropped before its end, by a panic or with the process, it says so to whoever waits.
struct Running<O: Operation>(Arc<Exchange<O>>);

impl<O: Operation> Drop for Running<O> {
    fn drop(&mut self) {
        if !self.0.progress().is_over {
            self.0.end(Err(self.0.broken()));
        }
    }
}

pub(super) struct Exchange<O: Operation> {
    client: Client,
    operation: O,
    request: Request,
    call: Call,
    /// What bounds one attempt, besides the attempt timeout.
    timeout: Duration,
    progress: Mutex<Progress<O::Output>>,
    /// The last one who waited has left, or the end has come.
    changed: Notify,
}

/// What is known while attempts are made, for answers that cannot wait for their end.
struct Progress<T> {
    attempts: u32,
    attempt: Attempt,
    outcome: Outcome,
    last: Option<Arc<Cause>>,
    opc_request_id: Option<String>,
    /// The deadlines of the callers who wait.
    waiting: Vec<Deadline>,
    boarding: Boarding,
    is_over: bool,
    ended: Option<Ended<T>>,
    /// A caller has taken the end with it.
    heard: bool,
}

impl<T> Progress<T> {
    /// When the last one stops waiting; `None` when nobody waits.
    fn latest(&self) -> Option<Deadline> {
        self.waiting.iter().max().copied()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// Nothing of it is sent yet.
    Preparing,
    InFlight,
    Ended,
}

/// Whether other callers may join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Boarding {
    Open,
    /// No attempt will start any more.
    Closed,
}

impl<O: Operation> Exchange<O> {
    fn new(client: Client, operation: O, call: Call, timeout: Duration) -> Result<Self, Error> {
        let progress = Mutex::new(Progress {
            attempts: 0,
            attempt: Attempt::Ended,
            outcome: Outcome::NotStarted,
            last: None,
            opc_request_id: None,
            waiting: vec![call.deadline],
            boarding: Boarding::Open,
            is_over: false,
            ended: None,
            heard: false,
        });
        let changed = Notify::new();
        let request = operation.request();
        if let (Ok(request), Some(seat)) = (&request, &call.seat)
            && let Some(retry_token) = request.idempotency.retry_token()
        {
            seat.note(retry_token);
        }
        match request {
            Ok(request) => Ok(Self { client, operation, request, call, timeout, progress, changed }),
            Err(_unserializable) => Err(Error {
                cause: Cause::Internal("a validated input has no JSON form").into(),
                operation: O::NAME,
                subject: operation.subject().clone(),
                region: client.caller.place.region(),
                elsewhere: None,
                attempts: 0,
                outcome: None,
                opc_request_id: call.request_id.as_str().into(),
                retry_token: None,
            }),
        }
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// Another caller waits, too, unless no attempt would start for it.
    pub(super) fn join(&self, deadline: Deadline) -> bool {
        let mut progress = self.progress();
        let joins = progress.boarding == Boarding::Open;
        if joins {
            progress.waiting.push(deadline);
        }
        joins
    }

    /// Makes attempts, as long as the loop asks for them and somebody waits.
    async fn run(&self) -> Ended<O::Output> {
        let ended = self.client.retry.run(self).await;
        self.client.recorder().attempts(O::NAME, self.progress().attempts);
        let failure = match &ended {
            Ok(_answer) => Some(None),
            Err(Stop::Failed(failure) | Stop::Interrupted(failure)) => Some(Some(&*failure.cause)),
            Err(Stop::NeverBegan | Stop::Open(_)) => None,
        };
        if let Some(failure) = failure {
            self.client.standing.note(failure);
        }
        ended.map_err(|stop| match stop {
            Stop::Failed(failure) => self.error(failure.cause),
            Stop::Interrupted(failure) if self.client.mutations.is_ending() => {
                self.error(Cause::Draining { last: Some(failure.cause) }.into())
            }
            Stop::Interrupted(failure) => self.error(failure.cause),
            Stop::NeverBegan => self.late(&self.progress()),
            Stop::Open(open) => self.error(Cause::Breaker { left: open.left }.into()),
        })
    }

    /// The end, for a caller who waits.
    async fn ended(&self) -> Ended<O::Output> {
        loop {
            // Asked for before looking: an end in between is not missed.
            let changed = self.changed.notified();
            if let Some(ended) = self.hear() {
                return ended;
            }
            changed.await;
        }
    }

    fn hear(&self) -> Option<Ended<O::Output>> {
        let mut progress = self.progress();
        let ended = match progress.waiting.len() {
            // Nobody else wants it.
            0 | 1 => progress.ended.take(),
            _ => progress.ended.clone(),
        };
        progress.heard |= ended.is_some();
        ended
    }

    /// The end has come: whoever waits hears of it, and if nobody does, the log is the only one to be told.
    fn end(self: &Arc<Self>, ended: Ended<O::Output>) {
        if let Some(flights) = &self.client.flights {
            flights.leave(self);
        }
        let mut progress = self.progress();
        progress.boarding = Boarding::Closed;
        progress.is_over = true;
        if progress.waiting.is_empty() {
            self.log_unheard(&ended);
        } else {
            progress.ended = Some(ended);
        }
        drop(progress);
        self.changed.notify_waiters();
    }

    /// A caller waits no longer.
    fn leave(&self, deadline: Deadline) {
        let mut progress = self.progress();
        if let Some(place) = progress.waiting.iter().position(|waiting| *waiting == deadline) {
            progress.waiting.swap_remove(place);
        }
        if !progress.waiting.is_empty() {
            return;
        }
        // What the last one is told stays true: nobody comes and makes the exchange go on after all.
        if progress.attempt != Attempt::InFlight {
            progress.boarding = Boarding::Closed;
        }
        let unheard = progress.ended.take().filter(|_ended| !progress.heard);
        drop(progress);
        self.changed.notify_waiters();
        if let Some(ended) = unheard {
            self.log_unheard(&ended);
        }
    }

    /// Returns when nobody waits, and from then on nobody joins.
    async fn abandoned(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let mut progress = self.progress();
                if progress.waiting.is_empty() {
                    progress.boarding = Boarding::Closed;
                    return;
                }
            }
            changed.await;
        }
    }

    /// The attempt is signed and may be sent, if somebody still waits: a credential may have been long in coming.
    fn depart(&self) -> bool {
        let mut progress = self.progress();
        let somebody = !progress.waiting.is_empty();
        progress.attempt = if somebody { Attempt::InFlight } else { Attempt::Ended };
        progress.attempts += u32::from(somebody);
        somebody
    }

    /// Takes note of how an attempt ended, for whoever is answered from now on.
    fn note(&self, result: &Result<Answer<O::Output>, Failure>) {
        let mut progress = self.progress();
        progress.attempt = Attempt::Ended;
        match result {
            Ok(_answer) => progress.outcome = Outcome::Started,
            Err(failure) => {
                progress.outcome = progress.outcome.max(failure.cause.outcome());
                progress.last = Some(Arc::clone(&failure.cause));
                progress.opc_request_id.clone_from(&failure.opc_request_id);
                // As in `leave`: what the last one is told now stays true.
                if progress.waiting.is_empty() {
                    progress.boarding = Boarding::Closed;
                }
            }
        }
    }

    /// Whether there is another credential than the one that OCI refused. Nobody waits for it who waits for nothing.
    async fn renewed(&self, refused: &Arc<Credentials>) -> bool {
        tokio::select! {
            renewed = self.client.caller.renew(refused) => renewed,
            () = self.abandoned() => false,
            () = self.client.mutations.ending() => false,
        }
    }

    /// For a caller whose time is up. Where others go on waiting, more may be made under its request id.
    fn left_behind(&self) -> Error {
        // One look: between two, another attempt could begin and end.
        let progress = self.progress();
        let mut error = self.late(&progress);
        if !progress.waiting.is_empty() && !progress.is_over {
            error.outcome = error.outcome.map(|outcome| outcome.max(Outcome::Unknown));
        }
        error
    }

    fn late(&self, progress: &Progress<O::Output>) -> Error {
        self.error_after(progress, Cause::Deadline { last: progress.last.clone() }.into())
    }

    fn error(&self, cause: Arc<Cause>) -> Error {
        self.error_after(&self.progress(), cause)
    }

    /// The error as it stands now: an attempt that is still in flight may yet make something.
    fn error_after(&self, progress: &Progress<O::Output>, cause: Arc<Cause>) -> Error {
        let outcome = match progress.attempt {
            Attempt::InFlight => progress.outcome.max(Outcome::Unknown),
            Attempt::Preparing | Attempt::Ended => progress.outcome,
        };
        Error {
            cause,
            operation: O::NAME,
            subject: self.operation.subject().clone(),
            region: self.client.caller.place.region(),
            elsewhere: self.client.caller.elsewhere(self.operation.subject()),
            attempts: progress.attempts,
            outcome: (!matches!(self.request.idempotency, Idempotency::Read | Idempotency::Ask))
                .then_some(outcome),
            opc_request_id: progress
                .opc_request_id
                .as_deref()
                .unwrap_or(self.call.request_id.as_str())
                .into(),
            retry_token: self.request.idempotency.retry_token().cloned(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress<O::Output>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self) -> Error {
        let progress = self.progress();
        let cause = match self.client.mutations.is_ending() {
            true => Cause::Draining { last: progress.last.clone() },
            false => Cause::Internal("a task ended before its time"),
        };
        self.error_after(&progress, cause.into())
    }

    fn log_unheard(&self, ended: &Ended<O::Output>) {
        let operation = O::NAME;
        let subject = self.operation.subject().as_str();
        let opc_retry_token = self.request.idempotency.retry_token().map(tracing::field::display);
        match ended {
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

impl<O: Operation> retry::Exchange for Exchange<O> {
    type Answer = Answer<O::Output>;
    type Failure = Failure;

    fn repetition(&self) -> Repetition {
        self.request.idempotency.repetition()
    }

    fn left(&self) -> Duration {
        self.progress().latest().map_or(Duration::ZERO, Deadline::left_for_attempts)
    }

    /// If an attempt may start, it counts as begun. Both at once: whoever answers a caller in between must not say
    /// that nothing was started.
    fn begin(&self) -> bool {
        let mut progress = self.progress();
        let may = progress.latest().is_some_and(Deadline::allows_attempt);
        if may {
            progress.attempt = Attempt::Preparing;
        } else {
            progress.boarding = Boarding::Closed;
        }
        may
    }

    async fn attempt(&self) -> Result<Self::Answer, Failure> {
        let caller = &self.client.caller;
        let (request, id) = (&self.request, &self.call.request_id);
        let before = self.progress().attempts;
        let mut result = match caller.prepare::<O>(request, id, &self.call.trace, before).await {
            Ok(signed) if self.depart() => {
                caller.send(&self.operation, request, id, signed, self.timeout).await
            }
            // Whoever waited has been told that nothing was started.
            Ok(_unsent) => return Err(Cause::Deadline { last: None }.into()),
            Err(failure) => Err(failure),
        };
        self.note(&result);
        if let Err(failure) = &mut result
            && let Some(refused) = failure.refused.take()
            && self.renewed(&refused).await
        {
            failure.failed.class = Class::Corrected;
        }
        result
    }

    fn failed(&self, failure: &Failure) -> Failed {
        failure.failed
    }

    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.abandoned() => false,
            () = self.client.mutations.ending() => false,
        }
    }
}
