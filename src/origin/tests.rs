//! What may be listed is what browsers send; nothing else is let in.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

/// The configuration's table of keys is held against its model's fields in JSON.
impl serde::Serialize for Origins {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.texts())
    }
}

fn listed(text: &str) -> Origins {
    Origins::read([text].into_iter()).unwrap_or_else(|why| panic!("{text:?}: {why}"))
}

#[test]
fn a_page_may_talk_to_its_own_server_and_to_no_other() {
    let none = Origins::default();
    for (origin, host, may) in [
        ("http://good.test", "good.test", true),
        ("https://good.test", "good.test", true),
        ("https://good.test", "good.test:443", true),
        ("http://Good.TEST:80", "good.test", true),
        ("http://good_one.test", "GOOD_one.test", true),
        ("http://good.test.", "good.test.", true),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
        ("http://[::1]:8080", "[::1]:8080", true),
        ("http://[::1]", "[0:0:0:0:0:0:0:1]", true),
        ("https://good.test.evil.test", "good.test", false),
        ("https://evil.test", "good.test", false),
        ("https://good.test:444", "good.test", false),
        ("http://good.test", "good.test:443", false),
        ("http://good.test", "good.test.", false),
        ("http://good.test:8080", "good.test:8081", false),
        ("null", "good.test", false),
        ("null", "null", false),
        ("", "good.test", false),
        ("file://", "", false),
        ("good.test", "good.test", false),
        ("http://good.test/", "good.test", false),
        ("http://good.test@evil.test", "evil.test", false),
        ("http://good.test:80:80", "good.test", false),
        ("http://good.test:99999", "good.test", false),
        ("http://good.test:+80", "good.test", false),
        ("http://", "", false),
        ("ftp://good.test:80", "good.test:80", false),
        ("app://good.test", "good.test", false),
        ("http://good.test, http://evil.test", "good.test", false),
    ] {
        assert_eq!(none.admits(origin, host), may, "{origin} on {host}");
    }
}

#[test]
fn the_list_is_exact_in_scheme_host_and_port() {
    let allowed = Origins::read(["https://good.test/", "capacitor://localhost"].into_iter()).unwrap();
    for (origin, may) in [
        ("https://good.test", true),
        ("https://good.test:443", true),
        ("http://good.test", false),
        ("https://good.test:444", false),
        ("https://good.test.", false),
        ("https://good.test.evil.test", false),
        ("https://evil-good.test", false),
        ("capacitor://localhost", true),
        ("capacitor://localhost:80", false),
        ("capacitor://localhost2", false),
        ("ionic://localhost", false),
        ("null", false),
    ] {
        assert_eq!(allowed.admits(origin, "volley.test"), may, "{origin}");
    }
    assert!(listed("*").admits("https://anybody.test", "volley.test"));
}

