//! Characters that a person does not see, or not as what they are.

/// Whether `character` looks like a blank but is none, or is not seen at all, or turns what is beside it around.
pub(super) const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{180e}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
    )
}

/// What Unicode calls `character` by number.
pub(super) fn code_point(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}
