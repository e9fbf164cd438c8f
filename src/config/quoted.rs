//! Text from outside inside a message: what may be repeated, and how.
//!
//! Whoever sets a key under a wrong name, or in a wrong place, must not find it in a journal. So a message repeats what cannot
//! be a key: names that are near to ours or made of words, and values that are numbers or short words.
//!
//! Does not know: which keys there are.

/// Longest piece of a wrong value that a message repeats, in characters: enough to recognise it.
const VALUE_CHARS_MAX: usize = 60;

/// Shortest key that can be configured: what is shorter is none. Its 16 characters of 64 are 96 bits, beyond any guessing.
pub(super) const SECRET_BYTES_MIN: usize = 16;

/// Longest word in a name; the longest of ours has 11 letters.
const WORD_BYTES_MAX: usize = 16;

/// Longest name that is repeated although it is not near to one of ours.
const NAME_BYTES_MAX: usize = 48;

/// What the names of configuration files end with.
const EXTENSIONS: [&str; 6] = [".toml", ".conf", ".cfg", ".json", ".yaml", ".txt"];

/// What stands in the place of a name that is not repeated.
pub(super) const HIDDEN_NAME: &str = "(a name that is not shown)";

/// Text cut to a readable length and with control characters escaped, so that a
/// message stays one line and a terminal stays as it was.
pub(super) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(VALUE_CHARS_MAX).flat_map(escaped).collect();
    if text.chars().nth(VALUE_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

fn escaped(c: char) -> Box<dyn Iterator<Item = char>> {
    if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
        Box::new(c.escape_default())
    } else {
        Box::new(std::iter::once(c))
    }
}

/// Whether a wrong value may be repeated.
pub(super) fn is_shown(value: &str) -> bool {
    let bare = value.trim_matches(['"', '\'']);
    let digits = bare.trim_start_matches(['-', '+']);
    let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_' || c == '.');
    let is_number = unit.len() < digits.len() && unit.len() <= 3 && unit.bytes().all(|b| b.is_ascii_alphabetic());
    let without_port = bare.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
    is_number || bare.is_empty() || (bare.len() < SECRET_BYTES_MIN && is_name(without_port))
}

/// Whether a name that is not ours may be repeated: it is made of words as ours are.
pub(super) fn is_name(name: &str) -> bool {
    let is_word =
        |word: &str| (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    name.len() <= NAME_BYTES_MAX && name.split(['.', '_', '-']).all(is_word)
}

/// Whether a path that leads nowhere may be repeated: it looks like one, and not like a key.
pub(super) fn is_path(text: &str) -> bool {
    let (folder, file) = text.rsplit_once('/').unwrap_or(("", text));
    let has_extension = EXTENSIONS.iter().any(|extension| file.ends_with(extension));
    let is_in_a_folder = folder.split('/').all(|part| part.is_empty() || is_name(part)) && !folder.is_empty();
    text.len() < SECRET_BYTES_MIN || has_extension || (is_in_a_folder && is_name(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_words_and_paths_are_repeated_and_keys_are_not() {
        for value in
            ["fast", "-5", "\"9999999999GB\"", "99999999999999999999999999", "1.5", "localhost:8080", "'memory", ""]
        {
            assert!(is_shown(value), "{value}");
        }
        for value in
            ["hunter2!", "CANARY", "0123456789abcdef", "[\"short\"]", "{ key = 1 }", "00112233445566778899abcdef"]
        {
            assert!(!is_shown(value), "{value}");
        }
        for name in ["cookies", "room.idles", "rates.comments_per_user.burst"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a..b", "hunter2", "correcthorsebatterystaple", "CANARY", "dGVzdA", "room.0123456789abcdef"] {
            assert!(!is_name(name), "{name}");
        }
        for path in ["gone.toml", "/etc/volley/volley.conf", "/etc/volley/key", "volley-production.toml"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["0123456789abcdef0123", "ab/cd+0123456789abcdef=", "/0123456789abcdef0123", "x.0123456789abcdef"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
