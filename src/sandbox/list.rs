//! One page of a list: filters, order, where it goes on.

use std::cmp::Ordering;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::backup::Backup;
use super::problem::Problem;
use super::query::Query;
use super::resource::Resource;

/// OCI's own default is unknown; this is its appliance's.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

const STATES: [&str; 6] =
    ["CREATING", "AVAILABLE", "TERMINATING", "TERMINATED", "FAULTY", "REQUEST_RECEIVED"];

/// What a list asks for, all of it valid.
pub(super) struct Selection {
    resource: &'static Resource,
    compartment: String,
    source: Option<String>,
    copied_from: Option<String>,
    display_name: Option<String>,
    lifecycle: Option<String>,
    order: fn(&Backup, &Backup) -> Ordering,
    limit: usize,
    /// The serial of the last backup already shown.
    after: Option<u64>,
}

impl Selection {
    pub(super) fn parse(resource: &'static Resource, query: &str) -> Result<Selection, Problem> {
        let query = Query::parse(query)?;
        let known = [
            "compartmentId",
            resource.source,
            resource.copied_from,
            "displayName",
            "lifecycleState",
            "sortBy",
            "sortOrder",
            "limit",
            "page",
        ];
        if let Some(name) = query.stranger(&known) {
            return Err(Problem::invalid_parameter(format!("{name} is not known here.")));
        }
        let text = |name: &str| query.get(name).map(str::to_owned);
        Ok(Selection {
            resource,
            compartment: text("compartmentId")
                .filter(|id| !id.is_empty())
                .ok_or_else(|| Problem::missing_parameter("compartmentId is required."))?,
            source: text(resource.source),
            copied_from: text(resource.copied_from),
            display_name: text("displayName"),
            lifecycle: lifecycle(&query)?,
            order: order(&query)?,
            limit: limit(&query)?,
            after: query.get("page").map(parse_page).transpose()?,
        })
    }

    /// The backups to show, and the token of the next page when there is one. `all` are in order of
    /// their serials.
    pub(super) fn page<'b>(
        &self,
        all: &'b [Backup],
        compartment: &str,
        now: SystemTime,
        stage: Duration,
    ) -> Result<(Vec<&'b Backup>, Option<String>), Problem> {
        let last = self.after.map(|serial| resume(all, serial)).transpose()?;
        // By the order and not by a position: what changed its state meanwhile must not cost an entry.
        let beyond = |backup: &Backup| last.is_none_or(|last| (self.order)(last, backup) == Ordering::Less);
        let here = self.compartment == compartment;
        let wanted = |backup: &&Backup| here && self.admits(backup, now, stage) && beyond(backup);
        let mut found: Vec<&Backup> = all.iter().filter(wanted).collect();
        found.sort_by(|one, other| (self.order)(one, other));
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| more).map(|last| format!("{:016x}", last.serial));
        Ok((found, next))
    }

    fn admits(&self, backup: &Backup, now: SystemTime, stage: Duration) -> bool {
        let fits =
            |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        std::ptr::eq(backup.resource, self.resource)
            && fits(&self.source, backup.source())
            // Nothing here is a copy.
            && self.copied_from.is_none()
            && fits(&self.display_name, &backup.display_name())
            && fits(&self.lifecycle, backup.lifecycle(now, stage).name())
    }
}

/// OCI: "the state value is case-insensitive".
fn lifecycle(query: &Query) -> Result<Option<String>, Problem> {
    let Some(wanted) = query.get("lifecycleState") else { return Ok(None) };
    match STATES.iter().find(|state| state.eq_ignore_ascii_case(wanted)) {
        Some(state) => Ok(Some((*state).to_owned())),
        None => {
            Err(Problem::invalid_parameter(format!("lifecycleState must be one of {}.", STATES.join(", "))))
        }
    }
}

/// OCI: "Default order for TIMECREATED is descending. Default order for DISPLAYNAME is ascending. The
/// DISPLAYNAME sort order is case sensitive."
fn order(query: &Query) -> Result<fn(&Backup, &Backup) -> Ordering, Problem> {
    let newest_first: fn(&Backup, &Backup) -> Ordering = |one, other| age(other, one);
    let z_first: fn(&Backup, &Backup) -> Ordering = |one, other| name(other, one);
    match (query.get("sortBy").unwrap_or("TIMECREATED"), query.get("sortOrder")) {
        ("TIMECREATED", None | Some("DESC")) => Ok(newest_first),
        ("TIMECREATED", Some("ASC")) => Ok(age),
        ("DISPLAYNAME", None | Some("ASC")) => Ok(name),
        ("DISPLAYNAME", Some("DESC")) => Ok(z_first),
        ("TIMECREATED" | "DISPLAYNAME", Some(_)) => {
            Err(Problem::invalid_parameter("sortOrder must be ASC or DESC."))
        }
        _ => Err(Problem::invalid_parameter("sortBy must be TIMECREATED or DISPLAYNAME.")),
    }
}

fn age(one: &Backup, other: &Backup) -> Ordering {
    (one.received, one.serial).cmp(&(other.received, other.serial))
}

fn name(one: &Backup, other: &Backup) -> Ordering {
    (one.display_name(), one.serial).cmp(&(other.display_name(), other.serial))
}

fn limit(query: &Query) -> Result<usize, Problem> {
    let Some(limit) = query.get("limit") else { return Ok(DEFAULT_LIMIT) };
    match usize::from_str(limit) {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid_parameter(format!("limit must be 1 to {MAX_LIMIT}."))),
    }
}

fn parse_page(token: &str) -> Result<u64, Problem> {
    u64::from_str_radix(token, 16).map_err(|_| foreign_page())
}

fn resume(all: &[Backup], serial: u64) -> Result<&Backup, Problem> {
    usize::try_from(serial).ok().and_then(|serial| all.get(serial)).ok_or_else(foreign_page)
}

fn foreign_page() -> Problem {
    Problem::invalid_parameter("page is not a token of this list.")
}
