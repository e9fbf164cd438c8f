//! Names that a server is addressed by (RFC 9110, 7.2): what a client says in the header `Host`, and which of them name this
//! machine for sure.
//!
//! A page whose own name is pointed at this machine (DNS rebinding) is same-origin with it for a browser, but cannot hide
//! that name: it stands in `Host`.
//!
//! Does not know: requests, configuration files, sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest list: it is searched on every request to the admin address.
const HOSTS_MAX: usize = 64;

/// Longest host name (RFC 1035), a dot at the end not counted.
const NAME_BYTES_MAX: usize = 253;

/// One host, comparable: `Volley.Example.` and `volley.example` are equal, and so are two ways to write an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In lower case.
    Name(String),
    /// An address that stands for itself.
    Address(IpAddr),
}

/// Why a text is not a host. Never repeats the text, which may be a secret in a wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// A scheme, a path or something else that is no part of a host.
    #[error("it is not a host; write a name such as volley.internal or an IP address, without a scheme or path")]
    NoHost,
    /// `volley:8081`.
    #[error("it has a port; remove the port, because every port is accepted")]
    Port,
    /// More of them than are searched.
    #[error("the list has more than {HOSTS_MAX} hosts; remove some")]
    TooMany,
}

impl Host {
    /// Reads `host` or `host:port`; says whether there was a port.
    fn parse(text: &str) -> Option<(Self, bool)> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inside, rest) = rest.split_once(']')?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (Self::Address(inside.parse::<Ipv6Addr>().ok()?.to_canonical()), port)
            }
            None => {
                let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
                (Self::name(name)?, port)
            }
        };
        let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        port.is_none_or(is_port).then_some((host, port.is_some()))
    }

    fn name(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let is_fine = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name);
        is_fine.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Whether no resolver can make it another machine: browsers resolve `localhost` and what ends in it by themselves.
    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Hosts that an operator has listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Host>);

impl Hosts {
    /// Reads a list, without doubles.
    ///
    /// # Errors
    /// The first mistake.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, HostError> {
        let mut hosts = Vec::new();
        for text in texts {
            // A bare IPv6 address has no brackets, and no port.
            let bare = text.parse::<Ipv6Addr>().map(|address| Host::Address(address.to_canonical())).ok();
            let host = match (bare, Host::parse(text)) {
                (Some(host), _) | (None, Some((host, false))) => host,
                (None, Some((_, true))) => return Err(HostError::Port),
                (None, None) => return Err(HostError::NoHost),
            };
            if !hosts.contains(&host) {
                hosts.push(host);
            }
            if hosts.len() > HOSTS_MAX {
                return Err(HostError::TooMany);
            }
        }
        Ok(Self(hosts))
    }

    /// As [`Hosts::read`] takes them.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Host::to_string)
    }

    /// Whether `said`, as it stands in `Host`, names a loopback, one of these `own` addresses, or a listed host. The port does
    /// not matter: it may have been forwarded.
    pub fn admit(&self, said: &str, own: &[IpAddr]) -> bool {
        let Some((host, _)) = Host::parse(said) else { return false };
        let is_own = |address: &IpAddr| own.iter().any(|own| own.to_canonical() == *address);
        host.is_loopback() || self.0.contains(&host) || matches!(&host, Host::Address(address) if is_own(address))
    }
}

#[cfg(test)]
impl serde::Serialize for Hosts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.texts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopbacks_own_addresses_and_listed_hosts_are_admitted_with_any_port() {
        let hosts =
            Hosts::read(["volley", "Metrics.Example.", "192.0.2.7", "[2001:db8::7]", "2001:db8::8"].into_iter());
        let hosts = hosts.unwrap();
        let own = ["10.1.2.3".parse().unwrap(), "::ffff:10.1.2.4".parse().unwrap(), "fe80::1".parse().unwrap()];
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "localhost.",
            "localhost.:1",
            "foo.localhost",
            "127.0.0.1",
            "127.1.2.3:65535",
            "[::1]",
            "[::1]:8081",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "10.1.2.3",
            "10.1.2.3:80",
            "10.1.2.4",
            "[fe80::1]:1",
            "volley",
            "VOLLEY:8081",
            "volley.",
            "metrics.example:",
            "192.0.2.7:1",
            "[2001:DB8::7]",
            "[2001:db8:0::8]",
        ] {
            assert!(hosts.admit(host, &own), "{host}");
        }
        for host in [
            "",
            ":",
            ":8081",
            ".",
            "evil.test",
            "evil.test:8081",
            "localhost.evil.test",
            "evillocalhost",
            "127.0.0.1.evil.test",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "10.1.2.5",
            "0.0.0.0",
            "[::]",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]evil.test",
            "[::1]:x",
            "localhost:x",
            "localhost:123456",
            "localhost@evil.test",
            "evil.test@localhost",
            "localhost/",
            "localhost, evil.test",
            "lоcalhost",
            "volley.evil.test",
            "192.0.2.8",
            "[fe80::1%25eth0]",
        ] {
            assert!(!hosts.admit(host, &own), "{host}");
        }
        assert!(!Hosts::default().admit("volley", &[]));
    }

    #[test]
    fn a_list_is_read_as_it_is_written_and_mistakes_are_named() {
        let hosts = Hosts::read(["A.example", "a.EXAMPLE.", "::1", "[::1]", "10.0.0.1"].into_iter()).unwrap();
        assert_eq!(hosts.texts().collect::<Vec<_>>(), ["a.example", "[::1]", "10.0.0.1"]);
        let again: Vec<String> = hosts.texts().collect();
        assert_eq!(Hosts::read(again.iter().map(String::as_str)), Ok(hosts));
        for (text, mistake) in [
            ("volley:8081", HostError::Port),
            ("[::1]:80", HostError::Port),
            ("http://volley", HostError::NoHost),
            ("volley/", HostError::NoHost),
            ("*", HostError::NoHost),
            ("*.example", HostError::NoHost),
            ("a b", HostError::NoHost),
            ("", HostError::NoHost),
        ] {
            assert_eq!(Hosts::read([text].into_iter()), Err(mistake), "{text}");
        }
        let many: Vec<String> = (0..=HOSTS_MAX).map(|n| format!("h{n}")).collect();
        assert_eq!(Hosts::read(many.iter().map(String::as_str)), Err(HostError::TooMany));
    }
}
