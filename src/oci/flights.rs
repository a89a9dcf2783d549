//! Calls that come together with one retry token share one exchange with OCI.
//!
//! A saving, no guarantee: what keeps a backup from being made twice is the token at OCI.

use super::deadline::Deadline;
use super::exchange::Exchange;
use super::operation::Operation;
use super::request::Request;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Whether calls with one token share an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They do.
    On,
    /// Each has its own, as if each had come to another replica.
    Off,
}

/// The exchanges that calls may still join, by what is asked for and the token: as many as calls in flight.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    target: String,
    token: String,
}

/// What a call found.
pub(super) enum Boarded<O: Operation> {
    /// Nobody with its token: its own exchange is to be carried out.
    First(Arc<Exchange<O>>),
    /// An exchange that is on its way.
    Joined(Arc<Exchange<O>>),
    /// Another request goes under its token; its own is given back.
    Reused(Box<Exchange<O>>),
}

impl Flights {
    /// Joins the exchange with the token of `new`, or makes `new` the one to be joined.
    pub(super) fn board<O: Operation>(&self, new: Exchange<O>, deadline: Deadline) -> Boarded<O> {
        let Some(key) = Key::of(new.request()) else { return Boarded::First(Arc::new(new)) };
        let mut flights = self.lock();
        let known = flights.get(&key).cloned().and_then(|flight| flight.downcast::<Exchange<O>>().ok());
        match known {
            Some(flight) if flight.request().body != new.request().body => Boarded::Reused(Box::new(new)),
            Some(flight) if flight.join(deadline) => Boarded::Joined(flight),
            _ => {
                let new = Arc::new(new);
                flights.insert(key, Arc::<Exchange<O>>::clone(&new));
                Boarded::First(new)
            }
        }
    }

    /// Nobody joins `flight` any more.
    pub(super) fn leave<O: Operation>(&self, flight: &Arc<Exchange<O>>) {
        let Some(key) = Key::of(flight.request()) else { return };
        let mut flights = self.lock();
        let ours =
            |known: &Arc<dyn Any + Send + Sync>| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(flight));
        if flights.get(&key).is_some_and(ours) {
            flights.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<dyn Any + Send + Sync>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// A token that the gateway made is nobody else's.
    fn of(request: &Request) -> Option<Self> {
        let token = request.idempotency.callers_token()?;
        Some(Self { target: request.target.clone(), token: token.as_str().to_owned() })
    }
}
