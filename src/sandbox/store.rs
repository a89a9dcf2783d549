//! What exists: backups and the retry tokens that guard their creation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::Value;

use super::Now;
use super::answer::{Answer, OPC_NEXT_PAGE};
use super::backup::{Backup, Lifecycle};
use super::identity::random_base32;
use super::ledger::{Book, Change};
use super::list::Selection;
use super::problem::Problem;
use super::resource::{Resource, Said, unique_part};

/// OCI: "Retry tokens expire after 24 hours".
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Store {
    shelf: Mutex<Shelf>,
    book: Arc<Book>,
    compartment: String,
    now: Now,
    stage: Duration,
}

#[derive(Default)]
struct Shelf {
    /// By serial.
    backups: Vec<Backup>,
    by_id: HashMap<Arc<str>, usize>,
    /// The newest backup of each volume: the only one that may still be under way.
    newest: HashMap<Box<str>, usize>,
    tokens: HashMap<Box<str>, Token>,
}

struct Token {
    since: SystemTime,
    /// Path and body of the request it came with first.
    content: [u8; 32],
    holder: Holder,
}

enum Holder {
    /// The first request is still being carried out.
    InFlight,
    Backup(usize),
}

/// Who asks for a change, for the ledger.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) attempt: u64,
    pub(super) body_sha256: [u8; 32],
}

/// What a retry token leads to.
pub(super) enum Claimed {
    /// Its first use: whoever holds this may create.
    First(Claim),
    /// The backup it made before.
    Again(Arc<str>),
}

/// A token whose request is in flight. Dropped without a commit, the token is free again.
pub(super) struct Claim {
    store: Arc<Store>,
    token: Box<str>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut shelf = self.store.shelf();
        if matches!(shelf.tokens.get(&self.token), Some(Token { holder: Holder::InFlight, .. })) {
            shelf.tokens.remove(&self.token);
        }
    }
}

impl Store {
    pub(super) fn new(compartment: String, now: Now, stage: Duration, book: Arc<Book>) -> Store {
        Store { shelf: Mutex::default(), book, compartment, now, stage }
    }

    /// What OCI answers while the first request of a token is in flight was never seen: IncorrectState is
    /// assumed.
    pub(super) fn claim(self: &Arc<Store>, token: &str, content: [u8; 32]) -> Result<Claimed, Problem> {
        let now = (self.now)();
        let mut shelf = self.shelf();
        let expired = |token: &Token| now.duration_since(token.since).is_ok_and(|age| age >= TOKEN_LIFE);
        if let Some(known) = shelf.tokens.get(token).filter(|known| !expired(known)) {
            if known.content != content {
                return Err(Problem::invalidated_retry_token("The retry token was used with other content."));
            }
            let Holder::Backup(serial) = known.holder else {
                return Err(Problem::incorrect_state("A request with this retry token is in flight."));
            };
            return match shelf.backups.get(serial).filter(|backup| backup.deleted.is_none()) {
                Some(backup) => Ok(Claimed::Again(Arc::clone(&backup.id))),
                None => Err(Problem::invalidated_retry_token("What the retry token made has been deleted.")),
            };
        }
        shelf.tokens.insert(token.into(), Token { since: now, content, holder: Holder::InFlight });
        Ok(Claimed::First(Claim { store: Arc::clone(self), token: token.into() }))
    }

    pub(super) fn create(
        &self,
        resource: &'static Resource,
        said: Said,
        claim: Option<&Claim>,
        origin: Origin,
    ) -> Result<Answer, Problem> {
        let now = (self.now)();
        let mut shelf = self.shelf();
        let source = said.get(resource.source).and_then(Value::as_str).unwrap_or_default();
        if unique_part(source).starts_with("missing") {
            return Err(Problem::not_found());
        }
        if shelf.newest_of(source).is_some_and(|newest| newest.is_under_way(now, self.stage)) {
            return Err(Problem::conflict(format!("A backup of {source} is in progress.")));
        }
        let source: Box<str> = source.into();
        let id: Arc<str> = format!("ocid1.{}.oc1.iad.{}", resource.id_type, random_base32(60)).into();
        let serial = shelf.backups.len();
        shelf.by_id.insert(Arc::clone(&id), serial);
        shelf.newest.insert(source.clone(), serial);
        if let Some(token) = claim.and_then(|claim| shelf.tokens.get_mut(&claim.token)) {
            token.holder = Holder::Backup(serial);
        }
        let number = u64::try_from(serial).unwrap_or(u64::MAX);
        let id_made = Arc::clone(&id);
        shelf.backups.push(Backup {
            resource,
            id,
            serial: number,
            said,
            received: now,
            deleted: None,
            version: 0,
        });
        self.book.commit(Change {
            time: now,
            attempt: origin.attempt,
            operation: "create",
            token: claim.map(|claim| claim.token.clone()),
            resource: resource.collection,
            id: Arc::clone(&id_made),
            volume_id: source,
            body_sha256: origin.body_sha256,
        });
        self.show(shelf.find(resource, &id_made)?, now)
    }

