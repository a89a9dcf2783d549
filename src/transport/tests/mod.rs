//! The loop with all that calls share, held against plans of what befalls them.

mod plans;
