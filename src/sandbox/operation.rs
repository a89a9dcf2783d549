//! One operation of the API in two steps: everything that can be judged beforehand, then the deed.
//!
//! Between the two a fault may pause or cut; a retry token is in flight for that long.

use std::sync::Arc;

use http::Method;

use super::answer::Answer;
use super::list::Selection;
use super::problem::Problem;
use super::request::RawRequest;
use super::resource::{self, Resource, Said};
use super::store::{Claim, Claimed, Origin, Store};

/// OCI's versioned base path of the Core Services API.
const BASE: &str = "/20160918/";

/// An operation that only has to be carried out.
pub(super) struct Prepared {
    deed: Deed,
    origin: Origin,
}

enum Deed {
    Create {
        resource: &'static Resource,
        said: Said,
        claim: Option<Claim>,
    },
    /// A get, or a create whose token has made this backup before.
    Get {
        resource: &'static Resource,
        id: Arc<str>,
    },
    List(Selection),
    Update {
        resource: &'static Resource,
        id: Arc<str>,
        said: Said,
        if_match: Option<String>,
    },
    Delete {
        resource: &'static Resource,
        id: Arc<str>,
        if_match: Option<String>,
    },
}

impl Prepared {
    pub(super) fn new(request: &RawRequest, attempt: u64, store: &Arc<Store>) -> Result<Prepared, Problem> {
        let origin = Origin { attempt, body_sha256: request.body_sha256 };
        Ok(Prepared { deed: deed(request, store)?, origin })
    }

    pub(super) fn carry_out(self, store: &Store) -> Answer {
        let origin = self.origin;
        let done = match self.deed {
            Deed::Create { resource, said, claim } => store.create(resource, said, claim.as_ref(), origin),
            Deed::Get { resource, id } => store.get(resource, &id),
            Deed::List(selection) => store.list(&selection),
            Deed::Update { resource, id, said, if_match } => {
                store.update(resource, &id, said, if_match.as_deref(), origin)
            }
            Deed::Delete { resource, id, if_match } => {
                store.delete(resource, &id, if_match.as_deref(), origin)
            }
        };
        done.unwrap_or_else(Answer::from)
    }
}

fn deed(request: &RawRequest, store: &Arc<Store>) -> Result<Deed, Problem> {
    let unknown = || Problem::no_such_operation(format!("There is no operation at {}.", request.path()));
    let path = request.path().strip_prefix(BASE).ok_or_else(unknown)?;
    let (collection, id) =
        path.split_once('/').map_or((path, None), |(collection, id)| (collection, Some(id)));
    let resource = Resource::of_collection(collection).ok_or_else(unknown)?;
    if id.is_some_and(|id| id.is_empty() || id.contains('/')) {
        return Err(unknown());
    }
    let if_match = || request.text("if-match").map(str::to_owned);
    match (&request.method, id.map(Arc::from)) {
        (&Method::POST, None) => create(request, resource, store),
        (&Method::GET, None) => Ok(Deed::List(Selection::parse(resource, request.query())?)),
        (&Method::GET, Some(id)) => Ok(Deed::Get { resource, id }),
        (&Method::PUT, Some(id)) => {
            let said = resource::read_body(&request.body, resource.update)?;
            Ok(Deed::Update { resource, id, said, if_match: if_match() })
        }
        (&Method::DELETE, Some(id)) => Ok(Deed::Delete { resource, id, if_match: if_match() }),
        (_, None) => Err(Problem::method_not_allowed("GET, POST")),
        (_, Some(_)) => Err(Problem::method_not_allowed("GET, PUT, DELETE")),
    }
}

fn create(request: &RawRequest, resource: &'static Resource, store: &Arc<Store>) -> Result<Deed, Problem> {
    let said = resource::read_body(&request.body, resource.creation)?;
    let claim = match retry_token(request)? {
        None => None,
        Some(token) => match store.claim(token, request.content())? {
            Claimed::First(claim) => Some(claim),
            Claimed::Again(id) => return Ok(Deed::Get { resource, id }),
        },
    };
    Ok(Deed::Create { resource, said, claim })
}

/// 1 to 64 characters (the limit is that of the same API in Oracle's appliance).
fn retry_token(request: &RawRequest) -> Result<Option<&str>, Problem> {
    if !request.headers.contains_key("opc-retry-token") {
        return Ok(None);
    }
    match request.text("opc-retry-token").filter(|token| (1..=64).contains(&token.len())) {
        Some(token) => Ok(Some(token)),
        None => Err(Problem::invalid_parameter("opc-retry-token must be one header of 1 to 64 characters.")),
    }
}
