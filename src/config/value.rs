//! One setting's value: its kind, how it is read from text and from TOML, how it is written.

use super::error::Problem;
use super::model::{Data, DefaultMerge, Durability, LogFormat, Secret};
use super::quoted::SECRET_BYTES_MIN;
use super::slips::{self, slip};
use crate::base_path::BasePath;
use crate::host::Hosts;
use crate::origin::Origins;
use std::fmt;
use std::net::SocketAddr;
use toml::de::DeValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `address:port`.
    Address,
    /// `true` or `false`.
    Flag,
    Number {
        unit: Unit,
        min: u64,
        max: u64,
    },
    /// One of a few words.
    Word(&'static [&'static str]),
    Data,
    /// A `tracing` filter.
    Filter,
    /// A path before our addresses.
    BasePath,
    Origins,
    Hosts,
    /// A key that is never shown.
    Secret,
}

/// What a number counts, and so which units a person may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    /// Things a second; no unit.
    PerSecond,
    /// Milliseconds; `10s` may be written.
    Milliseconds,
    /// Seconds; `5m` may be written.
    Seconds,
    /// Bytes; `32KiB` may be written.
    Bytes,
}

/// A value of some [`ValueKind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Address(SocketAddr),
    Flag(bool),
    Number(u64),
    /// See [`ValueKind::Word`], [`ValueKind::Data`], [`ValueKind::Filter`] and [`ValueKind::BasePath`].
    Text(String),
    Origins(Origins),
    Hosts(Hosts),
    Secret(Secret),
}

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not of the key's kind; says what it is.
    Type(String),
    /// A number that the range leaves out, too large for any type included.
    Range,
    /// It is of the kind and still wrong; says why.
    Text(String),
}

impl Wrong {
    pub(super) fn problem(self, kind: &ValueKind) -> Problem {
        match self {
            Self::Type(found) => Problem::Type { expected: kind.to_string(), found },
            Self::Range => Problem::Range(kind.range()),
            Self::Text(why) => Problem::Relation(why),
        }
    }
}

/// A secret's length in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = SECRET_BYTES_MIN..=256;

const PATH_BYTES_MAX: usize = 4_096;

const DURATIONS_MS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES_BYTES: [(&str, u64); 11] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
];

impl Unit {
    /// The units that may be written, with what each counts of [`Self::base`].
    fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Count | Self::PerSecond => &[],
            Self::Milliseconds | Self::Seconds => &DURATIONS_MS,
            Self::Bytes => &SIZES_BYTES,
        }
    }

    /// How many of the suffix table's smallest unit make one of this unit.
    fn base(self) -> u64 {
        if self == Self::Seconds { 1_000 } else { 1 }
    }

    /// The unit's name for people; empty for plain counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::PerSecond => "a second",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
        }
    }
}

