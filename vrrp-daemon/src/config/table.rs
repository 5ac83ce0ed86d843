//! The tables of keys: one for each table of the file, and everything about a key is in its line.
//!
//! ```text
//! table! {
//!     /// A piece of cake.
//!     struct RawCake in "[cake]" {
//!         /// What it is called.
//!         name: Field<Name> = required(r#""carrot""#),
//!         /// How many people it feeds.
//!         people: Field<Weight> = default(Weight::new(4)).shown("12"),
//!         /// Who made it.
//!         baker: Optional<Name> = optional(r#""Ada""#),
//!     }
//! }
//! impl TableCheck for RawCake {}
//! ```
//!
//! declares a struct with these fields, its reader (it is a [`ConfigValue`], which other tables can have as the type of
//! a key) and the list of its keys with their documentation. What may stand in a field, the field's type knows; whether
//! the key must be there, the expression behind it says. Of a doc comment, users read the first paragraph.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::key::{Key, Presence};
use super::section::{Field, Problems, Reported, Section, Value};
use super::value::{Asked, ConfigValue, WriteToml};

/// The field of a key that need not be there.
pub(super) type Optional<T> = Result<Option<Spanned<T>>, Reported>;

/// The field of a table that is there at most once.
pub(super) type Single<T> = Result<T, Reported>;

/// The field of tables of which there may be several.
pub(super) type Several<T> = Vec<Result<T, Reported>>;

/// A table of the file, as [`table!`] declares it.
pub(super) trait Table: TableCheck {
    /// How the table is written, for people: its header, or the whole of an inline table.
    const HEADER: &'static str;
    /// What it is for, line by line.
    const DOCUMENTATION: &'static [&'static str];

    /// Reads all keys.
    fn read_keys(section: &mut Section<'_, '_>) -> Self;

    /// All keys.
    fn list_keys() -> Vec<Key>;
}

/// What must hold of a table as a whole, beyond what each key can know.
pub(super) trait TableCheck: Sized {
    /// Reports what does not; a field that cannot be used for it becomes [`Reported`].
    fn check(&mut self, problems: &mut Problems) {
        let _ = problems;
    }
}

impl<T: Table> ConfigValue for T {
    fn accepts() -> String {
        String::new()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        Ok(read(Section::open(value, asked.key, T::HEADER, problems)?))
    }

    fn keys() -> Vec<Key> {
        T::list_keys()
    }
}

/// Reads the whole of `section`.
pub(super) fn read<T: Table>(mut section: Section<'_, '_>) -> T {
    let mut table = T::read_keys(&mut section);
    table.check(section.close());
    table
}

/// What the line of a key says about its being there: how it is read into a field of type `F`, and told of.
#[diagnostic::on_unimplemented(
    message = "a key of type `{F}` cannot be declared with `{Self}`",
    note = "`Field` goes with `required(\"…\")` or `default(value)`, `Optional` with `optional(\"…\")`, `Single` with \
            `single()`, `Several` with `several()`"
)]
pub(super) trait Declaration<F> {
    /// Reads `key` of `section`.
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> F;

