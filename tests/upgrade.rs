//! Proper upgrades: what is agreed, what is handed over, what is given back.

mod gateway_server;

use gateway_server::{Server, config, upgrade, wait_until};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use volley::gateway::{Purpose, Upgraded};
use volley::protocol::encode::Encoding;
use volley::protocol::ids::{Epoch, Offset};

const WS: &str = "/v1/rooms/demo/ws";

fn resume(upgraded: &Upgraded) -> Option<(Epoch, Offset)> {
    match &upgraded.purpose {
        Purpose::Watch { resume, .. } => *resume,
        #[cfg(feature = "echo")]
        Purpose::Echo => None,
    }
}

/// The next socket that the gateway handed over.
fn handed_over(server: &Server) -> Upgraded {
    wait_until("a hand-over", || !server.shard.kept.lock().unwrap().is_empty());
    server.shard.kept.lock().unwrap().remove(0)
}

#[test]
fn a_bare_request_gets_json_and_nothing_it_did_not_ask_for() {
    let server = Server::start(&config());
    let mut client = server.connect();
    client.send(upgrade(WS, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status, 101, "{answer:?}");
    // The example of RFC 6455, 1.3 (the helper shows heads in lower case).
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("sec-websocket-extensions"), None, "compression is declined");
    assert_eq!(answer.header("content-length").or(answer.header("transfer-encoding")), None, "a 101 has no body");
    let upgraded = handed_over(&server);
    assert_eq!(upgraded.encoding, Encoding::Json);
    assert_eq!(resume(&upgraded), None);
    assert_eq!(upgraded.peer, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert!(upgraded.leftover.is_empty());
}

#[test]
fn the_first_known_subprotocol_of_the_client_wins() {
    let server = Server::start(&config());
    for (lines, encoding) in [
        ("Sec-WebSocket-Protocol: volley.v1.msgpack\r\n", Encoding::Msgpack),
        ("Sec-WebSocket-Protocol: mqtt, volley.v1.json ,volley.v1.msgpack\r\n", Encoding::Json),
        ("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: volley.v1.msgpack\r\n", Encoding::Msgpack),
    ] {
        let answer = server.ask(upgrade(WS, lines));
        assert_eq!(answer.header("sec-websocket-protocol"), Some(encoding.subprotocol()), "{lines}");
        assert_eq!(handed_over(&server).encoding, encoding, "{lines}");
    }
}

#[test]
fn a_position_in_the_address_arrives_and_strange_parameters_do_not_matter() {
    let server = Server::start(&config());
    let target = format!("{WS}?token=CANARY&rendition=viewer&epoch=9f3a&x&after=812&=&history=5");
    assert_eq!(server.ask(upgrade(&target, "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n")).status, 101);
    let upgraded = handed_over(&server);
    assert_eq!(resume(&upgraded), Some((Epoch::parse("9f3a").unwrap(), 812)));
    assert_eq!(upgraded.peer, IpAddr::V4(Ipv4Addr::LOCALHOST), "a header has no say in who the peer is");
}

#[test]
fn pages_of_this_server_and_of_the_list_may_connect() {
    let mut config = config();
    config.admission.origins = vec!["https://shop.test".into()];
    let server = Server::start(&config);
    for origin in ["http://good.test", "https://good.test:443", "https://shop.test"] {
        assert_eq!(server.ask(upgrade(WS, &format!("Origin: {origin}\r\n"))).status, 101, "{origin}");
    }
    for origin in ["http://shop.test", "https://shop.test:444", "https://shop.test.evil.test"] {
        assert_eq!(server.ask(upgrade(WS, &format!("Origin: {origin}\r\n"))).status, 403, "{origin}");
    }
}

#[test]
fn the_socket_arrives_ready_for_a_shard_with_the_bytes_behind_the_request() {
    let server = Server::start(&config());
    let mut client = server.connect();
    client.send([upgrade(WS, "").as_bytes(), b"first frames"].concat());
    assert_eq!(client.answer().status, 101);
    let mut upgraded = handed_over(&server);
    assert_eq!(upgraded.leftover, "first frames");
    let would_block = upgraded.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(would_block.kind(), std::io::ErrorKind::WouldBlock, "the socket does not block");

    let socket = socket2::SockRef::from(&upgraded.stream);
    let wanted = config().connection;
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.send_buffer_size().unwrap(), 2 * wanted.sndbuf_bytes);
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), wanted.notsent_lowat_bytes);
    assert_eq!(socket.tcp_user_timeout().unwrap().unwrap().as_millis(), u128::from(wanted.user_timeout_ms));

    upgraded.stream.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    client.stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn a_room_is_held_from_the_upgrade_to_the_end_of_the_viewer() {
    let server = Server::start(&config());
    assert_eq!(server.ask(upgrade(WS, "")).status, 101);
    assert_eq!(server.ask(upgrade(WS, "")).status, 101);
    let claims = || server.rooms.open.lock().unwrap()[0].claims.load(Ordering::SeqCst);
    let (first, second) = (handed_over(&server), handed_over(&server));
    assert_eq!((claims(), server.permits.held()), (2, 2));
    drop(first);
    assert_eq!((claims(), server.permits.held()), (1, 1));
    drop(second);
    assert_eq!((claims(), server.permits.held()), (0, 0));
}
