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

/// `a`, `b` and `c`.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// `a`, `b` or `c`.
pub(super) fn list_or(words: &[&str]) -> String {
    list(words).replace("` and `", "` or `")
}
