//! A quick check of the client: the floor and Volley with a hundred viewers, each of which must receive every message.

use super::measure;
use super::options::{Options, Workload};
use super::speaks::Speaks;
use std::net::TcpListener;

const VIEWERS: usize = 100;

/// # Errors
/// Something did not arrive.
pub fn main() -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?.display().to_string();
    let volley = env!("CARGO_BIN_EXE_volley");
    let all = [
        ("bare", Speaks::WebSocket, format!("{own} bare PORT")),
        ("joined", Speaks::WebSocket, format!("{own} joined PORT")),
        (
            "volley",
            Speaks::Volley,
            format!("{volley} --listen 127.0.0.1:PORT --admin 127.0.0.1:0 --shards 1 --data memory --no-rate-limits"),
        ),
    ];
    for (peer, speaks, command) in all {
        let port = free_port()?;
        let options = Options {
            peer: peer.into(),
            about: String::new(),
            speaks,
            port,
            workloads: vec![Workload::Paced, Workload::Unbounded, Workload::Show],
            viewers: VIEWERS,
            seconds: 0.3,
            message_bytes: 512,
            messages_per_s: 10.0,
            comments_per_s: 100.0,
            likes_per_s: 100.0,
            drain_s: 10.0, // Long, because only the arrival matters here, not its time.
            out: None,
            log: "/dev/null".into(),
            command: command.split(' ').map(|word| word.replace("PORT", &port.to_string())).collect(),
        };
        for figures in measure::all(&options)? {
            let whole = figures["delivered_share"] == 1.0
                && [&figures["lost"], &figures["gaps"], &figures["holes"]].iter().all(|n| **n == 0);
            if !whole {
                return Err(format!("{peer}: not everything came to everybody: {figures}"));
            }
        }
    }
    println!("peers: the floor and Volley delivered everything to {VIEWERS} viewers");
    Ok(())
}

/// A free port, of a range that no other program here uses.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|e| e.to_string())
}
