//! What the kernel knows of a peer. Unsafe for one system call that no library of ours wraps.

use rustix::fd::{AsRawFd, BorrowedFd};
use std::mem::{MaybeUninit, size_of};

/// How long ago the peer's kernel last acknowledged anything, in microseconds. One whose program does not read still answers its
/// peer's questions whether it may send; one that is gone does not. `None` for what is no TCP socket.
pub(super) fn acknowledged_us_ago(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes into `info`, which has as
    // many, and what it does not write stays zero: every field is an integer, so all of it is initialised.
    let info = unsafe {
        let got =
            libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length);
        if got != 0 {
            return None;
        }
        info.assume_init()
    };
    Some(u64::from(info.tcpi_last_ack_recv) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn an_acknowledgement_is_seen_and_grows_old() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(300)); // What it waits for is that time passes.
        let before = acknowledged_us_ago(near.as_fd()).unwrap();
        assert!(before >= 250_000, "{before}");
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        far.write_all(b"y").unwrap();
        near.read_exact(&mut [0]).unwrap();
        // Since the write, that is; the whole test may be slow.
        let (after, all) = (acknowledged_us_ago(near.as_fd()).unwrap(), began.elapsed().as_micros() as u64);
        assert!(after + 250_000 <= all, "{after} of {all}");
    }

    #[test]
    fn what_is_no_tcp_socket_says_nothing() {
        assert_eq!(acknowledged_us_ago(UnixStream::pair().unwrap().0.as_fd()), None);
    }
}
