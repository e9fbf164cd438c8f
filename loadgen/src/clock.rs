//! The clock that all processes of this host share, and the comment ids that carry its times.
//!
//! Does not know: sockets, rooms, what the times are used for.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds. It is the same for all processes of one host, so a comment's receiver can compute
/// its latency.
pub fn now_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    let (s, ns) = (u64::try_from(t.tv_sec).unwrap_or(0), u64::try_from(t.tv_nsec).unwrap_or(0));
    s * 1_000_000_000 + ns
}

/// The id of a comment, with its intended send time: `<ns in base 36>-<number in base 36>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommentId {
    /// Intended send time, [`now_ns`].
    pub sent_ns: u64,
    /// Number of the comment; its upper bits name the run and the process (see [`numbering`]).
    pub number: u64,
}

/// Bits of a comment's number below the run's tag.
const TAG_SHIFT: u32 = 48;

/// First number of a process: 16 bits of run, 8 of process, 40 of count.
pub fn numbering(run_tag: u16, worker: usize) -> u64 {
    (u64::from(run_tag) << TAG_SHIFT) | ((worker as u64 & 0xff) << 40)
}

/// The run that a number belongs to.
pub fn run_tag(number: u64) -> u16 {
    u16::try_from(number >> TAG_SHIFT).unwrap_or(0)
}

impl CommentId {
    /// The id as text.
    pub fn text(self) -> String {
        let mut out = String::with_capacity(27);
        base36(self.sent_ns, &mut out);
        out.push('-');
        base36(self.number, &mut out);
        out
    }

    /// Reads an id; `None` if loadgen did not make it.
    pub fn parse(text: &str) -> Option<Self> {
        let (sent, number) = text.split_once('-')?;
        Some(Self { sent_ns: u64::from_str_radix(sent, 36).ok()?, number: u64::from_str_radix(number, 36).ok()? })
    }
}

fn base36(mut value: u64, out: &mut String) {
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize];
        value /= 36;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|b| char::from(*b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_went() {
        for (sent_ns, number) in [(0, 0), (1, u64::MAX), (now_ns(), numbering(0xbeef, 255) + 7)] {
            let id = CommentId { sent_ns, number };
            assert_eq!(CommentId::parse(&id.text()), Some(id));
            assert!(id.text().len() <= volley::limits::CLIENT_ID_BYTES_MAX);
        }
        assert_eq!(run_tag(numbering(0xbeef, 3) + 12), 0xbeef);
    }

    #[test]
    fn a_strangers_id_is_not_ours() {
        for id in ["", "c1", "-", "1-", "-1", "1_2", "zzzzzzzzzzzzzzzzzzzzzzzz-1"] {
            assert_eq!(CommentId::parse(id), None, "{id}");
        }
    }
}
