//! Keys as they are told of: by diagnostics, and by the sample.

/// A key as documentation tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is for, line by line.
    pub(crate) documentation: Vec<&'static str>,
    /// What may stand there, if the documentation does not say it: `1 to 255`.
    pub(crate) accepts: String,
    /// Whether it is there.
    pub(crate) presence: Presence,
    /// The keys below it, if it is a table.
    pub(crate) keys: Vec<Self>,
}

/// Whether a key is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It must be, for example with this value; the sample shows another, if there is one that says more.
    Required {
        example: &'static str,
        shown: Option<&'static str>,
    },
    /// Without it, it has this value; the sample shows another, if there is one that says more.
    Default {
        default: String,
        shown: Option<&'static str>,
    },
    /// It may be, for example with this value, which the sample shows in force or commented out.
    Optional { example: &'static str, shown: bool },
    /// It is a table, or an array of tables, with this header.
    Table { header: &'static str },
}
