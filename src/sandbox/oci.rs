//! The block volume API: who signed a request, and which operation it asks for.

use std::sync::Arc;
use std::time::Duration;

use super::Now;
use super::answer::Answer;
use super::identity::Identity;
use super::issuer::token::Mint;
use super::ledger::Book;
use super::operation::Prepared;
use super::pipeline::{Face, Pipeline, Refused};
use super::problem::Problem;
use super::request::RawRequest;
use super::rules::Rules;
use super::store::Store;
use super::verify::Verifier;

pub(super) struct Oci {
    pub(super) verifier: Verifier,
    store: Arc<Store>,
    now: Now,
}

impl Oci {
    pub(super) fn pipeline(
        identity: &Identity,
        tokens: Option<Arc<Mint>>,
        now: Now,
        stage: Duration,
    ) -> Pipeline<Oci> {
        let ledger = Arc::new(Book::default());
        let compartment = identity.tenancy().to_owned();
        let store = Store::new(compartment, Arc::clone(&now), stage, Arc::clone(&ledger));
        let verifier = Verifier::new(identity, tokens);
        let face = Oci { verifier, store: Arc::new(store), now: Arc::clone(&now) };
        Pipeline { rules: Arc::new(Rules::default()), ledger, face, now }
    }
}

impl Face for Oci {
    type Admitted = ();
    type Prepared = Prepared;

    fn admit(&self, request: &RawRequest) -> Result<(), Refused> {
        self.verifier.verify(request, (self.now)()).map_err(Refused::unknown_caller)
    }

    fn prepare(&self, (): (), request: &RawRequest, attempt: u64) -> Result<Prepared, Problem> {
        Prepared::new(request, attempt, &self.store)
    }

    fn carry_out(&self, prepared: Prepared) -> Answer {
        prepared.carry_out(&self.store)
    }
}
