//! Many misbehaving clients at once, from a seed; two viewers beside them must not be affected.

mod support;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Client, Server, frame};

const THREADS: u64 = 6;
const VISITS: usize = 120;

/// One visit of a misbehaving client.
fn misbehave(client: &mut Client, rng: &mut SmallRng) {
    for _ in 0..rng.random_range(0..6) {
        let payload: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
        let bytes = match rng.random_range(0..9) {
            0 => payload,
            1 => frame(rng.random(), &payload),
            2 => frame(0x81, br#"{"comment":{"id":"x","text":"mischief"}}"#),
            3 => frame(0x81, br#"{"like":{"count":1}}"#).repeat(5),
            4 => frame(0x89, &payload[..payload.len().min(125)]),
            5 => frame(0x88, &rng.random::<u16>().to_be_bytes()),
            6 => frame(0x01, &payload)[..3].to_vec(),
            7 => frame(0x81, br#"{"comment":{"text":"#),
            _ => [frame(0x01, b"{"), frame(0x80, b"}")].concat(),
        };
        // The server may have closed already, which is allowed.
        let _ = client.raw(&bytes);
    }
    let socket = socket2::SockRef::from(client.socket.get_ref());
    match rng.random_range(0..4) {
        0 => socket.set_linger(Some(Duration::ZERO)).unwrap(),
        1 => drop(socket.shutdown(std::net::Shutdown::Write)),
        2 => drop(client.socket.read()),
        _ => {}
    }
}

#[test]
fn misbehaving_clients_do_not_affect_the_order_of_others() {
    let server = Server::start(|config| {
        config.tick_ms = 10;
        config.admission.connections_per_address_max = 2_000;
        config.rates.comments_per_connection.per_s = 1_000;
        config.rates.comments_per_user.per_s = 1_000;
    });
    let stop = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..2)
        .map(|_| {
            let (mut client, stop) = (server.join("mischief"), stop.clone());
            std::thread::spawn(move || {
                let mut position = client.welcome["last"].as_u64().unwrap();
                loop {
                    let frame = client.next("frame");
                    assert_eq!(frame["prev"].as_u64(), Some(position));
                    position = frame["last"].as_u64().unwrap();
                    let events = frame["events"].as_array().unwrap();
                    if events.iter().any(|event| event["comment"]["text"] == "the end") {
                        assert!(stop.load(Ordering::Acquire));
                        return (position, frame["digest"].clone());
                    }
                }
            })
        })
        .collect();
    let address = server.public;
    let troublemakers: Vec<_> = (0..THREADS)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut rng = SmallRng::seed_from_u64(seed);
                for _ in 0..VISITS {
                    let mut client = Client::connect(address, "/v1/rooms/mischief/ws", None).expect("upgrades");
                    if rng.random() {
                        client.next("welcome");
                    }
                    misbehave(&mut client, &mut rng);
                }
            })
        })
        .collect();
    troublemakers.into_iter().for_each(|thread| thread.join().expect("only the server is on trial"));
    stop.store(true, Ordering::Release);
    let mut host = server.join("mischief");
    host.comment("end", "the end");
    let ends: Vec<_> = watchers.into_iter().map(|thread| thread.join().expect("whole and in order")).collect();
    assert_eq!(ends[0], ends[1], "the same order for all");
    drop(host);
    server.eventually("everybody is gone", |server| server.metric("volley_connections", "") == 0.0);
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    assert_eq!(server.metric("volley_laggards", ""), 0.0);
}
