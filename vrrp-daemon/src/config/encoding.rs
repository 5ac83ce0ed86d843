//! Bytes into text.

use super::character::code_point;

/// Why a file is no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// It begins with the byte order mark of UTF-16.
    #[error("is in UTF-16: save it as UTF-8, for example with `iconv -f utf-16 -t utf-8`")]
    Utf16,
    /// It has bytes that no text has.
    #[error("is no text file")]
    Binary,
    /// It has a byte that is not UTF-8, as older encodings have for the letters that English has not.
    #[error(
        "is not in UTF-8: line {line}, column {column} has the byte 0x{byte:02X} ({latin1} in Latin-1); save it as \
         UTF-8, for example with `iconv -f latin1 -t utf-8`"
    )]
    NotUtf8 {
        /// The line with the first such byte, from 1.
        line: usize,
        /// Where in the line it is, in characters from 1.
        column: usize,
        /// The byte.
        byte: u8,
        /// What it would be in Latin-1.
        latin1: String,
    },
}

/// The text in `bytes`.
///
/// # Errors
/// If they are not UTF-8, where not, and what they may be.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotText> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NotText::Utf16);
    }
    if bytes.contains(&0) {
        return Err(NotText::Binary);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let (before, rest) = error.as_bytes().split_at(valid);
        let before = String::from_utf8_lossy(before);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let byte = rest.first().copied().unwrap_or_default();
        NotText::NotUtf8 {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            byte,
            latin1: match char::from(byte) {
                letter if letter.is_alphanumeric() => format!("`{letter}`"),
                other => code_point(other),
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        decode(bytes.to_vec()).expect_err("no text").to_string()
    }

    #[test]
    fn text_is_text() {
        let text = "\u{feff}# é\r\n";
        assert_eq!(decode(text.as_bytes().to_vec()), Ok(text.to_owned()));
    }

    #[test]
    fn a_letter_of_latin_1_is_shown_with_its_place() {
        assert_eq!(
            refusal(b"# \xc3\xa9\nname = \"caf\xe9\"\n"),
            "is not in UTF-8: line 2, column 12 has the byte 0xE9 (`\u{e9}` in Latin-1); save it as UTF-8, for example \
             with `iconv -f latin1 -t utf-8`"
        );
        assert!(refusal(b"\x93lb1\x94").contains("0x93 (U+0093 in Latin-1)"));
    }

    #[test]
    fn other_files_are_called_by_name() {
        assert!(refusal(b"\xff\xfe[\0").contains("UTF-16"));
        assert_eq!(refusal(b"\x7fELF\0"), "is no text file");
    }
}
