use super::*;
use proptest::prelude::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn page(path: &str, language: &str, code: &'static str) -> String {
    let uri: Uri = path.parse().unwrap();
    let reader = Reader::of(&uri, &headers(&[("accept", BROWSER), ("accept-language", language)]), true).unwrap();
    reader.page(404, &Refused { code, message: "there is <nothing> at this address".into() })
}

#[test]
fn people_get_a_page_and_programs_get_json() {
    for (accept, is_person) in [
        (BROWSER, true),
        ("text/html", true),
        ("TEXT/HTML;level=1", true),
        ("application/xhtml+xml", true),
        ("application/json;q=0.9, text/html", true),
        ("*/*", false),
        ("", false),
        ("text/*", false),
        ("application/json, text/html", false),
        ("application/json", false),
        ("application/json, text/html;q=0.9", false),
        ("text/html;q=0", false),
        ("text/html;q=x", false),
        ("text/htmlx", false),
        ("image/avif,image/webp,*/*;q=0.8", false),
    ] {
        let reader = Reader::of(&"/".parse().unwrap(), &headers(&[("accept", accept)]), true);
        assert_eq!(reader.is_some(), is_person, "{accept}");
    }
    assert!(Reader::of(&"/".parse().unwrap(), &HeaderMap::new(), true).is_none());
}

#[test]
fn a_name_that_is_none_is_shown_with_what_it_may_be_and_with_a_name_that_is_near() {
    for (path, shown, offer) in [
        ("/rooms/my%20room", "my room", Some("my-room")),
        ("/rooms/a.b/", "a.b", Some("a-b")),
        ("/rooms/caf%C3%A9%20%232", "café #2", Some("caf-2")),
        ("/rooms/%E7%9B%B4%E6%92%AD", "直播", None),
        ("/rooms/%E7%9B%B4%E6%92%AD2026", "直播2026", Some("2026")),
        ("/rooms/%ff%00", "\u{fffd}\u{fffd}", None),
        ("/rooms/%zz", "%zz", Some("zz")),
        ("/rooms/--", "--", None),
        (
            "/rooms/%3Cscript%3Ealert(1)%3C/script%3E",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            Some("script-alert-1-script"),
        ),
        ("/rooms/%22%27%26", "&quot;&#39;&amp;", None),
        ("/rooms/%7B%7Bmessage%7D%7D", "{{message}}", Some("message")),
    ] {
        let page = page(path, "en", "not_found");
        assert!(page.contains(&format!("<h1>“<bdi>{shown}</bdi>” is not a room name</h1>")), "{path}: {page}");
        let link = page.split("button primary\" href=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(link.map(|link| link.rsplit('/').next().unwrap()), offer, "{path}");
        assert!(page.contains("1 to 64 letters"), "{path}");
    }
    let long = page(&format!("/rooms/{}", "y".repeat(10_000)), "en", "not_found");
    assert!(long.len() < 4_000 && long.contains(&format!("{}…", "y".repeat(SHOWN_CHARS_MAX))), "{long}");
    assert!(long.contains(&format!("rooms/{}\"", "y".repeat(64))));
}

#[test]
fn links_are_relative_to_any_depth_and_every_code_has_words_in_both_languages() {
    for (path, up) in
        [("/", "./"), ("/x", "./"), ("/rooms/", "../"), ("/rooms/a.b", "../"), ("/rooms/a.b/", "../../"), ("//", "../")]
    {
        let page = page(path, "en", "not_found");
        assert!(page.contains(&format!("href=\"{up}assets/base.css\"")), "{path}: {page}");
        assert!(page.contains(&format!("class=\"button\" href=\"{up}\">All rooms")), "{path}: {page}");
    }
    for code in ["not_found", "rooms_full", "anything"] {
        let (english, chinese) = (page("/x", "en", code), page("/x", "zh-CN,en", code));
        assert!(english.contains("<html lang=\"en\">") && chinese.contains("<html lang=\"zh-CN\">"), "{code}");
        assert!(chinese.contains("全部房间") && chinese.contains("there is &lt;nothing&gt;"), "{code}: {chinese}");
    }
    assert!(page("/x?a=b&lang=zh", "en", "not_found").contains("全部房间"), "the address overrides the browser");
    assert!(!page("/x", "en", "not_found").contains("{{"));
}

#[test]
fn what_is_no_refusal_and_what_is_said_of_caching_and_frames_stays() {
    let reader = Reader::of(&"/x".parse().unwrap(), &headers(&[("accept", BROWSER)]), true).unwrap();
    let plain = reader.explained(Response::new(Body::from("as it is")));
    assert!(plain.headers().is_empty());
    let mut refused = Response::new(Body::from("{}"));
    refused.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    refused.headers_mut().insert("retry-after", HeaderValue::from_static("5"));
    refused.extensions_mut().insert(Refused { code: "overloaded", message: "m".into() });
    let page = reader.explained(refused);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!((header("content-security-policy"), header("retry-after")), ("default-src 'none'".into(), "5".into()));
    assert_eq!(
        (header("x-content-type-options"), header("vary")),
        ("nosniff".into(), "accept, accept-language".into())
    );
}

proptest! {
    /// Nothing that an address holds becomes markup.
    #[test]
    fn no_address_adds_an_element_or_an_attribute(segment in "[ -~]{0,40}", text in any::<String>()) {
        let plain = page("/rooms/a.b", "en", "not_found");
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for segment in [encoded, segment.replace(['?', '#'], "%3f")] {
            let Ok(uri) = format!("/rooms/{segment}").parse::<Uri>() else { continue };
            let reader = Reader::of(&uri, &headers(&[("accept", BROWSER)]), true).unwrap();
            let page = reader.page(404, &Refused { code: "not_found", message: "m".into() });
            let tags = |page: &str, mark: char| page.matches(mark).count();
            // The name's own element, and the offer's, are there or not.
            prop_assert!(tags(&page, '<') <= tags(&plain, '<'), "{page}");
            prop_assert_eq!(tags(&page, '<'), tags(&page, '>'));
            prop_assert!(tags(&page, '"') <= tags(&plain, '"') , "{page}");
        }
    }
}
