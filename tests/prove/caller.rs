//! A caller as the README tells callers to be: one token for one backup, and the same call again as long as the
//! answer allows it.

use crate::began::Began;
use crate::fleet::Fleet;
use crate::gateway::Client;
use crate::history::Answer;
use crate::history::Call;
use crate::history::Failure;
use crate::history::Outcome;
use crate::history::Share;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::error::Error;
use std::time::Duration;
use tonic::Code;
use tonic::Request;
use tonic::Status;
use tonic_types::StatusExt;

/// A caller comes back no later than this, whatever it is asked for: earlier than the gateway likes.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// So often a caller tries while things go wrong; what is still open then waits until all is quiet.
const TRIES: usize = 6;
/// Of most calls.
const DEADLINE: Duration = Duration::from_secs(10);
/// Of some calls: shorter than an attempt may take.
const SHORT_DEADLINE: Duration = Duration::from_millis(400);
/// One create of so many has the short one.
const SHORT_OF: u32 = 8;
/// So long after its deadline a call is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// One backup that is wanted, and what was tried to get it.
pub(crate) struct Create {
    number: usize,
    token: String,
    deadline: Duration,
    random: StdRng,
    calls: Vec<Call>,
}

impl Create {
    /// Everything about it follows from the run's seed and its number.
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed.rotate_left(32) ^ u64::try_from(number).unwrap());
        let deadline = if random.random_ratio(1, SHORT_OF) { SHORT_DEADLINE } else { DEADLINE };
        Self { number, token: format!("prove-{seed:x}-{number}"), deadline, random, calls: Vec::new() }
    }

    /// The same without a short deadline.
    pub(crate) fn patient(seed: u64, number: usize) -> Self {
        Self { deadline: DEADLINE, ..Self::new(seed, number) }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.calls.last(), Some(Call { answer: Answer::Made(_), .. }))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn into_calls(self) -> Vec<Call> {
        self.calls
    }

    /// Calls until there is a backup, or an answer that forbids it, or enough.
    pub(crate) async fn insist(&mut self, fleet: &Fleet, began: Began) {
        for _ in 0..TRIES {
            match self.call(fleet, began).await {
                Next::Repeat(wait) => tokio::time::sleep(wait.mul_f64(self.random.random())).await,
                Next::Stop => return,
            }
        }
    }

    /// One call, by a gateway of its choice.
    pub(crate) async fn call(&mut self, fleet: &Fleet, began: Began) -> Next {
        let gateway = self.random.random_range(0..fleet.size());
        let client = fleet.client(gateway, self.number);
        let request_id = format!("create-{}-{}", self.number, self.calls.len());
        let (start, deadline) = (began.elapsed(), self.deadline);
        let answer = create(client, self.request(&request_id)).await;
        let end = began.elapsed();
        let answer = match answer {
            // Only tonic's server says that, at the deadline.
            Answer::Failed(Failure { code: Code::Cancelled, outcome: None, .. }) => Answer::CutOff,
            answer => answer,
        };
        let next = Next::after(&answer);
        self.calls.push(Call {
            token: self.token.clone(),
            request_id,
            start,
            end,
            deadline,
            machine: Share::Ours,
            answer,
        });
        next
    }

    fn request(&self, request_id: &str) -> Request<CreateVolumeBackupRequest> {
        let mut request = Request::new(CreateVolumeBackupRequest {
            // Another backup of the same volume would have to wait for this one.
            volume_id: format!("ocid1.volume.oc1.iad.prove{}", self.number),
            retry_token: Some(self.token.clone()),
            ..CreateVolumeBackupRequest::default()
        });
        request.metadata_mut().insert("opc-request-id", request_id.parse().unwrap());
        request.set_timeout(self.deadline);
        request
    }
}

async fn create(mut client: Client, request: Request<CreateVolumeBackupRequest>) -> Answer {
    let patience = DEADLINE + PATIENCE;
    match tokio::time::timeout(patience, client.create_volume_backup(request)).await {
        Err(_elapsed) => Answer::Lost(format!("no answer within {patience:?}")),
        Ok(Ok(response)) => Answer::Made(response.into_inner().volume_backup.unwrap_or_default().id),
        Ok(Err(status)) => told(&status),
    }
}

/// What a status tells. One that came over the wire has no source.
fn told(status: &Status) -> Answer {
    if status.source().is_some() {
        return Answer::Lost(status.message().to_owned());
    }
    let details = status.get_error_details();
    let info = details.error_info();
    let field = |name: &str| info.and_then(|info| info.metadata.get(name));
    Answer::Failed(Failure {
        code: status.code(),
        reason: info.map_or_else(|| status.message().to_owned(), |info| info.reason.clone()),
        outcome: field("outcome").and_then(|name| outcome(name)),
        attempts: field("attempts").and_then(|count| count.parse().ok()).unwrap_or_default(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
    })
}

fn outcome(name: &str) -> Option<Outcome> {
    match name {
        "NOT_STARTED" => Some(Outcome::NotStarted),
        "STARTED" => Some(Outcome::Started),
        "UNKNOWN" => Some(Outcome::Unknown),
        _ => None,
    }
}

/// What a caller does after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same call again, after at most so long.
    Repeat(Duration),
    /// Nothing: it has its backup, or may not try again.
    Stop,
}

impl Next {
    fn after(answer: &Answer) -> Self {
        match answer {
            Answer::Made(_) => Self::Stop,
            Answer::Lost(_) | Answer::CutOff => Self::Repeat(LONGEST_WAIT),
            Answer::Failed(failure) => match (failure.retry_after, failure.code, failure.outcome) {
                (Some(asked), _, _) => Self::Repeat(asked.min(LONGEST_WAIT)),
                (None, Code::DeadlineExceeded, _) => Self::Repeat(LONGEST_WAIT),
                (None, Code::Unavailable | Code::Unknown, Some(Outcome::Unknown | Outcome::Started)) => {
                    Self::Repeat(LONGEST_WAIT)
                }
                (None, _, _) => Self::Stop,
            },
        }
    }
}
