//! Facts that the kernel knows about a peer. Unsafe for two system calls that none of our libraries wraps.

use rustix::fd::{AsRawFd, BorrowedFd};
use std::mem::{MaybeUninit, size_of};

/// How long ago the peer's kernel last acknowledged bytes, in microseconds. The kernel of a program that does not read
/// still answers window probes; a machine that is gone does not. `None` if the descriptor is no TCP socket.
pub(in crate::shard) fn acknowledged_us_ago(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call. The kernel writes at most `length` bytes into `info`, which has
    // that many. Bytes that it does not write stay zero, and every field is an integer, so `info` is initialised.
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

/// How many sent bytes the peer has not acknowledged, including bytes that the kernel has not sent yet. `None` if the
/// descriptor is no socket.
pub(in crate::shard) fn unacknowledged_bytes(fd: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed for the call; this request (SIOCOUTQ by its other name) writes one `int`.
    let got = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if got == 0 { usize::try_from(bytes).ok() } else { None }
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
        std::thread::sleep(Duration::from_millis(300)); // The test is about time that passes.
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
        assert_eq!(unacknowledged_bytes(std::fs::File::open("/dev/null").unwrap().as_fd()), None);
    }

    #[test]
    fn bytes_count_until_the_peer_has_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The window that the handshake offers is the listener's: a small one is full soon.
        socket2::SockRef::from(&listener).set_recv_buffer_size(4 << 10).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert_eq!(unacknowledged_bytes(near.as_fd()), Some(0));
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(taken) = near.write(&[7; 1 << 12]) {
            sent += taken;
        }
        let waiting = unacknowledged_bytes(near.as_fd()).unwrap();
        assert!((1..=sent).contains(&waiting), "{waiting} of {sent}");
        far.read_exact(&mut vec![0; sent]).unwrap();
        let began = Instant::now();
        while unacknowledged_bytes(near.as_fd()) != Some(0) {
            assert!(began.elapsed() < Duration::from_secs(20), "the peer has all, and has said so");
            std::thread::yield_now();
        }
    }
}
