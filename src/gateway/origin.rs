//! Which pages may open WebSockets here (RFC 6454). A browser says truthfully where a page comes from; a
//! program may say anything, which gains it nothing, because no cookie or other ambient right exists.

/// A scheme, host and port, comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `scheme://host[:port]` and nothing more.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(authority)?;
        let port = port.or_else(|| default_port(&scheme))?;
        Some(Self { scheme, host, port })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Splits an authority without user information; the host in lower case.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let colon = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    let port = match port {
        Some(digits) if !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(digits) => Some(digits.parse().ok()?),
        None => None,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_ascii_lowercase(), port))
}

/// The configured foreign origins.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    any: bool,
    origins: Vec<Origin>,
    /// Entries with another scheme than http and https (an app's `capacitor://localhost`), as they are.
    verbatim: Vec<String>,
}

impl Allowed {
    /// `*` is any origin; the configuration has checked the rest.
    pub(super) fn new(configured: &[String]) -> Self {
        let mut allowed = Self::default();
        for text in configured.iter().map(|text| text.trim_end_matches('/')) {
            match Origin::parse(text) {
                _ if text == "*" => allowed.any = true,
                Some(origin) => allowed.origins.push(origin),
                None => allowed.verbatim.push(text.to_owned()),
            }
        }
        allowed
    }

    /// Whether a page of `origin` may open a WebSocket on this server, which it called `host`.
    ///
    /// The page's own server always may: the same host and port. Which scheme is not known here, TLS may
    /// end in front of us; the port tells `https://host` and `http://host:80` apart.
    pub(super) fn admits(&self, origin: &str, host: &str) -> bool {
        if self.any {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else {
            return origin != "null" && self.verbatim.iter().any(|known| known == origin);
        };
        let own = host_and_port(host).is_some_and(|(name, port)| {
            default_port(&origin.scheme)
                .is_some_and(|default| name == origin.host && port.unwrap_or(default) == origin.port)
        });
        own || self.origins.contains(&origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_talk_to_its_own_server_and_to_no_other() {
        let none = Allowed::default();
        for (origin, host, may) in [
            ("http://good.test", "good.test", true),
            ("https://good.test", "good.test", true),
            ("https://good.test", "good.test:443", true),
            ("http://Good.TEST:80", "good.test", true),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://[::1]", "[::1]", true),
            ("https://good.test.evil.test", "good.test", false),
            ("https://evil.test", "good.test", false),
            ("https://good.test:444", "good.test", false),
            ("http://good.test", "good.test:443", false),
            ("http://good.test:8080", "good.test:8081", false),
            ("null", "good.test", false),
            ("null", "null", false),
            ("", "good.test", false),
            ("good.test", "good.test", false),
            ("http://good.test/", "good.test", false),
            ("http://good.test@evil.test", "evil.test", false),
            ("http://good.test:80:80", "good.test", false),
            ("http://good.test:99999", "good.test", false),
            ("http://good.test:+80", "good.test", false),
            ("http://", "", false),
            ("ftp://good.test:80", "good.test:80", false),
            ("http://good.test, http://evil.test", "good.test", false),
        ] {
            assert_eq!(none.admits(origin, host), may, "{origin} on {host}");
        }
    }

    #[test]
    fn the_list_is_exact_in_scheme_host_and_port() {
        let allowed = Allowed::new(&["https://good.test/".into(), "capacitor://localhost".into()]);
        for (origin, may) in [
            ("https://good.test", true),
            ("https://good.test:443", true),
            ("http://good.test", false),
            ("https://good.test:444", false),
            ("https://good.test.evil.test", false),
            ("https://evil-good.test", false),
            ("capacitor://localhost", true),
            ("capacitor://localhost2", false),
            ("null", false),
        ] {
            assert_eq!(allowed.admits(origin, "volley.test"), may, "{origin}");
        }
        assert!(Allowed::new(&["*".into()]).admits("https://anybody.test", "volley.test"));
    }
}
