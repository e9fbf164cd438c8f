//! Query strings, read strictly: a parameter that we know is there once and right, or it is refused by its name. Unknown ones
//! are ignored where something is looked at, and refused where something is changed: a misspelled condition would not hold.

use super::refused::HistoryRefused;
use crate::limits::{OFFSET_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use crate::policy::posts::quoted;
use crate::protocol::ids::{Epoch, Offset};

/// The values of the parameters `names`, percent-decoded, in their order.
pub(super) fn parse<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], HistoryRefused> {
    read(query, names).map(|(values, _)| values).map_err(HistoryRefused::BadQuery)
}

/// The same for a request that changes something: nothing else may be there.
pub(super) fn parse_all<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], String> {
    match read(query, names)? {
        (values, None) => Ok(values),
        (_, Some(unknown)) if N == 0 => Err(format!("{}: this address takes no query parameters", quoted(&unknown))),
        (_, Some(unknown)) => {
            Err(format!("{} is no query parameter here; known: {}", quoted(&unknown), names.join(", ")))
        }
    }
}

/// The values of `names`, and a name that is none of them.
type Values<const N: usize> = ([Option<String>; N], Option<String>);

fn read<const N: usize>(query: &str, names: [&str; N]) -> Result<Values<N>, String> {
    let (mut values, mut unknown) = ([const { None }; N], None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (raw, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A name may be encoded too, and is the same name then.
        let name = decode(raw);
        let Some((at, name)) = names.iter().enumerate().find(|(_, known)| name.as_deref() == Some(known)) else {
            unknown.get_or_insert_with(|| name.unwrap_or_else(|| raw.to_owned()));
            continue;
        };
        let value = decode(value).ok_or_else(|| format!("{name}: broken percent-encoding"))?;
        if values[at].replace(value).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok((values, unknown))
}

/// `after`: `None` begins at the first retained event; so does 0, which lies before every event.
pub(super) fn after(text: Option<&str>) -> Result<Option<Offset>, HistoryRefused> {
    let Some(text) = text else { return Ok(None) };
    let offset = if is_number(text) { text.parse().ok().filter(|offset| *offset <= OFFSET_MAX) } else { None };
    let offset: Offset =
        offset.ok_or_else(|| HistoryRefused::BadQuery("after must be a whole number from 0 to 2^53 - 1".to_owned()))?;
    Ok((offset > 0).then_some(offset))
}

/// `limit`: more than [`PAGE_EVENTS_MAX`] is that.
pub(super) fn limit(text: Option<&str>) -> Result<usize, HistoryRefused> {
    let Some(text) = text else { return Ok(PAGE_EVENTS_DEFAULT) };
    // A value that overflows is above every limit.
    let limit = if is_number(text) { text.parse().unwrap_or(usize::MAX) } else { 0 };
    match limit {
        0 => Err(HistoryRefused::BadQuery(format!(
            "limit must be a whole number from 1 on; at most {PAGE_EVENTS_MAX} are given"
        ))),
        limit => Ok(limit.min(PAGE_EVENTS_MAX)),
    }
}

/// `epoch`: the log that is meant; `None`: whichever there is.
pub(super) fn epoch(text: Option<&str>) -> Result<Option<Epoch>, HistoryRefused> {
    let Some(text) = text else { return Ok(None) };
    Epoch::parse(text).map(Some).ok_or_else(|| HistoryRefused::BadQuery(BAD_EPOCH.to_owned()))
}

/// The error of an invalid `epoch`.
pub(super) const BAD_EPOCH: &str = "epoch must be 1 to 16 hex digits, as the server said it";

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Decodes `%XX`; `None` when it is broken or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        // `from_str_radix` would take a sign.
        out.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex(digits))?);
        out.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_once_however_it_is_written_and_an_unknown_one_is_refused_where_it_matters() {
        let names = ["after", "epoch"];
        assert_eq!(parse("%61fter=1&x=2&x=3&%zz=1", names), Ok([Some("1".to_owned()), None]));
        for query in ["after=1&after=1", "after=1&%61fter=1", "epoch&after=1&epoch="] {
            assert!(
                matches!(parse(query, names), Err(HistoryRefused::BadQuery(m)) if m.ends_with("is there twice")),
                "{query}"
            );
        }
        assert_eq!(parse_all("", names), Ok([None, None]));
        assert_eq!(parse_all("&epoch=1&", names), Ok([None, Some("1".to_owned())]));
        for query in ["epcoh=1", "epoch=1&x", "=1", "%zz=1", "EPOCH=1"] {
            assert!(parse_all(query, names).is_err_and(|m| m.ends_with("known: after, epoch")), "{query}");
        }
        let no_novel = parse_all(&"x".repeat(10_000), []).unwrap_err();
        assert!(no_novel.len() < 120 && no_novel.contains("takes no query parameters"), "{no_novel}");
    }

    #[test]
    fn values_are_decoded_or_refused() {
        for (text, value) in [("", ""), ("a+b", "a+b"), ("%31%32", "12"), ("a%e4%b8%adb", "a中b")] {
            assert_eq!(decode(text).as_deref(), Some(value), "{text}");
        }
        for text in ["%", "%1", "%zz", "%+1", "1%", "%ff", "%e4%b8", "%中"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_whole_or_refused_and_limits_are_clamped() {
        for (text, expected) in [("0", None), ("1", Some(1)), ("007", Some(7)), ("9007199254740991", Some(OFFSET_MAX))]
        {
            assert_eq!(after(Some(text)), Ok(expected), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "1e3", " 1", "x", "9007199254740992", "99999999999999999999", "١"] {
            assert!(matches!(after(Some(text)), Err(HistoryRefused::BadQuery(m)) if m.starts_with("after ")), "{text}");
        }
        for (text, expected) in [("1", 1), ("1000", 1_000), ("1001", 1_000), ("99999999999999999999999", 1_000)] {
            assert_eq!(limit(Some(text)), Ok(expected), "{text}");
        }
        for text in ["", "0", "-1", "1.5", "ten", "0x10"] {
            assert!(matches!(limit(Some(text)), Err(HistoryRefused::BadQuery(m)) if m.starts_with("limit ")), "{text}");
        }
        assert_eq!(limit(None), Ok(PAGE_EVENTS_DEFAULT));
    }
}