    /// What there is to say about `key`, whose doc comment is `comment`.
    fn describe(self, key: &'static str, comment: &'static [&'static str]) -> Key;
}

/// A key of type `T`, as documentation tells of it.
fn describe<T: ConfigValue>(name: &'static str, comment: &'static [&'static str], presence: Presence) -> Key {
    Key {
        name,
        documentation: first_paragraph(comment),
        accepts: T::accepts(),
        presence,
        keys: T::keys(),
    }
}

/// What users read of a doc comment.
fn first_paragraph(comment: &[&'static str]) -> Vec<&'static str> {
    let lines = comment.iter().map(|line| line.trim());
    lines.take_while(|line| !line.is_empty()).collect()
}

/// A key that must be there.
pub(super) struct Required {
    example: &'static str,
    shown: Option<&'static str>,
}

/// The key must be there; `example` is a value that it might have, as TOML.
pub(super) const fn required(example: &'static str) -> Required {
    Required { example, shown: None }
}

impl Required {
    /// Has the sample show `value`, as TOML, in the place of the example.
    pub(super) const fn shown(self, value: &'static str) -> Self {
        Self {
            shown: Some(value),
            ..self
        }
    }
}

impl<T: ConfigValue> Declaration<Field<T>> for Required {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Field<T> {
        let example = self.example;
        section.required(key, example, |value, problems| {
            T::read(&Asked { key, example }, value, problems)
        })
    }

    fn describe(self, key: &'static str, comment: &'static [&'static str]) -> Key {
        let Self { example, shown } = self;
        describe::<T>(key, comment, Presence::Required { example, shown })
    }
}

/// A key that must be there, unless another one is.
pub(super) struct RequiredUnless {
    other: &'static str,
    example: &'static str,
}

/// The key must be there, unless the key `other` is; `example` is a value that it might have, as TOML.
pub(super) const fn required_unless(other: &'static str, example: &'static str) -> RequiredUnless {
    RequiredUnless { other, example }
}

impl<T: ConfigValue> Declaration<Optional<T>> for RequiredUnless {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Optional<T> {
        let Self { other, example } = self;
        section.required_unless(key, other, example, |value, problems| {
            T::read(&Asked { key, example }, value, problems)
        })
    }

    fn describe(self, key: &'static str, comment: &'static [&'static str]) -> Key {
        let Self { example, .. } = self;
        let shown = None;
        describe::<T>(key, comment, Presence::Required { example, shown })
    }
}

/// A key with a default.
pub(super) struct Default<T> {
    value: T,
    shown: Option<&'static str>,
}

/// Without the key, the field is `value`.
pub(super) const fn default<T>(value: T) -> Default<T> {
    Default { value, shown: None }
}

impl<T> Default<T> {
    /// Has the sample show `value`, as TOML, in the place of the default.
    pub(super) fn shown(self, value: &'static str) -> Self {
        Self {
            shown: Some(value),
            ..self
        }
    }
}

impl<T: WriteToml> Declaration<Field<T>> for Default<T> {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Field<T> {
        let given = section.optional(key, |value, problems| {
            let example = &self.value.to_toml();
            T::read(&Asked { key, example }, value, problems)
        })?;
        Ok(given.unwrap_or_else(|| Spanned::new(section.span(), self.value)))
    }

    fn describe(self, key: &'static str, comment: &'static [&'static str]) -> Key {
        let (default, shown) = (self.value.to_toml(), self.shown);
        describe::<T>(key, comment, Presence::Default { default, shown })
    }
}

/// A key that need not be there, and has no default.
pub(super) struct MayBe {
    example: &'static str,
    shown: bool,
}

/// The key need not be there; `example` is a value that it might have, as TOML.
pub(super) const fn optional(example: &'static str) -> MayBe {
    MayBe {
        example,
        shown: false,
    }
}

impl MayBe {
    /// Has the sample show it in force.
    pub(super) const fn shown(self) -> Self {
        Self { shown: true, ..self }
    }
}

impl<T: ConfigValue> Declaration<Optional<T>> for MayBe {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Optional<T> {
        let example = self.example;
        section.optional(key, |value, problems| {
            T::read(&Asked { key, example }, value, problems)
        })
    }

    fn describe(self, key: &'static str, comment: &'static [&'static str]) -> Key {
        let Self { example, shown } = self;
        describe::<T>(key, comment, Presence::Optional { example, shown })
    }
}

/// A table that is there at most once.
pub(super) struct TableHere;

/// The key is a table with a header; if it is not there, it counts as empty.
pub(super) const fn single() -> TableHere {
    TableHere
}

impl<T: Table> Declaration<Single<T>> for TableHere {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Single<T> {
        let example = T::HEADER;
        let given = section.optional(key, |value, problems| {
            T::read(&Asked { key, example }, value, problems)
        })?;
        Ok(match given {
            Some(table) => table.into_inner(),
            None => read(Section::new(&DeTable::new(), 0..0, key, section.problems())),
        })
    }

    fn describe(self, key: &'static str, _: &'static [&'static str]) -> Key {
        describe::<T>(key, T::DOCUMENTATION, Presence::Table { header: T::HEADER })
    }
}

/// Tables of which there may be several.
pub(super) struct TablesHere;

/// The key is an array of tables, perhaps an empty one.
pub(super) const fn several() -> TablesHere {
    TablesHere
}

impl<T: Table> Declaration<Several<T>> for TablesHere {
    fn read(self, key: &'static str, section: &mut Section<'_, '_>) -> Several<T> {
        let example = T::HEADER;
        section.tables(key, example, |value, problems| {
            T::read(&Asked { key, example }, value, problems)
        })
    }

    fn describe(self, key: &'static str, _: &'static [&'static str]) -> Key {
        describe::<T>(key, T::DOCUMENTATION, Presence::Table { header: T::HEADER })
    }
}

/// Where a table that was not written would begin.
pub(super) const NOWHERE: Range<usize> = 0..0;

/// Declares a table of keys; see the module's documentation.
macro_rules! table {
    (
        $(#[doc = $comment:literal])+
        struct $table:ident in $header:literal {
            $(
                $(#[doc = $key_comment:literal])*
                $key:ident: $field:ty = $declaration:expr,
            )+
        }
    ) => {
        $(#[doc = $comment])+
        pub(in crate::config) struct $table {
            /// Where the table begins: at its header, if it has one.
            #[allow(dead_code, reason = "not every kind of table is pointed at")]
            pub(in crate::config) place: std::ops::Range<usize>,
            $(
                $(#[doc = $key_comment])*
                pub(in crate::config) $key: $field,
            )+
        }

        impl $crate::config::table::Table for $table {
            const HEADER: &'static str = $header;
            const DOCUMENTATION: &'static [&'static str] = &[$($comment),+];

            fn read_keys(section: &mut $crate::config::section::Section<'_, '_>) -> Self {
                use $crate::config::table::Declaration;
                Self {
                    place: section.span(),
                    $($key: Declaration::<$field>::read($declaration, stringify!($key), section),)+
                }
            }

            fn list_keys() -> Vec<$crate::config::key::Key> {
                use $crate::config::table::Declaration;
                vec![$(Declaration::<$field>::describe($declaration, stringify!($key), &[$($key_comment),*]),)+]
            }
        }
    };
}
pub(super) use table;

/// The value of a field, for the model.
pub(super) fn own<T: Clone>(field: &Field<T>) -> Result<T, Reported> {
    match field {
        Ok(value) => Ok(value.get_ref().clone()),
        Err(reported) => Err(*reported),
    }
}

/// The value of a field that may be empty, for the model.
pub(super) fn own_optional<T: Clone>(field: &Optional<T>) -> Result<Option<T>, Reported> {
    match field {
        Ok(value) => Ok(value.as_ref().map(|value| value.get_ref().clone())),
        Err(reported) => Err(*reported),
    }
}
