//! Where a page comes from (RFC 6454): scheme, host and port, as browsers say it in the header `Origin`.
//!
//! One reader for both sides: what an operator lists ([`Origins::read`]) and what a browser sends ([`Origins::admits`])
//! become the same type, so that an origin that may be listed is also one that is recognised.
//!
//! Does not know: requests, configuration files.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest list: it is searched on every upgrade.
const ORIGINS_MAX: usize = 256;

/// Longest host name (RFC 1035), a dot at the end not counted.
const HOST_BYTES_MAX: usize = 253;

/// Stands for every origin in a list.
const ANY: &str = "*";

/// Pages with an address of these schemes have no origin (browsers send `null`), or do not exist.
const WITHOUT_ORIGIN: [&str; 6] = ["about", "blob", "data", "ftp", "javascript", "mailto"];

/// One origin, comparable: `https://Shop.example:443` and `https://shop.example` are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: OriginHost,
    /// The scheme's own when none was named; `None` when the scheme has none.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginHost {
    /// In lower case. Empty for files alone.
    Name(String),
    V6(Ipv6Addr),
}

/// Why a text is no origin. Never repeats the text, which may hold a password or be a secret in a wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Nothing before `://`.
    #[error("it has no scheme; {EXAMPLE}")]
    Scheme,
    /// The address of a WebSocket or of something that is no page.
    #[error("pages do not come from an address of its scheme; {EXAMPLE}")]
    NoPage,
    /// Browsers send it for sandboxed frames and for files, whoever made them.
    #[error(
        "browsers send `null` for pages that anyone can make, so it cannot be listed; \"*\" allows it together with every origin"
    )]
    Null,
    /// More than the origin; the origin by itself.
    #[error("it has something after the host; write {0}")]
    Path(Box<Origin>),
    /// A user name before the host; the origin by itself.
    #[error("it has a user name; write {0}")]
    User(Box<Origin>),
    /// One entry for many hosts.
    #[error("it has a wildcard; list each origin, or write \"*\" for all")]
    Wildcard,
    /// A name that browsers send in another spelling.
    #[error(
        "its host is not ASCII; write it as browsers send it, with xn--…, as `location.origin` in the page's console"
    )]
    Unicode,
    /// Several at once.
    #[error("it has a space, a comma or a semicolon; write each origin as an item of its own")]
    Several,
    /// Neither a name nor an address.
    #[error("its host is neither a name nor an IP address; {EXAMPLE}")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535; correct or remove it")]
    Port,
}

const EXAMPLE: &str = "write scheme://host or scheme://host:port, such as https://shop.example";

impl Origin {
    /// Reads `scheme://host[:port]` and nothing more.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Scheme)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme {
            return Err(OriginError::Scheme);
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "ws" || scheme == "wss" || WITHOUT_ORIGIN.contains(&scheme.as_str()) {
            return Err(OriginError::NoPage);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (host, port) = host_and_port(authority, &scheme)?;
        let origin = Self { port: port.or_else(|| default_port(&scheme)), scheme, host };
        match (user, tail) {
            (Some(_), _) => Err(OriginError::User(Box::new(origin))),
            (None, "") => Ok(origin),
            (None, _) => Err(OriginError::Path(Box::new(origin))),
        }
    }

    /// Reads what an operator writes: also with one slash at the end, as the page's address has it.
    fn listed(text: &str) -> Result<Self, OriginError> {
        match (Self::parse(text), text.strip_suffix('/')) {
            (Err(OriginError::Path(origin)), Some(bare)) if Self::parse(bare).as_ref() == Ok(&*origin) => Ok(*origin),
            (read, _) => read,
        }
    }
}

