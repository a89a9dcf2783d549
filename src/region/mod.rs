//! Regions and realms as data.
