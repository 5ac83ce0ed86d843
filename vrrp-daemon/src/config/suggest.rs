//! Guesses what was meant by a misspelled word.

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
