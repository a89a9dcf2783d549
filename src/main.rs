//! Parses the command line and hands over to one file of `commands`.

fn main() {}
