//! What an env file, a shell that was not there or an editor leaves in a value: named as what it is, before it becomes
//! a directory called `"memory"` or a key that nobody can type.
//!
//! Does not know: sources, keys.

/// Quotation marks, an opening one beside the closing one that it goes with.
const QUOTES: [(char, char); 11] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('“', '”'),
    ('”', '”'),
    ('„', '“'),
    ('‘', '’'),
    ('’', '’'),
    ('«', '»'),
    ('「', '」'),
    ('＂', '＂'),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlipContext {
    Value,
    /// A list, whose items are trimmed where it is read.
    List,
    /// A key, in which a single quotation mark may be meant.
    Secret,
}

/// What is wrong with a text whatever it means, and what to do; `None`: nothing. Never repeats the text.
pub(super) fn slip(text: &str, kind: SlipContext) -> Option<&'static str> {
    let inner = text.trim_matches(is_blank);
    let (Some(first), Some(last)) = (inner.chars().next(), inner.chars().next_back()) else {
        return (!text.is_empty() && kind != SlipContext::List)
            .then_some("it is only white space; write a value or remove it");
    };
    let is_pair = inner.chars().nth(1).is_some() && QUOTES.contains(&(first, last));
    let is_mark = |c: char| QUOTES.iter().any(|(open, close)| c == *open || c == *close);
    if is_pair {
        return Some(
            "it stands in quotes, which are a part of it here; remove them (an env file, such as Docker's, keeps quotes; the \
             text in a TOML file has one pair)",
        );
    }
    if kind != SlipContext::Secret && (is_mark(first) || is_mark(last)) {
        return Some("it begins or ends with a quotation mark, which is a part of it here; remove it");
    }
    if kind == SlipContext::List {
        // An IPv6 address stands in brackets of its own.
        let is_bracketed = inner.strip_prefix('[').is_some_and(|rest| {
            rest.split_once(']').is_none_or(|(inside, _)| inside.parse::<std::net::Ipv6Addr>().is_err())
        });
        return (is_bracketed || inner.contains('"')).then_some(
            "a list stands without brackets and quotes here: its items, separated by commas, such as one,two",
        );
    }
    if text.ends_with('\r') {
        return Some("it ends with a carriage return; save the file that it comes from with Unix line ends (LF)");
    }
    let is_invisible = |c: char| is_blank(c) && !c.is_whitespace();
    if inner.len() < text.len() {
        return Some(if text.starts_with(is_invisible) || text.ends_with(is_invisible) {
            "it begins or ends with an invisible character; type it again"
        } else {
            "it begins or ends with white space; remove that"
        });
    }
    None
}

/// White space, and what looks like none: marks of byte order and direction, zero-width spaces and joiners.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What is wrong with a path that only a shell would understand, and what to do.
fn unexpanded(text: &str) -> Option<&'static str> {
    let is_named = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{' || c == '(');
    if text.starts_with('~') {
        Some("`~` is expanded by shells only; write the whole path")
    } else if text.split('$').skip(1).any(is_named) || text.contains('`') {
        Some("variables are expanded by shells only; write the whole path")
    } else {
        None
    }
}

/// What is wrong with the path of a configuration file, and what to do.
pub(super) fn file_slip(text: &str) -> Option<&'static str> {
    slip(text, SlipContext::Value).or_else(|| unexpanded(text))
}

/// What is wrong with a path that is to be the data directory, and what to do.
pub(super) fn path_slip(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        Some("it is a URL; write a directory of this machine, such as /var/lib/volley")
    } else if let Some(slip) = unexpanded(text) {
        Some(slip)
    } else if text == ":memory:" || (text != "memory" && text.eq_ignore_ascii_case("memory")) {
        Some("write memory, in lower case, for a log in memory; a directory of that name is ./memory")
    } else if text.chars().any(char::is_control) {
        Some("a path has no control characters")
    } else {
        None
    }
}

