//! The addresses of the pages: below a path that a proxy strips or keeps, and in frames of other sites.

mod support;

use support::gateway::{Answer, Server, config, upgrade};
use volley::base_path::BasePath;
use volley::config::Config;
use volley::origin::Origins;

fn server(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config();
    change(&mut config);
    Server::start(&config)
}

fn get(server: &Server, path: &str) -> Answer {
    server.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}

#[test]
fn every_public_address_is_also_below_the_base_path() {
    let server = server(|config| config.addresses.public_path = BasePath::parse("/live/chat").unwrap());
    for path in ["/", "/rooms/demo", "/assets/watch.js", "/v1/rooms", "/v1/rooms/-/ws?check=1"] {
        let stripped = get(&server, path);
        assert_eq!(stripped.status, 200, "{path}: {stripped:?}");
        let kept = get(&server, &format!("/live/chat{path}"));
        assert_eq!((kept.status, &kept.body), (200, &stripped.body), "{path}");
        assert_eq!(kept.header("etag"), stripped.header("etag"), "{path}");
    }
    // Both ways to an upgrade: the short one, and hyper's for a second request on a connection.
    for path in ["/live/chat/v1/rooms/demo/ws", "/v1/rooms/demo/ws"] {
        assert_eq!(server.ask(upgrade(path, "")).status, 101, "{path}");
        let mut client = server.connect();
        client.send("GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client.send(upgrade(path, ""));
        assert_eq!(client.answer().status, 101, "{path}");
    }
    for path in ["/live/chatter/", "/live/", "/live/chat/live/chat/", "/live/chat/metrics", "/live/chat/healthz"] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
}

#[test]
fn page_of_a_refusal_leads_back_to_the_list_below_the_base_path() {
    let server = server(|config| config.addresses.public_path = BasePath::parse("/live/chat").unwrap());
    for (path, home) in [
        ("/live/chat/rooms/a%20b", "../"),
        ("/rooms/a%20b", "../"),
        ("/live/chat/x", "./"),
        ("/live/chat/rooms/a/b", "../../"),
    ] {
        let page =
            server.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nConnection: close\r\n\r\n"));
        assert_eq!(page.status, 404);
        assert!(page.body.contains(&format!("href=\"{home}\">")), "{path}: {}", page.body);
        assert!(page.body.contains(&format!("href=\"{home}assets/base.css\"")), "{path}: {}", page.body);
    }
}

#[test]
fn base_path_without_its_slash_leads_to_the_one_with_it() {
    let server = server(|config| config.addresses.public_path = BasePath::parse("/chat/").unwrap());
    for (path, location) in [("/chat", "/chat/"), ("/chat?lang=zh", "/chat/?lang=zh")] {
        let answer = get(&server, path);
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)));
        assert!(answer.header("content-security-policy").is_some());
    }
}

#[test]
fn only_listed_sites_may_frame_the_pages() {
    let ancestors = |answer: &Answer| {
        let policy = answer.header("content-security-policy").unwrap().to_owned();
        policy.rsplit_once("frame-ancestors ").unwrap().1.to_owned()
    };
    let default = server(|_| ());
    let page = get(&default, "/rooms/demo");
    assert_eq!((ancestors(&page).as_str(), page.header("x-frame-options")), ("'self'", Some("sameorigin")));
    let metrics = default.ask_admin("/metrics");
    assert_eq!((ancestors(&metrics).as_str(), metrics.header("x-frame-options")), ("'none'", Some("deny")));

    let listed = ["https://Shop.example:443/", "capacitor://localhost", "http://[::1]:8080", "file://"];
    let listed = server(|config| config.pages.frame_ancestors = Origins::read(listed.into_iter()).unwrap());
    let page = get(&listed, "/rooms/demo");
    // Older browsers do not support a list in the other header, so it is left out.
    assert_eq!(ancestors(&page), "'self' https://shop.example capacitor://localhost http://[::1]:8080 file:");
    assert_eq!(page.header("x-frame-options"), None);
    assert_eq!(ancestors(&listed.ask_admin("/metrics")), "'none'", "the admin address stays out of frames");

    let any = server(|config| config.pages.frame_ancestors = Origins::read(["*"].into_iter()).unwrap());
    assert_eq!(ancestors(&get(&any, "/")), "'self' *");
}
