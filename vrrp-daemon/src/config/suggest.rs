//! Guesses what was meant by a misspelled word, or by one in the wrong place.

use super::key::{Key, Presence};

/// The word of `known` that `word` is a misspelling of, if it is close to one.
pub(super) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .map(|(_, candidate)| candidate);
    // `router_id` for `virtual_router_id`, `timeout` for `connect_timeout`: a part of the word, if of one only.
    let mut containing = known
        .iter()
        .filter(|candidate| word.len() >= 3 && candidate.contains(word.as_str()));
    near.or_else(|| containing.next().copied().filter(|_| containing.next().is_none()))
}

/// Where among `keys`, and below them, a key `name` belongs, in a sentence; nothing if there is none.
pub(super) fn place(name: &str, keys: &[Key]) -> Option<String> {
    let mut places = Vec::new();
    find(name, None, keys, &mut places);
    if let [Place::Header(header)] = places[..] {
        return Some(format!("write `{header}`"));
    }
    if let [Place::Inline(key, example)] = places[..] {
        return Some(format!("it belongs into `{key} = {example}`"));
    }
    let tables = places.into_iter().filter_map(|place| match place {
        Place::Below(header) => Some(header),
        Place::Header(_) | Place::Inline(..) => None,
    });
    let tables: Vec<&str> = tables.collect();
    (!tables.is_empty()).then(|| {
        let tables = list(&tables, "and");
        format!("it is a key of {tables}; a line belongs to the last header above it")
    })
}

/// Where a key belongs.
#[derive(Clone, Copy)]
enum Place {
    /// It is a table with this header.
    Header(&'static str),
    /// It is in the table with this header.
    Below(&'static str),
    /// It is in the inline table of this key, which is written in this way.
    Inline(&'static str, &'static str),
}

/// Finds the places of `name` among `keys`, which are in the place `table`.
fn find(name: &str, table: Option<Place>, keys: &[Key], places: &mut Vec<Place>) {
    for key in keys {
        let (own, below) = match key.presence {
            Presence::Table { header } => (Some(Place::Header(header)), Some(Place::Below(header))),
            Presence::Required { example, shown } => {
                (table, Some(Place::Inline(key.name, shown.unwrap_or(example))))
            }
            Presence::Optional { example, .. } => (table, Some(Place::Inline(key.name, example))),
            Presence::Default { .. } => (table, None),
        };
        if key.name.eq_ignore_ascii_case(name) {
            places.extend(own);
        }
        find(name, below, &key.keys, places);
    }
}

/// `a`, `b` and `c`, with `and` for the last.
pub(super) fn list(words: &[&str], and: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {and} {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &[
        "address",
        "port",
        "protocol",
        "lb_algo",
        "delay_loop",
        "virtual_router_id",
        "real_server",
    ];

    #[test]
    fn a_misspelling_is_recognized() {
        for (written, meant) in [
            ("adress", "address"),
            ("prot", "port"),
            ("Protocol", "protocol"),
            ("delay-loop", "delay_loop"),
            ("algo", "lb_algo"),
            ("virtual_router", "virtual_router_id"),
            ("real_servers", "real_server"),
        ] {
            assert_eq!(closest(written, KEYS), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_misspelling() {
        for written in ["", "x", "weight", "er", "colour", "interface"] {
            assert_eq!(closest(written, KEYS), None, "{written}");
        }
    }

    #[test]
    fn a_part_of_two_words_means_neither() {
        assert_eq!(
            closest("connect", &["connect_timeout_total", "connect_port_number"]),
            None
        );
    }
}
