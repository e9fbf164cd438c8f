//! One viewer: its connection and its place in the room.
//!
//! Does not know: other viewers, what messages mean.

use crate::run::ledger::book::ViewerPlace;
use crate::run::messages::WorkerPlan;
use crate::wire::line::{Dial, Line};
use std::net::{Ipv4Addr, SocketAddr};

/// The state of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerState {
    Waiting,
    /// It has a socket, but no welcome yet.
    Arriving,
    Live,
    /// The viewer has sent its close frame.
    Closing,
    Gone,
}

/// One viewer, of about 200 bytes.
#[derive(Debug)]
pub struct Viewer {
    pub line: Line,
    pub state: ViewerState,
    /// Whether it stops reading in the stall.
    pub stalls: bool,
    /// Index of its group of rooms.
    pub group: usize,
    pub room: usize,
    /// Its position in the room.
    pub place: ViewerPlace,
    pub since_ns: u64,
    /// Likes sent on the connection.
    pub likes: u64,
    /// Its acknowledged comments, and how many of them were shown.
    pub said: (u32, u32),
    /// The code of the server's close frame, if one was received.
    pub close_code: Option<u16>,
}

/// Bytes that may wait for one viewer's socket: about 30 comments. If the server does not read them, further sends fail
/// and are counted.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

impl Viewer {
    /// Viewer number `index`, which watches room `room` of group `group`.
    pub fn new(index: usize, group: usize, room: usize, plan: &WorkerPlan) -> Self {
        // Spreads them evenly: the viewers at which the running share passes a whole number.
        let passed = |i: usize| (i as f64 * plan.stall_share).floor();
        Self {
            line: Line::new(UNSENT_BYTES_MAX),
            state: ViewerState::Waiting,
            stalls: passed(index + 1) > passed(index),
            group,
            room,
            place: ViewerPlace::default(),
            since_ns: 0,
            likes: 0,
            said: (0, 0),
            close_code: None,
        }
    }

    /// How viewer number `index` connects.
    pub fn dial(&self, index: usize, plan: &WorkerPlan) -> Dial {
        let rcvbuf_bytes = self.stalls.then_some(plan.stall_rcvbuf_bytes);
        Dial { source: source_address(index, plan), rcvbuf_bytes, ..Dial::to(plan.server) }
    }
}

/// 127.0.0.1, 127.0.0.2 and so on: a server that counts connections per address sees many addresses, as in production,
/// and each address has its own 28,000 ports.
fn source_address(index: usize, plan: &WorkerPlan) -> Option<SocketAddr> {
    let SocketAddr::V4(server) = plan.server else { return None };
    if plan.sockets_per_address == 0 || !server.ip().is_loopback() {
        return None;
    }
    let number = u32::try_from(index / plan.sockets_per_address).ok()?;
    let address = u32::from(Ipv4Addr::LOCALHOST).checked_add(number)?;
    Some(SocketAddr::from((Ipv4Addr::from(address), 0)))
}
