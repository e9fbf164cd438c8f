//! Raw non-blocking sends. Unsafe because slots hold descriptors as numbers.

use crate::shard::conn::peer::unacknowledged_bytes;
use crate::shard::fanout::pass::Wire;
use rustix::fd::{BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use std::io::IoSlice;

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Sockets;

const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

impl Sockets {
    /// See [`unacknowledged_bytes`]; 0 if the descriptor is no socket.
    pub(in crate::shard) fn unacknowledged(self, fd: RawFd) -> usize {
        // SAFETY: as in `send`.
        unacknowledged_bytes(unsafe { BorrowedFd::borrow_raw(fd) }).unwrap_or(0)
    }
}

impl Wire for Sockets {
    #[inline]
    fn send(&mut self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the descriptor is open for the whole call. Descriptors come from slots and connections of one
        // shard; the connection owns the descriptor (`OwnedFd`) and its slot is removed before it is dropped,
        // all on this thread.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        send(fd, bytes, FLAGS)
    }

    #[inline]
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        // SAFETY: as in `send`.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), FLAGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_arrive_once_and_in_order() {
        let (a, mut b) = UnixStream::pair().unwrap();
        assert_eq!(Sockets.send(a.as_raw_fd(), b"one"), Ok(3));
        assert_eq!(Sockets.send_joined(a.as_raw_fd(), &[IoSlice::new(b"two"), IoSlice::new(b"three")]), Ok(8));
        let mut got = [0; 11];
        b.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"onetwothree");
    }

    #[test]
    fn a_full_socket_blocks_and_a_gone_peer_is_an_error_not_a_signal() {
        let (a, b) = UnixStream::pair().unwrap();
        let big = vec![0; 1 << 20];
        let blocked = std::iter::repeat_with(|| Sockets.send(a.as_raw_fd(), &big)).take(100).find_map(Result::err);
        assert_eq!(blocked, Some(Errno::AGAIN));
        drop(b);
        assert_eq!(Sockets.send(a.as_raw_fd(), b"x"), Err(Errno::PIPE));
    }
}
