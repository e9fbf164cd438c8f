//! Every kind of event that an owner may post, field by field, with its ranges (`crate::protocol::kind` says them too).

use super::fields::{PostFields, any_of, one_of, people, quoted};
use super::{Fault, FaultKind};
use crate::limits::{CUSTOM_BYTES_MAX, EXT_BYTES_MAX, OFFSET_MAX};
use crate::policy::json_fits;
use crate::protocol::event::{Comment, Event, Mode, Style};
use crate::protocol::kind::{
    Announcement, Custom, Delete, Enter, Gift, Kind, Level, Pin, Poll, PollClose, Post, Unpin,
};
use crate::protocol::settings::{Allowed, Class, Classed, Merge, SettingsPatch};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest text of a comment, an announcement or a notice, in characters.
const TEXT_CHARS_MAX: usize = 512;
const QUESTION_CHARS_MAX: usize = 256;
const OPTION_CHARS_MAX: usize = 64;
const WORD_CHARS_MAX: usize = 32;
const WORDS_MAX: usize = 32;
const GIFT_COUNT_MAX: u64 = 1_000_000;
const GIFT_VALUE_MAX: u64 = 1_000_000_000_000;
const TYPE_BYTES_MAX: usize = 64;
const BONUS_MAX: u64 = 10;
/// Shortest slow mode. A smaller number was probably meant in seconds.
const SLOW_MS_MIN: u64 = 100;

/// Reads the fields of one kind.
type Read = fn(&mut PostFields) -> Result<Event, Fault>;

/// The kinds by name.
const KINDS: &[(&str, Read)] = &[
    ("comment", comment),
    ("gift", |f| Ok(post(Kind::Gift(gift(f)?)))),
    ("announcement", |f| Ok(post(Kind::Announcement(announcement(f)?)))),
    ("custom", |f| Ok(post(Kind::Custom(custom(f)?)))),
    ("pin", |f| Ok(post(Kind::Pin(Pin { text: f.text("text", TEXT_CHARS_MAX)?, user: f.user("user")? })))),
    ("unpin", |_| Ok(post(Kind::Unpin(Unpin {})))),
    ("delete", |f| Ok(post(Kind::Delete(Delete::new(f.needed_number("offset", 1..=OFFSET_MAX)?))))),
    ("poll", |f| Ok(post(Kind::Poll(poll(f)?)))),
    ("poll_close", |f| Ok(post(Kind::PollClose(PollClose { id: f.needed_id("id")? })))),
    ("enter", |f| Ok(post(Kind::Enter(Enter { user: f.needed_user()? })))),
    ("settings", |f| Ok(post(Kind::Settings(settings(f)?)))),
];

fn post(kind: Kind) -> Event {
    Event::Post(Box::new(Post { key: None, kind }))
}

/// One event: an object with one key, its kind.
pub(super) fn event(place: &str, mut root: PostFields) -> Result<Event, Fault> {
    let whole = if place.is_empty() { "an event" } else { place };
    let name = root.any().unwrap_or_default().to_owned();
    if root.len() != 1 {
        return Err(Fault::bad(format!("{whole} must have one key: {}", any_of(KINDS))));
    }
    let Some((_, read)) = KINDS.iter().find(|(kind, _)| *kind == name) else {
        return Err(Fault::bad(format!("{whole}: {} is no kind of event; known are {}", quoted(&name), any_of(KINDS))));
    };
    let value = root.take_any(&name).unwrap_or_default();
    let mut fields = PostFields::of(&root.path(&name), value)?;
    let event = read(&mut fields)?;
    fields.end()?;
    Ok(event)
}

