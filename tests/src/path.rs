//! Places in a document, TOML or JSON, as the tests write them: `vrrp_instance[0].priority`.

use std::fmt;

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the entry of a table.
    Key(String),
    /// To the element of an array, the first being 0.
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// The steps of `path`.
///
/// # Panics
/// It isn't a path: a test has a mistake.
pub(crate) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        assert!(!key.is_empty(), "{path:?} is no path: a key is missing");
        steps.push(Step::Key(key.to_owned()));
        for index in indices.split_terminator(']') {
            let index = index.strip_prefix('[').and_then(|index| index.parse().ok());
            steps.push(Step::Index(index.unwrap_or_else(|| {
                panic!("{path:?} is no path: {indices:?} is no index")
            })));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::{Step, steps};

    #[test]
    fn a_path_is_keys_and_indices() {
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(steps("node"), [key("node")]);
        assert_eq!(
            steps("virtual_server[2].real_server[0].weight"),
            [
                key("virtual_server"),
                Step::Index(2),
                key("real_server"),
                Step::Index(0),
                key("weight")
            ]
        );
        assert_eq!(steps("a[1][2]"), [key("a"), Step::Index(1), Step::Index(2)]);
    }

    #[test]
    #[should_panic(expected = "is no index")]
    fn what_is_no_index_is_said() {
        drop(steps("a[x].b"));
    }
}
