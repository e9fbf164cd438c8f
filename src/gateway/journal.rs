//! Logs the gateway's refusals for the operator, with advice: each kind at most once a minute, with the number since the
//! last line. The kinds are the answers' codes, so their number is fixed.
//!
//! Text from a client is cut and escaped, so that a client cannot forge a log line.

use super::answer::Answer;
use http::Request;
use http::header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY};
use parking_lot::Mutex;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// The shortest time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Longest repeated header value. The request's path is not repeated, because it may contain a token.
const SHOWN_BYTES_MAX: usize = 128;

/// The last line of one kind.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Vec<Told>>);

#[derive(Debug)]
struct Told {
    code: &'static str,
    at: Instant,
    untold: u64,
}

impl Journal {
    /// A request was refused.
    pub(super) fn request<B>(&self, answer: &Answer, request: &Request<B>, peer: IpAddr) {
        let Some(times) = self.due(answer.code, Instant::now()) else { return };
        let header = |name| Shown(request.headers().get(name).map_or(&b""[..], |value| value.as_bytes()));
        let (host, origin) = (header(HOST), header(ORIGIN));
        let lost = answer.code == "upgrade_required" && request.headers().contains_key(SEC_WEBSOCKET_KEY);
        let advice = advice(answer.code, lost);
        warn!(code = answer.code, %host, %origin, %peer, times, "refused a request: {}{advice}", answer.message);
    }

    /// A connection was refused before it said anything.
    pub(super) fn connection(&self, answer: &Answer, peer: IpAddr) {
        let Some(times) = self.due(answer.code, Instant::now()) else { return };
        let advice = advice(answer.code, false);
        warn!(code = answer.code, %peer, times, "turned a connection away: {}{advice}", answer.message);
    }

    /// How many of this kind there were since the last line, this one included, if one is due.
    fn due(&self, code: &'static str, now: Instant) -> Option<u64> {
        if code == "draining" {
            return None; // As it should be.
        }
        let mut all = self.0.lock();
        let Some(told) = all.iter_mut().find(|told| told.code == code) else {
            all.push(Told { code, at: now, untold: 0 });
            return Some(1);
        };
        told.untold += 1;
        if now.duration_since(told.at) < PAUSE {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.untold))
    }
}

/// Advice for the operator, beyond the message to the client.
fn advice(code: &str, lost: bool) -> &'static str {
    match code {
        "upgrade_required" if lost => "; a proxy did not pass Connection and Upgrade on (docs/operations.md)",
        "rooms_full" => "; room.rooms_max bounds them",
        "too_many_connections" => "; admission.connections_per_address_max bounds them",
        "overloaded" => "; admission.connections_max and the descriptor limit bound them",
        _ => "",
    }
}

/// Bytes of a client, for a log line.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.len().min(SHOWN_BYTES_MAX);
        let more = if cut < self.0.len() { "…" } else { "" };
        write!(f, "\"{}\"{more}", self.0[..cut].escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute_with_how_many_there_were() {
        let (journal, now) = (Journal::default(), Instant::now());
        assert_eq!(journal.due("forbidden_origin", now), Some(1));
        for after in 0..59 {
            assert_eq!(journal.due("forbidden_origin", now + Duration::from_secs(after)), None);
        }
        assert_eq!(journal.due("bad_key", now), Some(1), "another kind has its own line");
        assert_eq!(journal.due("forbidden_origin", now + PAUSE), Some(60));
        assert_eq!(journal.due("forbidden_origin", now + PAUSE), None);
        assert_eq!(journal.due("draining", now), None);
    }

    #[test]
    fn what_a_client_said_is_cut_and_escaped() {
        assert_eq!(Shown(b"a\r\n\x1b[31m\"\xff").to_string(), r#""a\r\n\x1b[31m\"\xff""#);
        let long = Shown(&[b'x'; 10_000]).to_string();
        assert_eq!(long.len(), SHOWN_BYTES_MAX + 2 + '…'.len_utf8());
    }
}
