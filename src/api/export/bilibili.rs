//! Bilibili's XML: `<d p="time,mode,size,color,unixtime,pool,userhash,id">text</d>`, which danmaku players and tools
//! read.
//!
//! A user is written as 8 hex digits of SHA-256 over the log's epoch and the user's id. Every export of one show gives a
//! user the same hash; a different show gives a different one, so that files cannot be joined by it. The epoch is no
//! secret: with it, a guess at an id can be tested. Of shows with 10,000 users, about one in ninety has two users that
//! share a hash by chance.

use super::Writer;
use super::timeline::Timeline;
use crate::log::Record;
use crate::protocol::event::Mode;
use crate::protocol::ids::Epoch;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

pub(super) struct Bilibili {
    epoch: Epoch,
    timeline: Timeline,
}

impl Bilibili {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, timeline: Timeline::default() }
    }
}

impl Writer for Bilibili {
    fn begin(&mut self, out: &mut Vec<u8>) {
        // Exactly so: some tools know the format by these first bytes.
        out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><i>");
        out.extend_from_slice(b"<chatserver>volley</chatserver><chatid>0</chatid><source>k-v</source>\n");
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        let Some((comment, at_ms)) = self.timeline.place(record) else { return };
        let mode = match comment.style.mode {
            Mode::Scroll => 1,
            Mode::Bottom => 4,
            Mode::Top => 5,
            Mode::Reverse => 6,
        };
        let _ = write!(
            out,
            "<d p=\"{}.{:03},{mode},{},{},{},0,{:08x},{}\">",
            at_ms / 1_000,
            at_ms % 1_000,
            comment.style.size,
            comment.style.color,
            record.at_ms / 1_000,
            user_hash(self.epoch, &comment.user.id),
            record.offset,
        ); // A Vec takes every write.
        text(&comment.text, out);
        out.extend_from_slice(b"</d>\n");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"</i>\n");
    }
}

fn user_hash(epoch: Epoch, user: &str) -> u32 {
    let hash = Sha256::new().chain_update(b"volley export user\0").chain_update(epoch.0.to_be_bytes());
    let hash = hash.chain_update(user.as_bytes()).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Character data: what XML 1.0 (production 2) forbids is left out, what would be markup is escaped. A carriage
/// return would come back as a line feed, so it is escaped too.
fn text(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Hex64;

    fn written(said: &str) -> String {
        let mut out = Vec::new();
        text(said, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn markup_is_escaped_and_what_xml_forbids_is_left_out() {
        for (said, expected) in [
            ("a<b>&amp;\"'", "a&lt;b&gt;&amp;amp;\"'"),
            ("]]>", "]]&gt;"),
            ("</d></i>", "&lt;/d&gt;&lt;/i&gt;"),
            ("\0\u{1}\u{b}\u{c}\u{1b}\u{1f}\u{fffe}\u{ffff}", ""),
            ("\t\n\r\u{7f}\u{85}\u{fffd}\u{e000}\u{10ffff}", "\t\n&#13;\u{7f}\u{85}\u{fffd}\u{e000}\u{10ffff}"),
            ("中😀", "中😀"),
        ] {
            assert_eq!(written(said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_user_is_one_hash_in_a_show_and_another_in_the_next() {
        assert_eq!(user_hash(Hex64(1), "g-abc"), user_hash(Hex64(1), "g-abc"));
        assert_ne!(user_hash(Hex64(1), "g-abc"), user_hash(Hex64(1), "g-abd"));
        assert_ne!(user_hash(Hex64(1), "g-abc"), user_hash(Hex64(2), "g-abc"));
    }
}
