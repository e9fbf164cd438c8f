//! Page origins as browsers write them: `scheme://host[:port]`, lower case, default port left out.

use std::net::Ipv6Addr;

/// Origins in the list; a list is searched on every upgrade.
const ORIGINS_MAX: usize = 256;

/// Any origin may come.
pub(super) const ANY: &str = "*";

/// Brings origins into the form in which browsers send them, without doubles.
pub(super) fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut origins = Vec::new();
    for text in texts {
        let origin = normalised(text)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
        if origins.len() > ORIGINS_MAX {
            return Err(format!("more than {ORIGINS_MAX} origins; use \"*\" if anybody may come"));
        }
    }
    Ok(origins)
}

fn normalised(text: &str) -> Result<String, String> {
    if text == ANY {
        return Ok(ANY.into());
    }
    let wrong = |why: &str| {
        Err(format!(
            "`{}` is no origin: {why}; write scheme://host or scheme://host:port, such as https://shop.example",
            super::error::quoted(text)
        ))
    };
    let Some((scheme, rest)) = text.split_once("://") else { return wrong("it has no scheme") };
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80_u16,
        "https" => 443,
        _ => return wrong("its scheme is neither http nor https"),
    };
    if rest.contains(['/', '?', '#']) {
        return wrong("it has a path, and be it a slash at the end");
    }
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of a bare IPv6 address are inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let host = host.to_ascii_lowercase();
    if !is_host(&host) {
        return wrong("its host is not a name in ASCII (write xn--… for others) or an address");
    }
    let number = |port: &str| port.parse().ok().filter(|_| !port.starts_with('+'));
    match port.map(number) {
        None => Ok(format!("{scheme}://{host}")),
        Some(Some(port)) if port == default_port => Ok(format!("{scheme}://{host}")),
        Some(Some(1..)) => Ok(format!("{scheme}://{host}:{}", port.unwrap_or_default().trim_start_matches('0'))),
        Some(_) => wrong("its port is not a number from 1 to 65535"),
    }
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}