impl fmt::Display for Origin {
    /// As browsers send it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            OriginHost::Name(name) => f.write_str(name)?,
            // The dots of IPv4 are the standard library's notation, not the browsers'.
            OriginHost::V6(address) if address.to_ipv4_mapped().is_some() => {
                let [.., high, low] = address.segments();
                write!(f, "[::ffff:{high:x}:{low:x}]")?;
            }
            OriginHost::V6(address) => write!(f, "[{address}]")?,
        }
        match self.port {
            Some(port) if default_port(&self.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Splits an authority without user information, as an origin of `scheme` or the header `Host` has it.
fn host_and_port(authority: &str, scheme: &str) -> Result<(OriginHost, Option<u16>), OriginError> {
    if authority.contains('*') {
        return Err(OriginError::Wildcard);
    }
    if authority.contains([' ', ',', ';']) {
        return Err(OriginError::Several);
    }
    if !authority.is_ascii() {
        return Err(OriginError::Unicode);
    }
    let colon = match authority.rfind(']') {
        // The colons of an IPv6 address stand inside its brackets.
        Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
        None if authority.starts_with('[') => return Err(OriginError::Host),
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    let port = match port {
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(OriginError::Port);
        }
        Some(digits) => Some(digits.parse().ok().filter(|port| *port > 0).ok_or(OriginError::Port)?),
        None => None,
    };
    let is_file = scheme == "file" && host.is_empty() && port.is_none();
    let host =
        if is_file { Some(OriginHost::Name(String::new())) } else { read_host(host, default_port(scheme).is_some()) };
    Ok((host.ok_or(OriginError::Host)?, port))
}

/// A name, or an address: IPv6 in brackets. `is_web`: names follow the rules of the web's hosts; those of an app's own
/// scheme (`app://-`) are only as plain.
fn read_host(host: &str, is_web: bool) -> Option<OriginHost> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse().ok().map(OriginHost::V6);
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (!is_web && b == b'~');
    // A dot at the end is a name's own (a resolver's "look no further"), and another host for browsers.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_sized = !host.is_empty() && labels.len() <= HOST_BYTES_MAX;
    if !is_sized || !host.bytes().all(is_plain) {
        return None;
    }
    if is_web {
        let last = labels.rsplit('.').next().unwrap_or_default();
        let is_number = |label: &str| {
            let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(label) || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let is_name = labels.split('.').all(|label| (1..=63).contains(&label.len()));
        // Browsers take it for an IPv4 address in some notation, and send the usual one.
        if !is_name || (is_number(last) && host.parse::<Ipv4Addr>().is_err()) {
            return None;
        }
    }
    Some(OriginHost::Name(host.to_ascii_lowercase()))
}

/// A list of origins that may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    is_any: bool,
    listed: Vec<Origin>,
}

impl Origins {
    /// Reads a list as an operator writes it; `*` is any origin. Equal ones are kept once.
    ///
    /// # Errors
    /// Which item is wrong, why, and what to write.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut origins = Self::default();
        for (at, text) in texts.enumerate() {
            if text == ANY {
                origins.is_any = true;
                continue;
            }
            let origin = Origin::listed(text).map_err(|why| format!("item {}: {why}", at + 1))?;
            if !origins.listed.contains(&origin) {
                origins.listed.push(origin);
            }
            if origins.listed.len() > ORIGINS_MAX {
                return Err(format!("more than {ORIGINS_MAX} origins; use \"*\" if anybody may come"));
            }
        }
        Ok(origins)
    }

    /// The items, as browsers send them.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.is_any.then(|| ANY.to_owned()).into_iter().chain(self.listed.iter().map(ToString::to_string))
    }

    /// Whether a page of `origin`, as its browser says it, may use this server, which it called `host` in the header `Host`.
    ///
    /// The page's own server always may: the same host and port. Which scheme is not known here, TLS may end in
    /// front of us; the port tells `https://host` and `http://host:80` apart.
    pub fn admits(&self, origin: &str, host: &str) -> bool {
        if self.is_any {
            return true;
        }
        let Ok(origin) = Origin::parse(origin) else { return false };
        let own = default_port(&origin.scheme).is_some_and(|default| {
            host_and_port(host, &origin.scheme)
                .is_ok_and(|(name, port)| name == origin.host && Some(port.unwrap_or(default)) == origin.port)
        });
        own || self.listed.contains(&origin)
    }
}

#[cfg(test)]
mod tests;