impl ValueKind {
    /// Reads the text of a variable or a flag.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, Wrong> {
        let wrong = || Wrong::Type(if text.is_empty() { "nothing".into() } else { "something else".into() });
        let look = match self {
            Self::Filter | Self::Origins | Self::Hosts => slips::SlipContext::List,
            Self::Secret => slips::SlipContext::Secret,
            _ => slips::SlipContext::Value,
        };
        if let Some(slip) = slip(text, look) {
            return Err(Wrong::Text(slip.into()));
        }
        match *self {
            Self::Address => {
                let wrong = |_| Wrong::Type(slips::instead_of_address(text).into());
                text.parse().map(Value::Address).map_err(wrong)
            }
            Self::Flag => match text {
                "true" | "1" => Ok(Value::Flag(true)),
                "false" | "0" => Ok(Value::Flag(false)),
                _ => Err(wrong()),
            },
            Self::Number { unit, .. } => read_number(text, unit).map(Value::Number),
            Self::Word(words) if words.contains(&text) => Ok(Value::Text(text.into())),
            Self::Word(_) => Err(wrong()),
            Self::Data if text.is_empty() => Err(wrong()),
            Self::Data if text.len() > PATH_BYTES_MAX => Err(Wrong::Text("no path is that long".into())),
            Self::Data => match slips::path_slip(text) {
                Some(slip) => Err(Wrong::Text(slip.into())),
                None => Ok(Value::Text(text.into())),
            },
            Self::Filter => read_filter(text).map(Value::Text),
            Self::BasePath => {
                let read = BasePath::parse(text);
                read.map(|path| Value::Text(path.to_string())).map_err(|why| Wrong::Text(why.to_string()))
            }
            Self::Secret if text.is_empty() => Ok(Value::Secret(Secret::default())),
            // As it has to fit into a header, where white space is cut off.
            Self::Secret if !text.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(Wrong::Text("a key has printable ASCII characters and no spaces".into()))
            }
            Self::Secret if !SECRET_BYTES.contains(&text.len()) => {
                let (min, max) = (SECRET_BYTES.start(), SECRET_BYTES.end());
                Err(Wrong::Text(format!("a key has {min} to {max} characters")))
            }
            Self::Secret => Ok(Value::Secret(Secret::new(text))),
            Self::Hosts => read_hosts(text.split(',').map(str::trim).filter(|part| !part.is_empty())),
            Self::Origins => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Origins::read(parts).map(Value::Origins).map_err(Wrong::Text)
            }
        }
    }

    /// Reads a value of a TOML file. A number's text must carry a unit: `"100"` is a text.
    pub(super) fn read_toml(&self, value: &DeValue<'_>) -> Result<Value, Wrong> {
        match (self, value) {
            (
                Self::Address | Self::Word(_) | Self::Data | Self::Filter | Self::BasePath | Self::Secret,
                DeValue::String(text),
            ) => self.read_text(text),
            (Self::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::Number { .. }, DeValue::Integer(number)) => {
                // What is negative or beyond 128 bits is a number all the same, outside every range.
                u64::from_str_radix(number.as_str(), number.radix()).map(Value::Number).map_err(|_| Wrong::Range)
            }
            (Self::Number { unit, .. }, DeValue::String(text))
                if !unit.suffixes().is_empty() && text.ends_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                read_number(text, *unit).map(Value::Number)
            }
            (Self::Hosts, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                let texts = texts.ok_or_else(|| Wrong::Type("a list with something else in it".into()))?;
                read_hosts(texts.into_iter())
            }
            (Self::Origins, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                let texts = texts.ok_or_else(|| Wrong::Type("a list with something else in it".into()))?;
                Origins::read(texts.into_iter()).map(Value::Origins).map_err(Wrong::Text)
            }
            (_, other) => Err(Wrong::Type(type_name(other).into())),
        }
    }

    /// Lets a value through whose number is in range.
    pub(super) fn check(&self, value: Value) -> Result<Value, Wrong> {
        match (self, &value) {
            (Self::Number { min, max, .. }, Value::Number(n)) if !(*min..=*max).contains(n) => Err(Wrong::Range),
            _ => Ok(value),
        }
    }

    /// The allowed values in a few words; for numbers the range.
    pub fn range(&self) -> String {
        match self {
            Self::Number { unit, min, max } => {
                format!("{} to {}", written(*min, *unit), written(*max, *unit))
            }
            other => other.to_string(),
        }
    }
}

/// A number with its unit, large sizes as people write them.
fn written(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Count => n.to_string(),
        Unit::Bytes => {
            let fits = |size: &&(&str, u64)| n >= size.1 && n.is_multiple_of(size.1);
            let (name, size) = SIZES_BYTES[1..4].iter().rfind(fits).unwrap_or(&("bytes", 1));
            format!("{} {name}", n / size)
        }
        _ => format!("{n} {}", unit.name()),
    }
}

fn read_number(text: &str, unit: Unit) -> Result<u64, Wrong> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let suffix = suffix.trim_start_matches(' ');
    if digits.is_empty() {
        let negative = text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        return Err(if negative {
            Wrong::Range
        } else if text.is_empty() {
            Wrong::Type("nothing".into())
        } else {
            Wrong::Type("a text".into())
        });
    }
    let (scale, base) = if suffix.is_empty() {
        (1, 1)
    } else {
        let found = unit.suffixes().iter().find(|(name, _)| *name == suffix);
        let (_, scale) = found.ok_or_else(|| {
            Wrong::Type(if suffix.starts_with(['.', ',']) {
                "a fraction".into()
            } else if unit.suffixes().is_empty() {
                "something behind the number".into()
            } else {
                "an unknown unit".into()
            })
        })?;
        (*scale, unit.base())
    };
    let number: u64 = digits.parse().map_err(|_| Wrong::Range)?;
    let scaled = number.checked_mul(scale).ok_or(Wrong::Range)?;
    if !scaled.is_multiple_of(base) {
        return Err(Wrong::Type(format!("a part of {}", if unit == Unit::Seconds { "a second" } else { "one" })));
    }
    Ok(scaled / base)
}

fn read_hosts<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Value, Wrong> {
    Hosts::read(texts).map(Value::Hosts).map_err(|mistake| Wrong::Text(format!("an entry is wrong: {mistake}")))
}

