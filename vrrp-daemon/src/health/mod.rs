//! To come.
#![deny(clippy::disallowed_methods)]