fn comment(fields: &mut PostFields) -> Result<Event, Fault> {
    if fields.take("id").is_some() {
        return Err(Fault::bad(format!("{}: use the header Idempotency-Key", fields.path("id"))));
    }
    let user = fields.needed_user()?;
    let text = fields.text("text", TEXT_CHARS_MAX)?;
    let mut style = Style::default();
    if let Some(value) = fields.take("style") {
        let mut wish = PostFields::of(&fields.path("style"), value)?;
        style.mode = wish.word("mode", MODES)?.unwrap_or(style.mode);
        if let Some(color) = wish.number("color", 0..=u64::from(Style::COLOR_MAX))? {
            style.color = u32::try_from(color).unwrap_or(Style::COLOR_MAX);
        }
        let sizes = u64::from(*Style::SIZES.start())..=u64::from(*Style::SIZES.end());
        if let Some(size) = wish.number("size", sizes)? {
            style.size = u8::try_from(size).unwrap_or(style.size);
        }
        wish.end()?;
    }
    let media_ms = fields.position("media_ms")?;
    let ext = match fields.take("ext") {
        None => None,
        Some(Value::Object(ext)) => Some(ext).filter(|ext| !ext.is_empty()),
        Some(_) => return Err(Fault::bad(format!("{} must be an object", fields.path("ext")))),
    };
    if ext.as_ref().is_some_and(|ext| !json_fits(ext, EXT_BYTES_MAX)) {
        return Err(too_long(&fields.path("ext"), EXT_BYTES_MAX));
    }
    let ext = ext.map(Arc::new);
    Ok(Event::Comment(Comment {
        user,
        id: None,
        text,
        style,
        media_ms,
        ext,
        first: false,
        deleted: false,
        posted: None,
        left: None,
    }))
}

const MODES: &[(&str, Mode)] =
    &[("scroll", Mode::Scroll), ("top", Mode::Top), ("bottom", Mode::Bottom), ("reverse", Mode::Reverse)];

fn too_long(path: &str, bytes_max: usize) -> Fault {
    Fault::new(FaultKind::TooLong, format!("{path} must be at most {bytes_max} bytes of JSON without white space"))
}

fn gift(fields: &mut PostFields) -> Result<Gift, Fault> {
    if fields.take("total").is_some() {
        return Err(Fault::bad(format!("{} is counted by the room; leave it out", fields.path("total"))));
    }
    Ok(Gift {
        user: fields.needed_user()?,
        name: fields.name("name")?,
        count: fields.needed_number("count", 1..=GIFT_COUNT_MAX)?,
        value: fields.needed_number("value", 0..=GIFT_VALUE_MAX)?,
        combo: fields.id("combo")?,
        total: None,
    })
}

fn announcement(fields: &mut PostFields) -> Result<Announcement, Fault> {
    Ok(Announcement {
        text: fields.text("text", TEXT_CHARS_MAX)?,
        level: fields.word("level", &[("info", Level::Info), ("urgent", Level::Urgent)])?.unwrap_or_default(),
        until: fields.moment("until")?,
    })
}

fn custom(fields: &mut PostFields) -> Result<Custom, Fault> {
    let path = fields.path("type");
    let name = fields.raw("type")?.ok_or_else(|| Fault::bad(format!("{path} is missing")))?;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    // With a dot, so that two applications do not take the same word: `shop.product`.
    if !(1..=TYPE_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_plain) || !name.contains('.') {
        return Err(Fault::range(format!("{path} must have 1 to 64 characters of a-z 0-9 _ . - with a dot in it")));
    }
    // Here `null` is a value.
    let data = fields.take_any("data").ok_or_else(|| Fault::bad(format!("{} is missing", fields.path("data"))))?;
    if !json_fits(&data, CUSTOM_BYTES_MAX) {
        return Err(too_long(&fields.path("data"), CUSTOM_BYTES_MAX));
    }
    Ok(Custom { name: name.into(), data: Arc::new(data), sticky: fields.flag("sticky")?.unwrap_or_default() })
}

