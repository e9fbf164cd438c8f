//! Line breaks that a recording writes as `/n` or `\n`.
//!
//! One comment was one line of XML, so Bilibili's client wrote a line break in it as `/n`, and every player of the
//! format shows `/n` and `\n` in the modes 1 to 6 as a line break. A reader cannot distinguish a viewer's own
//! `and/nor`, and neither could those players: a file is read as it was shown. There are two exceptions: addresses
//! whose path begins with n, and files that Volley wrote, which never contain such a break
//! (`<chatserver>volley</chatserver>`).
//!
//! Does not know: XML, modes, how the server shows a line break (as one space).

/// The text with line feeds for `/n` and `\n`.
pub(super) fn read(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = if c.is_ascii_graphic() {
            rest.find(|c: char| !c.is_ascii_graphic()).unwrap_or(rest.len())
        } else {
            out.push(c);
            c.len_utf8()
        };
        if c.is_ascii_graphic() {
            spell_out(&rest[..run], &mut out);
        }
        rest = &rest[run..];
    }
    out
}

/// Handles a run of visible ASCII, because only there can a break or an address be.
fn spell_out(run: &str, out: &mut String) {
    let mut at = 0;
    // A scheme or host cannot begin inside a word.
    let mut begins_word = true;
    while at < run.len() {
        let rest = &run[at..];
        if begins_word && is_address(rest) {
            out.push_str(rest);
            return;
        }
        if rest.starts_with("/n") || rest.starts_with("\\n") {
            out.push('\n');
            at += 2;
            begins_word = true;
        } else {
            out.push_str(&rest[..1]);
            at += 1;
            begins_word = !rest.as_bytes()[0].is_ascii_alphanumeric();
        }
    }
}

/// The longest scheme or host that is searched for, at each position of a text. A host name has at most 253 bytes.
const ADDRESS_HEAD_MAX: usize = 256;

/// Whether an address begins here: `scheme://`, `www.`, a drive's path, or a host with a path of letters or digits.
fn is_address(rest: &str) -> bool {
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return false;
    }
    let rest = &rest[..rest.len().min(ADDRESS_HEAD_MAX)];
    let scheme = rest.split_once("://").is_some_and(|(scheme, host)| {
        scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !host.is_empty()
    });
    let drive = matches!(rest.as_bytes(), [letter, b':', b'\\', ..] if letter.is_ascii_alphabetic());
    scheme || drive || rest.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www.")) || is_host_and_path(rest)
}

/// `example.org/news`, but not `nice.one/n`, which ends with a line break.
fn is_host_and_path(rest: &str) -> bool {
    let Some((host, path)) = rest.split_once('/') else { return false };
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let top = labels.last().copied().unwrap_or_default();
    labels.len() > 1
        && labels.iter().all(is_label)
        && top.len() > 1
        && top.bytes().all(|b| b.is_ascii_alphabetic())
        && path.as_bytes().get(1).is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelled_break_is_a_line_feed() {
        for (recorded, shown) in [
            ("谢谢/n", "谢谢\n"),
            ("第一行/n第二行/n第三行", "第一行\n第二行\n第三行"),
            ("line one/nline two\\nline three", "line one\nline two\nline three"),
            ("/n/n", "\n\n"),
            ("a/N \\N /m n/ / n", "a/N \\N /m n/ / n"),
            ("and/nor", "and\nor"),
            ("real\nand\r\nspelled/n", "real\nand\r\nspelled\n"),
            ("", ""),
            ("好", "好"),
            ("/", "/"),
            ("nice.one/n", "nice.one\n"),
            ("666.../n好", "666...\n好"),
        ] {
            assert_eq!(read(recorded), shown, "{recorded:?}");
        }
    }

    #[test]
    fn no_address_is_broken() {
        for kept in [
            "http://x/news",
            "https://example.org/a/n/b?x=/n#/n",
            "看http://www.bilibili.com/nico好",
            "(https://example.org/new)",
            "www.example.org/news",
            "WWW.example.org/n",
            "example.org/news",
            "b23.tv/n1",
            "C:\\new\\notes",
            "ftp://a/n b",
        ] {
            assert_eq!(read(kept), kept);
        }
        assert_eq!(read("看 http://x/news/n"), "看 http://x/news/n", "where an address ends cannot be known");
        assert_eq!(read("http://x/news 好/n"), "http://x/news 好\n");
        assert_eq!(read("一/nhttp://x/n1"), "一\nhttp://x/n1");
    }

    proptest::proptest! {
        /// Only `/n` and `\n` change, whatever is around them.
        #[test]
        fn only_spelled_breaks_change(text in "([/\\\\n .:a中😀]|http://|www[.]|\\PC){0,40}") {
            let shown = read(&text);
            let mut at = 0;
            for c in shown.chars() {
                let rest = &text[at..];
                at += match c {
                    '\n' if rest.starts_with("/n") || rest.starts_with("\\n") => 2,
                    c => { assert!(rest.starts_with(c), "{text:?} became {shown:?}"); c.len_utf8() }
                };
            }
            assert_eq!(at, text.len());
        }
    }
}
