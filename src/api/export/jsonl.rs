//! One event object a line, as the history API writes them.

use super::Writer;
use crate::api::history::logged;
use crate::log::Record;

pub(super) struct Jsonl;

impl Writer for Jsonl {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, &logged(record)).expect("events serialise, and a Vec takes every write");
        out.push(b'\n');
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}
