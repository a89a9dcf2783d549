//! The life of a request: read, verified, matched with a fault, carried out, answered or cut. One straight
//! line; a request without a fault goes the same way with a fault that does nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::Now;
use super::answer::Answer;
use super::fault::{Commit, CutPoint, Fault, StallPoint, Wire};
use super::identity::Identity;
use super::ledger::Book;
use super::operation::Prepared;
use super::problem::Problem;
use super::request::RawRequest;
use super::rules::Rules;
use super::socket::Socket;
use super::store::Store;
use super::verify::Verifier;

/// The sandbox without its sockets.
pub(super) struct Oci {
    pub(super) rules: Rules,
    pub(super) ledger: Arc<Book>,
    verifier: Verifier,
    store: Arc<Store>,
    now: Now,
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

impl Oci {
    pub(super) fn new(identity: &Identity, now: Now, stage: Duration) -> Oci {
        let ledger = Arc::new(Book::default());
        let compartment = identity.tenancy().to_owned();
        Oci {
            rules: Rules::default(),
            verifier: Verifier::new(identity),
            store: Arc::new(Store::new(compartment, Arc::clone(&now), stage, Arc::clone(&ledger))),
            ledger,
            now,
        }
    }

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
        if let Err(problem) = self.admit(request, attempt) {
            return Outcome::Answered(stamp(Answer::from(problem)));
        }
        let drawn = self.rules.draw_for(request);
        let harmless = Fault::default();
        let fault = match &drawn {
            Some(drawn) => {
                self.ledger.faulted(attempt, Arc::clone(&drawn.label));
                drawn.fault()
            }
            None => &harmless,
        };
        let answer = match self.operate(request, attempt, fault).await {
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

    /// Whether the request was read whole and its caller is known.
    fn admit(&self, request: &RawRequest, attempt: u64) -> Result<(), Problem> {
        if let Some(problem) = &request.unread {
            return Err(problem.clone());
        }
        self.verifier.verify(request, (self.now)()).map_err(|refusal| {
            self.ledger.refused(attempt, refusal.to_string());
            Problem::not_authenticated(format!("Not authenticated: {refusal}."))
        })
    }

    /// The right answer, or how the connection is cut before there is one.
    async fn operate(&self, request: &RawRequest, attempt: u64, fault: &Fault) -> Result<Answer, Wire> {
        let prepared = match fault.commits() {
            Commit::Before => Some(Prepared::new(request, attempt, &self.store)),
            Commit::Never => None,
        };
        pass(fault, StallPoint::BeforeCommit, CutPoint::BeforeCommit).await?;
        let answer = match prepared {
            Some(Ok(prepared)) => prepared.carry_out(&self.store),
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
