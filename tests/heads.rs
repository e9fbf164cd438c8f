//! Request heads: unknown headers, the server's names, and time limits.

mod support;

use std::io::Write;
use std::time::{Duration, Instant};
use support::gateway::{Client, Server, config, upgrade, wait_until};

const WS: &str = "/v1/rooms/demo/ws";

/// Headers that proxies add: `cf-ipcity: São Paulo` in Latin-1, a path in UTF-8, an empty value.
#[test]
fn unknown_headers_are_ignored_on_every_address() {
    let server = Server::start(&config());
    let odd = [
        b"cf-ipcity: S\xe3o Paulo\r\nReferer: http://a/\xe5\xbc\xb9\r\nCookie: \x80\xff\r\nX-Empty:\r\nX-Tab: a\tb\r\n"
            .as_slice(),
        b"X-Twice: a\r\nX-Twice: \xff\r\n!#$%&'*+-.^_`|~: odd\r\nAccept-Language: \xff;;q=x\r\nVia: \xff\r\n",
        b"Origin: \xff\r\nSec-WebSocket-Key: \xff\r\nSec-WebSocket-Protocol: \xff\r\nContent-Length: 0\r\n",
        b"If-None-Match: \xff\r\nAccept: \xff\r\nUser-Agent: \xff\r\nConnection: close, \xff\r\n",
    ]
    .concat();
    for (target, status) in [("/", 200), ("/rooms/demo", 200), ("/v1/rooms", 200), ("/nowhere", 404)] {
        for query in ["", "?name=S%e3o", "?%ff=%ff"] {
            let head = format!("GET {target}{query} HTTP/1.1\r\nHost: a\r\n").into_bytes();
            let answer = server.ask([&head, odd.as_slice(), b"\r\n"].concat());
            assert_eq!(answer.status, status, "{target}{query}: {answer:?}");
        }
    }
    for path in ["/healthz", "/metrics"] {
        let mut client = Client::connect(server.admin);
        client.send([format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n").as_bytes(), &odd, b"\r\n"].concat());
        assert_eq!(client.answer().status, 200, "{path}");
    }
    let raw = server.ask(b"GET /v1/rooms?name=S\xc3\xa3o HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(raw.status, 200, "a query of UTF-8 as a program wrote it: {raw:?}");
}

/// A page can point its own host name at this machine (DNS rebinding); `Host` then has that name.
#[test]
fn without_a_key_the_admin_address_answers_only_to_its_own_names() {
    let mut config = config();
    config.addresses.admin_hosts = volley::host::Hosts::read(["volley", "metrics.internal"].into_iter()).unwrap();
    let server = Server::start(&config);
    let address = server.admin;
    let ask = |method: &str, target: &str, host: &str| {
        let mut client = Client::connect(address);
        client.send(format!("{method} {target} HTTP/1.1\r\n{host}Content-Length: 0\r\nConnection: close\r\n\r\n"));
        client.answer()
    };
    let own = format!("Host: {address}\r\n");
    for host in
        ["localhost", "LOCALHOST:9", "localhost.", "x.localhost", "127.0.0.1", "127.9.9.9:1", "[::1]", "volley:8081"]
    {
        for path in ["/metrics", "/v1/rooms", "/healthz", "/nowhere"] {
            assert_ne!(ask("GET", path, &format!("Host: {host}\r\n")).status, 421, "{host}{path}");
        }
    }
    assert_eq!(ask("GET", "/metrics", &own).status, 200);
    assert_eq!(ask("GET", &format!("http://{address}/metrics"), &own).status, 200);
    for host in
        ["evil.test", "evil.test:8081", "localhost.evil.test", "127.0.0.1.evil.test", "10.9.8.7", "", "[::2]", "127.1"]
    {
        let host = format!("Host: {host}\r\n");
        for (method, path) in [("GET", "/metrics"), ("GET", "/v1/rooms"), ("HEAD", "/v1/rooms"), ("GET", "/nowhere")] {
            let mut client = Client::connect(address);
            client.send(format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
            assert_eq!(client.answer_to(method).unwrap().status, 421, "{method} {path} {host}");
        }
        let answer = ask("POST", "/v1/announce", &host);
        assert_eq!((answer.status, answer.code().as_str()), (421, "wrong_host"), "{host}: {answer:?}");
        assert!(answer.message().contains("admin_hosts") && answer.message().contains("admin_key"), "{answer:?}");
        assert_eq!(ask("GET", "/healthz", &host).status, 200, "a supervisor may call it anything: {host}");
        assert_eq!(ask("GET", "/readyz", &host).status, 503, "a balancer too: {host}");
    }
    for (target, host) in [
        ("http://evil.test/metrics", own.as_str()),
        ("http://localhost/metrics", "Host: evil.test\r\n"),
        ("/metrics", ""),
        ("/metrics", "Host: localhost\r\nHost: evil.test\r\n"),
        ("/metrics", "Host: localhost@evil.test\r\n"),
        ("/metrics", "Host: localhost/x\r\n"),
    ] {
        assert_eq!(ask("GET", target, host).status, 400, "{target} {host}");
    }
    let old = |path: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        client.answer().status
    };
    assert_eq!((old("/healthz"), old("/metrics")), (200, 421), "no name is none");
    drop(server);

    config.addresses.admin_key = volley::config::Secret::new("0123456789abcdef");
    let server = Server::start(&config);
    let mut client = Client::connect(server.admin);
    client.send("GET /metrics HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().status, 200, "with a key any name will do");
}

/// A valid request extends no time limit.
#[test]
fn half_a_head_on_a_connection_that_was_used_is_closed_like_a_first_one() {
    let mut config = config();
    config.admission.handshake_ms = 600;
    let server = Server::start(&config);
    let good = "GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n";
    let upgrade = upgrade(WS, "");
    let rows = [
        ("half a head", "GET /v1/rooms HTTP/1.1\r\nHo", 0),
        ("one byte", "G", 0),
        ("half an upgrade", &upgrade[..upgrade.len() - 2], 0),
        ("half a head after a pause", "GET / HTTP/1.1\r\nHost: a\r\n", 900),
    ];
    std::thread::scope(|scope| {
        for (what, half, pause_ms) in rows {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                client.send(good);
                assert_eq!(client.answer().status, 200);
                std::thread::sleep(Duration::from_millis(pause_ms));
                let began = Instant::now();
                client.send(half);
                // A byte every 100 ms does not restart the time limit.
                let mut dripping = client.stream.try_clone().unwrap();
                let drip = std::thread::spawn(move || {
                    while dripping.write_all(b"x").is_ok() {
                        assert!(began.elapsed() < support::gateway::PATIENCE, "a dripping head lives for ever");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                });
                assert_eq!(client.rest(), b"", "{what}");
                let waited = began.elapsed();
                assert!(waited >= Duration::from_millis(590), "{what}: closed after {waited:?}");
                assert!(waited < Duration::from_secs(3), "{what}: closed after {waited:?}");
                drip.join().unwrap();
            });
        }
    });
    let mut again = server.connect();
    for _ in 0..3 {
        again.send(&good[..20]);
        std::thread::sleep(Duration::from_millis(400));
        again.send(&good[20..]);
        assert_eq!(again.answer().status, 200, "each head has its own time");
    }
    wait_until("everything is freed", || {
        drop(std::mem::replace(&mut again, server.connect()));
        server.permits.held() == 1
    });
}
