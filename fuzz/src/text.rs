//! Text that people write.
//!
//! Promises of `normalise`: it is idempotent; its output is NFC, within the limits, and has no character that hides or
//! reorders text, imitates other text or is too large for a page; a refusal gives the true reason; the quick path for
//! plain text and the full path agree.

use super::cut::Cut;
use unicode_normalization::is_nfc;
use unicode_segmentation::UnicodeSegmentation as _;
use volley::policy::text::clusters::{CLUSTER_BYTES_MAX, CLUSTER_CHARS_MAX};
use volley::policy::text::{TextError, TextLimits, length};

pub fn normalise(data: &[u8]) {
    let mut input = Cut(data);
    let limits = match input.byte() % 4 {
        0 => TextLimits { chars_max: 512, bytes_max: 2_048 },
        1 => TextLimits { chars_max: 1, bytes_max: 1 },
        2 => TextLimits { chars_max: 20, bytes_max: 2_048 },
        _ => TextLimits { chars_max: 512, bytes_max: 60 },
    };
    let raw = String::from_utf8_lossy(input.0);
    let once = volley::policy::text::normalise(&raw, &limits);
    match &once {
        Ok(text) => is_fit_to_show(text, &limits),
        Err(TextError::Empty) => {
            let shows = |c: char| c.is_ascii_graphic() || ('\u{4E00}'..='\u{9FFF}').contains(&c);
            assert!(!raw.chars().any(shows), "{}", raw.escape_unicode());
        }
        Err(TextError::TooLong { chars, bytes, .. }) => {
            assert!(*chars > limits.chars_max || *bytes > limits.bytes_max);
            // NFC makes no character more than three times as long.
            assert!(raw.len() * 3 > limits.chars_max.min(limits.bytes_max));
        }
    }
    // A character that leaves no trace in the output forces plain text onto the full path.
    let far_too_long = (raw.len() + '\u{200B}'.len_utf8()) / 16 >= limits.bytes_max;
    if !far_too_long {
        let marked = format!("\u{200B}{raw}");
        let whole_way = volley::policy::text::normalise(&marked, &limits);
        assert_eq!(whole_way, once, "{}", raw.escape_unicode());
    }
}

/// Asserts what holds for every text that viewers receive.
pub fn is_fit_to_show(text: &str, limits: &TextLimits) {
    let shown = || text.escape_unicode().to_string();
    assert!(!text.is_empty() && text.len() <= limits.bytes_max && length(text) <= limits.chars_max, "{}", shown());
    assert!(!text.chars().any(forbidden), "{}", shown());
    assert!(!text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  "), "{}", shown());
    assert!(is_nfc(text), "{}", shown());
    let fits = |cluster: &str| cluster.len() <= CLUSTER_BYTES_MAX && cluster.chars().count() <= CLUSTER_CHARS_MAX;
    assert!(text.graphemes(true).all(fits), "{}", shown());
    assert_eq!(volley::policy::text::normalise(text, limits).as_deref(), Ok(text), "{}", shown());
}

/// Whether `c` must never be in the output.
fn forbidden(c: char) -> bool {
    let white = c.is_whitespace() && c != ' ';
    let reorders =
        matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}');
    let invisible = matches!(c,
        '\u{200B}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{00AD}' | '\u{034F}'
        | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{2800}' | '\u{FFF0}'..='\u{FFFC}'
        | '\u{E0000}'..='\u{E001F}' | '\u{E0080}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}');
    let private = matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}');
    let nonchar = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFF >= 0xFFFE;
    c.is_control() || white || reorders || invisible || private || nonchar
}