fn poll(fields: &mut PostFields) -> Result<Poll, Fault> {
    let id = fields.needed_id("id")?;
    let question = fields.text("question", QUESTION_CHARS_MAX)?;
    let path = fields.path("options");
    let given = fields.list("options")?.ok_or_else(|| Fault::bad(format!("{path} is missing")))?;
    if !(2..=10).contains(&given.len()) {
        return Err(Fault::range(format!("{path} must hold 2 to 10 answers, not {}", given.len())));
    }
    let options = texts(&path, &given, OPTION_CHARS_MAX)?;
    if BTreeSet::from_iter(&options).len() < options.len() {
        return Err(Fault::range(format!("{path} must differ")));
    }
    Ok(Poll { id, question, options })
}

fn texts(path: &str, given: &[Value], chars_max: usize) -> Result<Vec<Arc<str>>, Fault> {
    let text = |(at, value): (usize, &Value)| match value.as_str() {
        Some(raw) => people(&format!("{path}[{at}]"), raw, chars_max),
        None => Err(Fault::bad(format!("{path}[{at}] must be a string"))),
    };
    given.iter().enumerate().map(text).collect()
}

const MERGES: &[(&str, Merge)] = &[("off", Merge::Off), ("equal", Merge::Equal), ("near", Merge::Near)];

const ALLOWED: &[(&str, Allowed)] = &[("comment", Allowed::Comment), ("like", Allowed::Like), ("vote", Allowed::Vote)];

const CLASSES: &[(&str, Class)] = &[("guaranteed", Class::Guaranteed), ("normal", Class::Normal), ("low", Class::Low)];

const CLASSED: &[(&str, Classed)] = &[
    ("guest", Classed::Guest),
    ("viewer", Classed::Viewer),
    ("vip", Classed::Vip),
    ("moderator", Classed::Moderator),
    ("host", Classed::Host),
    ("gift", Classed::Gift),
    ("custom", Classed::Custom),
    ("enter", Classed::Enter),
];

fn settings(fields: &mut PostFields) -> Result<SettingsPatch, Fault> {
    let small = |number: Option<u64>| number.and_then(|number| u8::try_from(number).ok());
    let mut patch = SettingsPatch {
        budget: fields.number("budget", 0..=1_000)?.and_then(|budget| u32::try_from(budget).ok()),
        tick_ms: fields.number("tick_ms", 5..=2_000)?,
        slow_ms: fields.duration("slow_ms", SLOW_MS_MIN..=3_600_000)?,
        merge: fields.word("merge", MERGES)?,
        text_max: fields.number("text_max", 1..=512)?.and_then(|chars| u16::try_from(chars).ok()),
        mute_all: fields.flag("mute_all")?,
        question_bonus: small(fields.number("question_bonus", 0..=BONUS_MAX)?),
        word_bonus: small(fields.number("word_bonus", 0..=BONUS_MAX)?),
        ..SettingsPatch::default()
    };
    let path = fields.path("allowed");
    if let Some(given) = fields.list("allowed")? {
        let one = |(at, value): (usize, &Value)| one_of(&format!("{path}[{at}]"), value, ALLOWED);
        patch.allowed = Some(given.iter().enumerate().map(one).collect::<Result<_, _>>()?);
    }
    let path = fields.path("words");
    if let Some(given) = fields.list("words")? {
        if given.len() > WORDS_MAX {
            return Err(Fault::range(format!("{path} must hold at most {WORDS_MAX} words, not {}", given.len())));
        }
        patch.words = Some(texts(&path, &given, WORD_CHARS_MAX)?);
    }
    if let Some(value) = fields.take("classes") {
        let mut classes = PostFields::of(&fields.path("classes"), value)?;
        for (name, of) in CLASSED {
            patch.classes.extend(classes.word(name, CLASSES)?.map(|class| (*of, class)));
        }
        classes.end()?;
    }
    // A misspelled field is a better answer than this one.
    if patch == SettingsPatch::default() && fields.len() == 0 {
        return Err(Fault::bad(format!("{} must change something", fields.place())));
    }
    Ok(patch)
}
