//! The life of a request: read, verified, matched with a fault, carried out, answered or cut. One straight
//! line; a request without a fault goes the same way with a fault that does nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::Now;
use super::answer::Answer;
use super::fault::{Commit, CutPoint, Fault, StallPoint, Wire};
use super::ledger::Book;
use super::problem::Problem;
use super::request::RawRequest;
use super::rules::Rules;
use super::socket::Socket;

/// What one listener plays: who may ask, and what is done then. The steps are apart, so that a fault can pause
/// or cut between them.
pub(super) trait Face: Send + Sync + 'static {
    /// What is known once the caller is.
    type Admitted: Send;
    /// A deed that only has to be carried out.
    type Prepared: Send;

    /// Whether the caller may ask.
    fn admit(&self, request: &RawRequest) -> Result<Self::Admitted, Refused>;

    /// Everything that can be judged before the deed.
    fn prepare(
        &self,
        admitted: Self::Admitted,
        request: &RawRequest,
        attempt: u64,
    ) -> Result<Self::Prepared, Problem>;

    /// The deed.
    fn carry_out(&self, prepared: Self::Prepared) -> Answer;
}

/// Why a caller may not ask: what he is told, and what the ledger says.
pub(super) struct Refused {
    pub(super) problem: Problem,
    pub(super) why: String,
}

impl Refused {
    /// 401, with the reason.
    pub(super) fn unknown_caller(why: impl ToString) -> Refused {
        let why = why.to_string();
        Refused { problem: Problem::not_authenticated(format!("Not authenticated: {why}.")), why }
    }
}

/// A face without its sockets. Faces may share rules and a ledger.
pub(super) struct Pipeline<F> {
    pub(super) rules: Arc<Rules>,
    pub(super) ledger: Arc<Book>,
    pub(super) face: F,
    pub(super) now: Now,
}

/// The connection has been taken from the HTTP server: it has nothing more to say.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut")]
pub(super) struct Cut;

/// What comes out of the pipeline.
enum Outcome {
    Answered(Answer),
    /// The answer goes out in a way of its own.
    Delivered(Answer, Wire),
    /// There is no answer.
    Cut(Wire),
}

impl<F: Face> Pipeline<F> {
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        socket: Socket,
    ) -> Result<Response<Full<Bytes>>, Cut> {
        let request = RawRequest::read(request).await.ok_or(Cut)?;
        let attempt = self.ledger.open(&request, (self.now)());
        let outcome = self.process(&request, attempt).await;
        // The ledger is complete before the caller can know.
        match outcome {
            Outcome::Answered(answer) => {
                self.ledger.answered(attempt, answer.status.as_u16());
                Ok(answer.into_response())
            }
            Outcome::Delivered(answer, wire) => {
                self.ledger.answered(attempt, answer.status.as_u16());
                self.ledger.cut(attempt, wire.name());
                let stream = socket.take().ok_or(Cut)?;
                wire.deliver(stream, &answer).await;
                Err(Cut)
            }
            Outcome::Cut(wire) => {
                self.ledger.cut(attempt, wire.name());
                let stream = socket.take().ok_or(Cut)?;
                wire.cut(stream).await;
                Err(Cut)
            }
        }
    }

    async fn process(&self, request: &RawRequest, attempt: u64) -> Outcome {
        let request_id = request.answered_request_id();
        let stamp = |answer: Answer| answer.stamped(&request_id, (self.now)());
        let admitted = match self.admit(request, attempt) {
            Ok(admitted) => admitted,
            Err(problem) => return Outcome::Answered(stamp(Answer::from(problem))),
        };
        let drawn = self.rules.draw_for(request);
        let harmless = Fault::default();
        let fault = match &drawn {
            Some(drawn) => {
                self.ledger.faulted(attempt, Arc::clone(&drawn.label));
                drawn.fault()
            }
            None => &harmless,
        };
        let answer = match self.operate(admitted, request, attempt, fault).await {
            Ok(answer) => stamp(answer),
            Err(wire) => return Outcome::Cut(wire),
        };
        let answer = match &fault.answer {
            Some(change) => change.apply(answer),
            None => answer,
        };
        match fault.wire {
            Some(wire) => Outcome::Delivered(answer, wire),
            None => Outcome::Answered(answer),
        }
    }

    /// Whether the request was read whole and its caller may ask.
    fn admit(&self, request: &RawRequest, attempt: u64) -> Result<F::Admitted, Problem> {
        if let Some(problem) = &request.unread {
            return Err(problem.clone());
        }
        self.face.admit(request).map_err(|Refused { problem, why }| {
            self.ledger.refused(attempt, why);
            problem
        })
    }

    /// The right answer, or how the connection is cut before there is one.
    async fn operate(
        &self,
        admitted: F::Admitted,
        request: &RawRequest,
        attempt: u64,
        fault: &Fault,
    ) -> Result<Answer, Wire> {
        let prepared = match fault.commits() {
            Commit::Before => Some(self.face.prepare(admitted, request, attempt)),
            Commit::Never => None,
        };
        pass(fault, StallPoint::BeforeCommit, CutPoint::BeforeCommit).await?;
        let answer = match prepared {
            Some(Ok(prepared)) => self.face.carry_out(prepared),
            Some(Err(problem)) => Answer::from(problem),
            None => Answer::empty(StatusCode::OK),
        };
        pass(fault, StallPoint::AfterCommit, CutPoint::AfterCommit).await?;
        Ok(answer)
    }
}

async fn pass(fault: &Fault, stall: StallPoint, cut: CutPoint) -> Result<(), Wire> {
    if let Some(pause) = fault.stalls_at(stall) {
        sleep(pause).await;
    }
    fault.cuts_at(cut).map_or(Ok(()), Err)
}
