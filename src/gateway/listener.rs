//! Takes addresses.

use crate::config::Connection;
use crate::limits::LISTEN_BACKLOG;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {source}; {advice}")]
pub struct BindError {
    pub key: &'static str,
    pub address: SocketAddr,
    pub advice: &'static str,
    #[source]
    pub source: io::Error,
}

/// A listener that does not accept yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

impl Bound {
    pub(super) fn into_mio(self) -> mio::net::TcpListener {
        mio::net::TcpListener::from_std(self.listener)
    }

    pub(super) fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}

/// Options of viewers' sockets. Linux gives an accepted socket what its listener has, so they are set
/// once, before `listen`, and cost an accept nothing (a test looks at an accepted one).
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    sndbuf_bytes: usize,
    notsent_lowat_bytes: u32,
    user_timeout: Duration,
}

impl SocketOptions {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            sndbuf_bytes: connection.sndbuf_bytes,
            notsent_lowat_bytes: connection.notsent_lowat_bytes,
            user_timeout: Duration::from_millis(connection.user_timeout_ms.into()),
        }
    }

    fn set(&self, socket: &Socket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(self.sndbuf_bytes)?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        socket.set_tcp_notsent_lowat(self.notsent_lowat_bytes)
    }
}

pub(super) fn bind(
    key: &'static str,
    address: SocketAddr,
    options: Option<&SocketOptions>,
) -> Result<Bound, BindError> {
    let failed = |source: io::Error| BindError { key, address, advice: advice(&source), source };
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        // A restart must not wait for the last run's connections to leave TIME_WAIT.
        socket.set_reuse_address(true)?;
        if let Some(options) = options {
            options.set(&socket)?;
        }
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        let listener = TcpListener::from(socket);
        Ok(Bound { address: listener.local_addr()?, listener })
    };
    listen().map_err(failed)
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has this port: stop it, or choose another port (0: any free one)",
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher port",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: use 127.0.0.1, or 0.0.0.0 for all",
        io::ErrorKind::Unsupported => "the system does not offer this kind of address: try an IPv4 one",
        _ => "check the address and the system's limits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_what_to_do() {
        let first = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        let error = bind("listen", first.address, None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen: cannot listen on {}", first.address)), "{error}");
        assert!(error.contains("choose another port"), "{error}");
    }

    #[test]
    fn an_accepted_socket_has_the_configured_options() {
        let connection = Connection { notsent_lowat_bytes: 12_345, user_timeout_ms: 7_000, ..Connection::default() };
        let options = SocketOptions::of(&connection);
        let bound = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0)), Some(&options)).unwrap();
        let _client = std::net::TcpStream::connect(bound.address).unwrap();
        let accepted = loop {
            match bound.listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 12_345);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * connection.sndbuf_bytes, "the kernel doubles it");
    }
}
