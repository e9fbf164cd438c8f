//! A sink instead of sockets: accepts all bytes and counts them.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::io::IoSlice;
use volley::shard::fanout::pass::Wire;

/// Bytes taken.
#[derive(Default)]
pub struct Sink(pub u64);

impl Wire for Sink {
    fn send(&mut self, _: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn send_joined(&mut self, _: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.0 += bytes as u64;
        Ok(bytes)
    }
}
