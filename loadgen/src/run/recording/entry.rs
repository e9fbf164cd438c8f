//! One entry: the fields of its attribute, its entities, and its possible errors.
//!
//! Does not know: files, other entries.

use quick_xml::events::{BytesRef, BytesStart};
use std::fmt;
use volley::protocol::event::{Mode, Style};

/// What is wrong with an entry or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The file is not XML from here on.
    Syntax,
    /// A comment without its end.
    Unclosed,
    /// An end without a comment.
    StrayEnd,
    /// The file ends inside its root: it was cut off.
    UnclosedRoot,
    AfterRoot,
    /// Elements, comments or instructions inside a text.
    Markup,
    /// An unknown entity, a bare `&`, or a character that XML forbids.
    BadEntity,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A document type: recordings have none, and its entities can be bombs.
    Doctype,
    /// No attribute `p`, two of them, or a malformed attribute.
    Attributes,
    /// Fewer than 8 fields in `p`.
    TooFewFields,
    /// Not a number of seconds from 0 to [`TIME_S_MAX`].
    Time,
    ModeNumber,
    Size,
    /// Not 0xRRGGBB as a number.
    Color,
    Date,
    Pool,
    /// No user or no id.
    Identity,
    NotARecording,
    NoEntries,
    /// Over [`super::FILE_BYTES_MAX`].
    FileTooBig,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not well-formed XML (an unclosed tag or quote?)",
            Self::Unclosed => "<d> is not closed",
            Self::StrayEnd => "</d> without <d>",
            Self::UnclosedRoot => "the file ends before </i>: it was cut off",
            Self::AfterRoot => "content after </i>",
            Self::Markup => "markup inside a text",
            Self::BadEntity => "unknown entity, bare &, or forbidden character",
            Self::InvalidUtf8 => "not UTF-8",
            Self::Doctype => "a DOCTYPE: recordings have none",
            Self::Attributes => "wrong attributes: expected one p=\"…\"",
            Self::TooFewFields => "fewer than 8 fields in p",
            Self::Time => "the time is not a number of seconds from 0 on",
            Self::ModeNumber => "the mode is not a number",
            Self::Size => "the size is not a number from 1 to 255",
            Self::Color => "the colour is not a number from 0 to 16777215",
            Self::Date => "the date is not a Unix time",
            Self::Pool => "the pool is not a number",
            Self::Identity => "the user or the id is empty",
            Self::NotARecording => "not a recording: expected the root <i>",
            Self::NoEntries => "no comments in it",
            Self::FileTooBig => "the file is over 256 MiB",
        })
    }
}

/// Latest time of a comment: 30 days, longer than any show.
pub const TIME_S_MAX: f64 = 30.0 * 86_400.0;

/// The fields of `p` that a replay uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryFields {
    pub at_ms: u64,
    pub mode: u8,
    pub size: u8,
    /// 0xRRGGBB.
    pub color: u32,
}

/// Reads `p`. Attributes of other programs are ignored.
pub(super) fn fields(tag: &BytesStart<'_>) -> Result<EntryFields, Reason> {
    let mut p = None;
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| Reason::Attributes)?; // Includes duplicate attributes.
        if attribute.key.as_ref() == b"p" {
            p = Some(attribute.value);
        }
    }
    let p = p.ok_or(Reason::Attributes)?;
    let p = std::str::from_utf8(&p).map_err(|_| Reason::InvalidUtf8)?;
    let fields: Vec<&str> = p.split(',').collect();
    let [time, mode, size, color, date, pool, user, id, ..] = fields[..] else { return Err(Reason::TooFewFields) };
    let time: f64 = time.trim().parse().map_err(|_| Reason::Time)?;
    if !(0.0..=TIME_S_MAX).contains(&time) {
        return Err(Reason::Time); // Includes NaN and the infinities.
    }
    let size = size.trim().parse().ok().filter(|size| *size > 0).ok_or(Reason::Size)?;
    let color = color.trim().parse().ok().filter(|color| *color <= Style::COLOR_MAX).ok_or(Reason::Color)?;
    date.trim().parse::<i64>().map_err(|_| Reason::Date)?;
    pool.trim().parse::<u32>().map_err(|_| Reason::Pool)?;
    if user.trim().is_empty() || id.trim().is_empty() {
        return Err(Reason::Identity);
    }
    let mode = mode.trim().parse().map_err(|_| Reason::ModeNumber)?;
    Ok(EntryFields { at_ms: (time * 1_000.0).round() as u64, mode, size, color })
}

/// The movement of a recorded mode; `None` for modes that are not replayed.
pub(super) fn replayed(mode: u8) -> Option<Mode> {
    match mode {
        1 => Some(Mode::Scroll),
        4 => Some(Mode::Bottom),
        5 => Some(Mode::Top),
        6 => Some(Mode::Reverse),
        _ => None,
    }
}

/// The nearest size that the server accepts, and whether it differs from the recorded one.
pub(super) fn size(recorded: u8) -> (u8, bool) {
    let size = recorded.clamp(*Style::SIZES.start(), *Style::SIZES.end());
    (size, size != recorded)
}

/// Whether the server, as configured by default, refuses the text for its length.
pub(super) fn is_too_long(text: &str) -> bool {
    let defaults = volley::config::AdmissionConfig::default();
    text.len() > defaults.text_bytes_max || text.chars().count() > defaults.text_chars_max
}

/// The character that `&name;` stands for.
pub(super) fn entity(name: &BytesRef<'_>) -> Option<char> {
    match &name[..] {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"apos" => Some('\''),
        b"quot" => Some('"'),
        _ => name.resolve_char_ref().ok().flatten().filter(|c| is_xml_character(*c)),
    }
}

/// XML 1.0, production 2.
fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
