//! Browsers receive a page and programs receive JSON, for every refusal that a person can meet.

mod support;

use support::gateway::{Answer, Client, Server, config, upgrade};

const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n";

fn ask(address: std::net::SocketAddr, method: &str, target: &str, lines: &str) -> Answer {
    let mut client = Client::connect(address);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n"));
    client.answer_to(method).unwrap()
}

/// The refusal, as a page and as JSON, with the same status.
fn both(address: std::net::SocketAddr, method: &str, target: &str, lines: &str) -> (Answer, Answer) {
    let page = ask(address, method, target, &format!("{BROWSER}{lines}"));
    let json = ask(address, method, target, lines);
    assert_eq!(page.status, json.status, "{method} {target}");
    (page, json)
}

fn assert_page(what: &str, page: &Answer) {
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{what}: {page:?}");
    assert_eq!(page.header("content-language"), Some("zh-cn"), "{what}");
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'self'")),
        "{what}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert!(page.body.starts_with("<!doctype html>") && page.body.ends_with("</html>\n"), "{what}: {}", page.body);
}

#[test]
fn a_refusal_is_a_page_for_people_and_json_for_programs() {
    let mut config = config();
    config.room.rooms_max = 1;
    let server = Server::start(&config);
    for (method, target, lines, status, code) in [
        ("GET", "/rooms/%E7%9B%B4%E6%92%AD", "", 404, "not_found"),
        ("GET", "/rooms/my%20room", "", 404, "not_found"),
        ("GET", "/rooms/my%20room/", "", 404, "not_found"),
        ("GET", "/rooms/", "", 404, "not_found"),
        ("GET", "/nowhere/at/all", "", 404, "not_found"),
        ("GET", "/rooms/a/b", "", 404, "not_found"),
        ("POST", "/rooms/demo", "", 405, "method_not_allowed"),
        ("POST", "/rooms/demo/", "", 405, "method_not_allowed"),
        ("DELETE", "/", "", 405, "method_not_allowed"),
        ("POST", "/", "Content-Length: 1\r\n", 413, "body_not_allowed"),
        ("GET", "/assets/nothing.js", "", 404, "not_found"),
        ("GET", "/v1/rooms/demo/events", "", 404, "no_such_room"),
        ("GET", "/v1/rooms/demo/export?format=doc", "", 400, "bad_payload"),
        ("GET", "/v1/rooms/a.b/export", "", 400, "bad_room"),
        ("GET", "/v1/rooms/demo/ws", "", 426, "upgrade_required"),
    ] {
        let what = format!("{method} {target}");
        let (page, json) = both(server.public, method, target, lines);
        assert_eq!((json.status, json.code().as_str()), (status, code), "{what}: {json:?}");
        assert_page(&what, &page);
        assert!(page.body.contains(code) && page.body.contains("全部房间"), "{what}: {}", page.body);
        assert_eq!(page.header("allow"), json.header("allow"), "{what}");
        if method == "GET" && code != "upgrade_required" {
            assert_eq!(ask(server.public, "HEAD", target, BROWSER).status, status, "{what}");
        }
    }
    let page = ask(server.public, "GET", "/rooms/%3Cimg%20src=x%20onerror=alert(1)%3E", BROWSER);
    assert!(!page.body.contains("<img") && page.body.contains("&lt;img src=x onerror=alert(1)&gt;"), "{}", page.body);
    let admin = both(server.admin, "GET", "/rooms/demo", "").0;
    assert_page("the admin address", &admin);
    assert!(!admin.body.contains("全部房间"), "there is no list of rooms: {}", admin.body);
    let mut foreign = Client::connect(server.admin);
    foreign.send(format!("GET /metrics HTTP/1.1\r\nHost: evil.test\r\n{BROWSER}Connection: close\r\n\r\n"));
    let foreign = foreign.answer();
    assert_eq!(foreign.status, 421);
    assert_page("a foreign name", &foreign);
}

#[test]
fn an_address_with_a_slash_too_many_leads_to_the_room_with_its_query() {
    let server = Server::start(&config());
    for (target, location) in [
        ("/rooms/demo/", "../demo"),
        ("/rooms/demo/?lang=zh&x=%2F", "../demo?lang=zh&x=%2f"),
        ("/rooms/%64emo/", "../demo"),
        ("/rooms/demo/?", "../demo?"),
    ] {
        for accept in ["", BROWSER] {
            let answer = ask(server.public, "GET", target, accept);
            assert_eq!((answer.status, answer.header("location")), (308, Some(location)), "{target}: {answer:?}");
        }
    }
    for target in ["/rooms/a.b/", "/rooms//", "/rooms/demo//", "//evil.test/rooms/demo/", "/rooms/..%2f..%2fevil.test/"]
    {
        assert_eq!(ask(server.public, "GET", target, BROWSER).status, 404, "{target}");
    }
}

#[test]
fn a_person_above_the_limit_is_told_so_on_a_page() {
    let mut config = config();
    config.admission.connections_per_address_max = 1;
    let server = Server::start(&config);
    let mut viewer = server.connect();
    viewer.send(upgrade("/v1/rooms/demo/ws", ""));
    assert_eq!(viewer.answer().status, 101);
    let (page, json) = both(server.public, "GET", "/rooms/demo", "");
    assert_eq!((json.status, json.code().as_str()), (429, "too_many_connections"));
    assert_page("one too many", &page);
    assert_eq!(page.header("retry-after"), json.header("retry-after"));
    assert!(page.body.contains("来自您网络的连接过多"), "{}", page.body);
    drop(viewer);
}
