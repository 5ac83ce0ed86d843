//! Errors in one line.

use std::error::Error;
use std::fmt;

use crate::io::limits;

/// An error and its causes in one line, with what helps where that is known.
pub(super) struct Chain<'a>(pub(super) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        match limits::remedy(self.0) {
            Some(remedy) => write!(formatter, ": {remedy}"),
            None => Ok(()),
        }
    }
}