/// A filter without white space around its directives. tracing-subscriber counts a directive's bytes without what stands before
/// it and cuts it with: `warn, volley` would be about a module called " volley", and `, 店=` would be a panic.
fn read_filter(text: &str) -> Result<String, Wrong> {
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    if directives.is_empty() {
        return Err(Wrong::Type("nothing".into()));
    }
    let filter = directives.join(",");
    // What the library says may repeat the text.
    let wrong = |_| {
        "it is no filter: levels (off, error, warn, info, debug, trace), alone or as MODULE=LEVEL, separated by commas"
            .into()
    };
    tracing_subscriber::EnvFilter::try_new(&filter).map_err(|error| Wrong::Text(wrong(error)))?;
    Ok(filter)
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

impl fmt::Display for ValueKind {
    /// What the key takes, as a phrase: `a whole number of ms, or a text such as "10s"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("an IP address with port, such as \"127.0.0.1:8080\" or \"[::]:8080\""),
            Self::Flag => f.write_str("true or false"),
            Self::Number { unit, .. } => f.write_str(match unit {
                Unit::Count => "a whole number",
                Unit::PerSecond => "a whole number a second",
                Unit::Milliseconds => "a whole number of milliseconds, or one with a unit such as \"10s\"",
                Unit::Seconds => "a whole number of seconds, or one with a unit such as \"5m\"",
                Unit::Bytes => "a whole number of bytes, or one with a unit such as \"32KiB\"",
            }),
            Self::Word(words) => {
                for (n, word) in words.iter().enumerate() {
                    let joint = if n == 0 { "" } else { " or " };
                    write!(f, "{joint}\"{word}\"")?;
                }
                Ok(())
            }
            Self::Data => f.write_str("a directory, or \"memory\""),
            Self::Filter => f.write_str("a log filter, such as \"info\" or \"warn,volley=debug\""),
            Self::BasePath => f.write_str("a path, such as \"/chat/\""),
            Self::Hosts => f.write_str("a list of host names, such as [\"volley\", \"volley.internal\"]"),
            Self::Origins => f.write_str("a list of origins, such as [\"https://shop.example\"]"),
            Self::Secret => f.write_str("16 to 256 printable ASCII characters"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "\"{address}\""),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write_text(f, text),
            Self::Secret(secret) => write_text(f, if secret.reveal().is_some() { REDACTED } else { "" }),
            Self::Origins(origins) => write_list(f, origins.texts()),
            Self::Hosts(hosts) => write_list(f, hosts.texts()),
        }
    }
}

/// What stands in a secret's place.
pub(super) const REDACTED: &str = "(not shown)";

fn write_list(f: &mut fmt::Formatter<'_>, texts: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str("[")?;
    for (n, text) in texts.enumerate() {
        f.write_str(if n == 0 { "" } else { ", " })?;
        write_text(f, &text)?;
    }
    f.write_str("]")
}

/// A TOML basic string; control characters as `\uXXXX`.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// A field of [`Config`](super::Config), seen as a [`Value`].
pub(super) trait Field {
    fn read(&self) -> Value;
    /// Takes a checked value; the table's kinds and ranges make sure that it fits (a test tries all).
    fn write(&mut self, value: Value);
}

macro_rules! number_field {
    ($($type:ty),+) => {$(
        impl Field for $type {
            fn read(&self) -> Value {
                Value::Number(u64::try_from(*self).expect("at most 64 bits"))
            }
            fn write(&mut self, value: Value) {
                if let Value::Number(number) = value {
                    *self = <$type>::try_from(number).expect("the key's range fits its type");
                }
            }
        }
    )+};
}
number_field!(u32, u64, usize);

macro_rules! field {
    ($type:ty, $this:ident => $read:expr, $pattern:pat => $write:expr) => {
        impl Field for $type {
            fn read(&self) -> Value {
                let $this = self;
                $read
            }
            fn write(&mut self, value: Value) {
                if let $pattern = value {
                    *self = $write;
                }
            }
        }
    };
}
field!(SocketAddr, it => Value::Address(*it), Value::Address(address) => address);
field!(bool, it => Value::Flag(*it), Value::Flag(flag) => flag);
field!(String, it => Value::Text(it.clone()), Value::Text(text) => text);
field!(Origins, it => Value::Origins(it.clone()), Value::Origins(origins) => origins);
field!(BasePath, it => Value::Text(it.to_string()),
    Value::Text(text) => BasePath::parse(&text).expect("it was read before"));
field!(Hosts, it => Value::Hosts(it.clone()), Value::Hosts(hosts) => hosts);
field!(LogFormat, it => Value::Text(match it { LogFormat::Text => "text", LogFormat::Json => "json" }.into()),
    Value::Text(text) => if text == "json" { LogFormat::Json } else { LogFormat::Text });
field!(Durability, it => Value::Text(match it { Durability::Fsync => "fsync", Durability::Write => "write" }.into()),
    Value::Text(text) => if text == "write" { Durability::Write } else { Durability::Fsync });
field!(Secret, it => Value::Secret(it.clone()), Value::Secret(secret) => secret);
field!(DefaultMerge, it => Value::Text(match it { DefaultMerge::Near => "near", DefaultMerge::Equal => "equal", DefaultMerge::Off => "off" }.into()),
    Value::Text(text) => match text.as_str() { "near" => DefaultMerge::Near, "equal" => DefaultMerge::Equal, _ => DefaultMerge::Off });
field!(Data, it => Value::Text(match it { Data::Memory => "memory".into(), Data::Directory(path) => path.display().to_string() }),
    Value::Text(text) => if text == "memory" { Data::Memory } else { Data::Directory(text.into()) });
