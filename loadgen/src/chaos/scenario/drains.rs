//! SIGTERM under load.

use super::{ChaosScenario, must_be_good, under_load};
use crate::chaos::ground::{Ground, Trouble, fail};
use crate::wire::upgrade::Upgrade;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

pub(super) const ALL: &[ChaosScenario] = &[ChaosScenario {
    name: "sigterm",
    inject: "SIGTERM three times under load, with one client that never reads",
    shows: "exit within 25 s; each client gets a reconnect delay and resumes without a missing frame",
    is_short: true,
    run: sigterm,
}];

/// The time within which the process must end, whatever its clients do.
const EXIT_WITHIN: Duration = Duration::from_secs(25);

fn sigterm(ground: &mut Ground) -> Result<(), Trouble> {
    ground.set("drain_ms", "3000");
    under_load(ground)?;
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let silent = never_reads(ground)?;
        ground.a_moment(2_000, 3_000);
        let (before, live) = (ground.counts(), ground.crowd()?.live());
        ground.recorder.fault("drain", None, true, None);
        let Some((status, took)) = ground.server()?.terminate(EXIT_WITHIN) else {
            return fail(format!("the server has not ended after {} s", EXIT_WITHIN.as_secs()));
        };
        if !status.success() {
            return fail(format!("the server ended with {status}"));
        }
        longest = longest.max(took);
        drop(silent);
        ground.start()?;
        ground.recorder.fault("drain", None, false, None);
        let told = ground.counts().byes - before.byes;
        // The crowd itself cuts two connections per second: clients without a connection were not told.
        if (told as usize) + 10 < live {
            return fail(format!("{told} of {live} live clients got a reconnect delay"));
        }
        ground.everybody_live()?;
    }
    ground.figure("longest exit", format!("{} ms", longest.as_millis()));
    ground.figure("clients with a reconnect delay", ground.counts().byes);
    let missed: u64 = ground.counts().not_recovered.iter().sum();
    if missed > 0 {
        return fail(format!("{missed} clients could not resume"));
    }
    must_be_good(ground)
}

/// A viewer of a busy room that reads nothing after its request, with the smallest buffer that the kernel allows.
fn never_reads(ground: &Ground) -> Result<TcpStream, Trouble> {
    let address = ground.recipe.addresses[0];
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(1)?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(&Upgrade::new(&address.to_string(), "volley.v1.json").request("room-0"))?;
    Ok(stream)
}