/// What somebody wrote in the place of an IP address with port.
pub(super) fn instead_of_address(text: &str) -> &'static str {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_address = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    if text.is_empty() {
        "nothing"
    } else if text.contains("://") {
        "a URL"
    } else if is_address(text.trim_matches(['[', ']'])) {
        "an address without a port"
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        "a port without an address"
    } else if host.is_empty() || host == "*" {
        "a port without an address (0.0.0.0 or [::] is every one)"
    } else if is_address(host.trim_matches(['[', ']'])) && port.parse::<u16>().is_err() {
        "an address whose port is not a number up to 65535"
    } else if is_address(host) {
        "an IPv6 address without its brackets"
    } else if port.parse::<u16>().is_ok() {
        "a name with a port"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shells_env_files_and_editors_leave_is_named() {
        for (text, part) in [
            ("\"memory\"", "stands in quotes"),
            ("'memory'", "stands in quotes"),
            ("“memory”", "stands in quotes"),
            ("„memory“", "stands in quotes"),
            ("\"memory\"\r", "stands in quotes"),
            ("\"\"", "stands in quotes"),
            ("\"memory", "quotation mark"),
            ("memory’", "quotation mark"),
            ("\"", "quotation mark"),
            ("memory\r", "carriage return"),
            ("memory ", "white space"),
            ("\tmemory", "white space"),
            ("\u{a0}memory", "white space"),
            ("\u{feff}memory", "invisible"),
            ("memory\u{200b}", "invisible"),
        ] {
            assert!(slip(text, SlipContext::Value).is_some_and(|said| said.contains(part)), "{text:?}");
            assert_eq!(slip("a\"b'c d", SlipContext::Value), None);
        }
        assert_eq!(slip("'0123456789abcdef", SlipContext::Secret), None);
        assert!(slip("'0123456789abcdef'", SlipContext::Secret).is_some());
        assert_eq!(slip(" https://a.example , https://b.example\r", SlipContext::List), None);
        assert_eq!(slip("http://[::1]:80,", SlipContext::List), None);
        assert_eq!(slip("[::1]:80,https://a.example", SlipContext::List), None);
        assert_eq!(slip("[fd00::1],[fd00::2]", SlipContext::List), None);
        for list in ["[\"https://a.example\"]", "[https://a.example]", "https://a.example\",\"https://b.example"] {
            assert!(slip(list, SlipContext::List).is_some_and(|said| said.contains("without brackets")), "{list}");
        }
    }

    #[test]
    fn paths_that_only_a_shell_would_understand_are_named() {
        for (text, part) in [
            ("~/volley", "`~`"),
            ("~volley", "`~`"),
            ("$HOME/volley", "variables"),
            ("/srv/${USER}/volley", "variables"),
            ("$(pwd)/volley", "variables"),
            ("`pwd`", "variables"),
            ("file:///var/lib/volley", "a URL"),
            ("Memory", "in lower case"),
            (":memory:", "in lower case"),
            ("a\u{7}b", "control"),
        ] {
            assert!(path_slip(text).is_some_and(|said| said.contains(part)), "{text:?}");
        }
        for path in ["memory", "./Memory", "/srv/a$/b", "/srv/100$", "C:/x", "/srv/it's", "/var/lib/volley~"] {
            assert_eq!(path_slip(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_address_is_called_by_its_name() {
        for (text, found) in [
            ("", "nothing"),
            ("http://127.0.0.1:8080", "a URL"),
            ("127.0.0.1", "an address without a port"),
            ("[::1]", "an address without a port"),
            ("8080", "a port without an address"),
            (":8080", "a port without an address (0.0.0.0 or [::] is every one)"),
            ("*:8080", "a port without an address (0.0.0.0 or [::] is every one)"),
            ("127.0.0.1:65536", "an address whose port is not a number up to 65535"),
            ("[::1]:http", "an address whose port is not a number up to 65535"),
            ("localhost:8080", "a name with a port"),
            ("volley", "something else"),
        ] {
            assert_eq!(instead_of_address(text), found, "{text}");
        }
    }
}
