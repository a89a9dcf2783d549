//! The contract's translation, both ways, held against tables that are written by hand: nothing here asks
//! the code under test what is right.

mod case;
mod parsing;
mod requests;
mod resources;
mod statuses;
mod tag;