    pub(super) fn get(&self, resource: &'static Resource, id: &str) -> Result<Answer, Problem> {
        self.show(self.shelf().find(resource, id)?, (self.now)())
    }

    pub(super) fn list(&self, selection: &Selection) -> Result<Answer, Problem> {
        let now = (self.now)();
        let shelf = self.shelf();
        let (page, next) = selection.page(&shelf.backups, &self.compartment, now, self.stage)?;
        let items = page.into_iter().map(|backup| backup.json(&self.compartment, now, self.stage)).collect();
        let answer = Answer::json(StatusCode::OK, &Value::Array(items));
        Ok(match next {
            Some(token) => answer.with(OPC_NEXT_PAGE, &token),
            None => answer,
        })
    }

    pub(super) fn update(
        &self,
        resource: &'static Resource,
        id: &str,
        said: Said,
        if_match: Option<&str>,
        origin: Origin,
    ) -> Result<Answer, Problem> {
        let now = (self.now)();
        let mut shelf = self.shelf();
        let backup = shelf.find_changeable(resource, id, if_match)?;
        backup.said.extend(said);
        backup.version += 1;
        self.book.commit(change_of(backup, "update", now, origin));
        self.show(backup, now)
    }

    pub(super) fn delete(
        &self,
        resource: &'static Resource,
        id: &str,
        if_match: Option<&str>,
        origin: Origin,
    ) -> Result<Answer, Problem> {
        let now = (self.now)();
        let mut shelf = self.shelf();
        let backup = shelf.find_changeable(resource, id, if_match)?;
        backup.deleted = Some(now);
        backup.version += 1;
        self.book.commit(change_of(backup, "delete", now, origin));
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    fn show(&self, backup: &Backup, now: SystemTime) -> Result<Answer, Problem> {
        let body = backup.json(&self.compartment, now, self.stage);
        Ok(Answer::json(StatusCode::OK, &body).with_etag(&backup.etag()))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn newest_of(&self, source: &str) -> Option<&Backup> {
        self.newest.get(source).and_then(|serial| self.backups.get(*serial))
    }

    fn find(&self, resource: &'static Resource, id: &str) -> Result<&Backup, Problem> {
        let found = self.by_id.get(id).and_then(|serial| self.backups.get(*serial));
        found.filter(|backup| std::ptr::eq(backup.resource, resource)).ok_or_else(Problem::not_found)
    }

    /// The backup when it is not deleted and the caller's `if-match`, if any, names its etag.
    fn find_changeable(
        &mut self,
        resource: &'static Resource,
        id: &str,
        if_match: Option<&str>,
    ) -> Result<&mut Backup, Problem> {
        let found = self.by_id.get(id).and_then(|serial| self.backups.get_mut(*serial));
        let usable =
            |backup: &&mut Backup| std::ptr::eq(backup.resource, resource) && backup.deleted.is_none();
        let backup = found.filter(usable).ok_or_else(Problem::not_found)?;
        match if_match {
            Some(etag) if etag != "*" && etag != backup.etag() => Err(Problem::no_etag_match()),
            _ => Ok(backup),
        }
    }
}

impl Backup {
    fn is_under_way(&self, now: SystemTime, stage: Duration) -> bool {
        matches!(self.lifecycle(now, stage), Lifecycle::RequestReceived | Lifecycle::Creating)
    }
}

fn change_of(backup: &Backup, operation: &'static str, time: SystemTime, origin: Origin) -> Change {
    Change {
        time,
        attempt: origin.attempt,
        operation,
        token: None,
        resource: backup.resource.collection,
        id: Arc::clone(&backup.id),
        volume_id: backup.source().into(),
        body_sha256: origin.body_sha256,
    }
}