/// What is written, and what browsers send of it; of what is no origin, a part of the reason.
#[test]
fn what_operators_write_becomes_what_browsers_send_or_is_refused_with_what_to_write() {
    let cases: &[(&str, Result<&str, &str>)] = &[
        ("https://shop.example", Ok("https://shop.example")),
        ("https://shop.example/", Ok("https://shop.example")),
        ("HTTPS://Shop.Example:443", Ok("https://shop.example")),
        ("http://shop.example:0080/", Ok("http://shop.example")),
        ("https://shop.example:80", Ok("https://shop.example:80")),
        ("http://localhost:5173", Ok("http://localhost:5173")),
        ("http://[::1]:5173", Ok("http://[::1]:5173")),
        ("http://[0:0::0001]", Ok("http://[::1]")),
        ("http://[::FFFF:127.0.0.1]", Ok("http://[::ffff:7f00:1]")),
        ("http://10.0.0.1:80", Ok("http://10.0.0.1")),
        ("https://xn--55qx5d.example", Ok("https://xn--55qx5d.example")),
        ("https://a_b.example", Ok("https://a_b.example")),
        ("capacitor://localhost", Ok("capacitor://localhost")),
        ("ionic://localhost/", Ok("ionic://localhost")),
        ("tauri://localhost", Ok("tauri://localhost")),
        (
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            Ok("chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
        ),
        (
            "moz-extension://8F2c1a3e-0000-4000-8000-1234567890ab/",
            Ok("moz-extension://8f2c1a3e-0000-4000-8000-1234567890ab"),
        ),
        ("app://-", Ok("app://-")),
        ("app://.", Ok("app://.")),
        ("app://bundle:3000", Ok("app://bundle:3000")),
        ("file://", Ok("file://")),
        ("file:///", Ok("file://")),
        ("*", Ok("*")),
        ("shop.example", Err("it has no scheme")),
        ("//shop.example", Err("it has no scheme")),
        ("", Err("it has no scheme")),
        ("https//shop.example", Err("it has no scheme")),
        ("https://shop.example//", Err("write https://shop.example")),
        ("https://shop.example/live?x#y", Err("something after the host; write https://shop.example")),
        ("https://shop.example:444?", Err("write https://shop.example:444")),
        ("https://me:hunter2@shop.example/", Err("it has a user name; write https://shop.example")),
        ("https://*.shop.example", Err("wildcard")),
        ("https://shop.example https://b.example", Err("each origin as an item of its own")),
        ("https://a.example;https://b.example", Err("each origin as an item of its own")),
        ("https://shop.example:0", Err("its port")),
        ("https://shop.example:65536", Err("its port")),
        ("https://shop.example:+443", Err("its port")),
        ("https://shop.example:", Err("its port")),
        ("https://shop.example:*", Err("wildcard")),
        ("https://", Err("neither a name nor")),
        ("https:///", Err("neither a name nor")),
        ("app://", Err("neither a name nor")),
        ("https://[::1", Err("neither a name nor")),
        ("https://[::1%25eth0]", Err("neither a name nor")),
        ("https://::1", Err("its port")),
        ("https://a..b", Err("neither a name nor")),
        ("https://127.1", Err("neither a name nor")),
        ("https://0x7f.0.0.1", Err("neither a name nor")),
        ("https://shop%2eexample", Err("neither a name nor")),
        ("file:///srv/page.html", Err("write file://")),
        ("wss://shop.example", Err("pages do not come from")),
        ("ftp://shop.example", Err("pages do not come from")),
        ("null", Err("`null`")),
        ("https://商店.example", Err("xn--")),
    ];
    for (given, expected) in cases {
        let read = Origins::read([*given].into_iter());
        match expected {
            Ok(sent) => {
                let read = read.unwrap_or_else(|why| panic!("{given:?}: {why}"));
                assert_eq!(read.texts().collect::<Vec<_>>(), [*sent], "{given:?}");
                assert!(*sent == "*" || read.admits(sent, "volley.test"), "{given:?}");
            }
            Err(part) => {
                let why = read.expect_err(given);
                assert!(
                    why.starts_with("item 1: ") && why.contains(part) && !why.contains("hunter2"),
                    "{given:?}: {why}"
                );
            }
        }
    }
    let many: Vec<String> = (0..257).map(|n| format!("https://a{n}.test")).collect();
    assert!(Origins::read(many.iter().map(String::as_str)).unwrap_err().contains("more than 256"));
    assert_eq!(Origins::read(["https://a.test", "https://A.test/"].into_iter()).unwrap().texts().count(), 1);
}

/// An origin, and how a browser writes it: by the rules of the URL standard, not by our reader's.
fn page() -> impl Strategy<Value = (String, String, Option<u16>, String)> {
    let scheme =
        select(vec!["http", "https", "capacitor", "ionic", "tauri", "app", "chrome-extension", "moz-extension"]);
    let groups = prop::collection::vec(prop_oneof![3 => Just(0_u16), 2 => any::<u16>()], 8);
    let host = prop_oneof![
        "[a-z][a-z0-9-]{0,8}[a-z](\\.[a-z_][a-z0-9]{0,5}){0,3}",
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        groups.prop_map(|groups| format!("[{}]", compressed(&groups))),
    ];
    let port = proptest::option::of(prop_oneof![Just(80_u16), Just(443), 1..=u16::MAX]);
    (scheme, host, port).prop_map(|(scheme, host, port)| {
        let default = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let shown = port.filter(|port| Some(*port) != default).map_or(String::new(), |port| format!(":{port}"));
        let sent = format!("{scheme}://{host}{shown}");
        (scheme.to_owned(), host, port, sent)
    })
}

/// The IPv6 serializer of the URL standard: the first of the longest runs of two or more zeros becomes `::`.
fn compressed(groups: &[u16]) -> String {
    let run = |from: usize| groups[from..].iter().take_while(|group| **group == 0).count();
    let (best, length) = (0..8).map(|from| (from, run(from))).fold((0, 0), |a, b| if b.1 > a.1 { b } else { a });
    let hex = |groups: &[u16]| groups.iter().map(|group| format!("{group:x}")).collect::<Vec<_>>().join(":");
    if length < 2 { hex(groups) } else { format!("{}::{}", hex(&groups[..best]), hex(&groups[best + length..])) }
}

proptest! {
    #[test]
    fn whatever_is_listed_admits_exactly_what_the_browser_sends(
        (scheme, host, port, sent) in page(),
        (loud, slash, zeros) in any::<(bool, bool, bool)>(),
        (_, _, _, other) in page(),
    ) {
        let mut written = match port {
            Some(port) if zeros => format!("{scheme}://{host}:0{port}"),
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        if loud {
            written.make_ascii_uppercase();
        }
        if slash {
            written.push('/');
        }
        let origins = listed(&written);
        prop_assert!(origins.admits(&sent, "volley.test"), "{written} does not admit {sent}");
        prop_assert_eq!(origins.texts().collect::<Vec<_>>(), [sent.clone()]);
        prop_assert_eq!(origins.admits(&other, "volley.test"), other == sent);
        for neighbour in [format!("{sent}0"), format!("{sent}.evil.test"), format!("x{sent}"), format!("{sent}/"), format!("{sent},{other}")] {
            prop_assert!(!origins.admits(&neighbour, "volley.test"), "{written} admits {neighbour}");
        }
    }

    #[test]
    fn any_text_that_may_be_listed_is_recognised_when_it_comes(text in "[a-z-]{0,9}(://)?[\\]\\[a-zA-Z0-9:./@*~_ -]{0,20}") {
        if let Ok(origins) = Origins::read([text.as_str()].into_iter()) {
            for sent in origins.texts() {
                prop_assert!(origins.admits(&sent, "volley.test"), "{text} is listed as {sent} and not recognised");
                prop_assert_eq!(&listed(&sent), &origins);
            }
        }
    }
}
