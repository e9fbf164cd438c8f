//! The HTTP upgrade: one request, and the check of one response head.
//!
//! Does not know: sockets, rooms beyond their path.

use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The longest response head that is accepted.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// One worker's key and the answer that it requires. All its connections share the key: the server has to compute the
/// answer, but the keys need not differ.
#[derive(Clone, Debug)]
pub struct Upgrade {
    key: String,
    accept: String,
    host: String,
    subprotocol: &'static str,
    compression: bool,
}

impl Upgrade {
    /// An upgrade of connections to `host` with `subprotocol`.
    pub fn new(host: &str, subprotocol: &'static str) -> Self {
        let key = generate_key();
        let accept = derive_accept_key(key.as_bytes());
        Self { key, accept, host: host.to_owned(), subprotocol, compression: false }
    }

    /// With `compression`, the server must agree to compressed messages.
    pub fn with_compression(self, compression: bool) -> Self {
        Self { compression, ..self }
    }

    pub fn is_compressed(&self) -> bool {
        self.compression
    }

    /// The request for one room.
    pub fn request(&self, room: &str) -> Vec<u8> {
        self.request_with(room, "", "")
    }

    /// The request with a query (`?…`) and more subprotocols (`, …`).
    pub fn request_with(&self, room: &str, query: &str, subprotocols: &str) -> Vec<u8> {
        // The offer of Chromium.
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let offer = if self.compression { offer } else { "" };
        format!(
            "GET /v1/rooms/{room}/ws{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: {}{subprotocols}\r\n{offer}\r\n",
            self.host, self.key, self.subprotocol
        )
        .into_bytes()
    }

    /// Checks the response at the start of `bytes`. Returns the length of the head, or `None` while it is incomplete.
    ///
    /// # Errors
    /// A short cause, by which failures are counted: `http 503`, `bad upgrade: …`.
    pub fn check(&self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX { Err("bad upgrade: endless head".into()) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "bad upgrade: head is not text".to_owned())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
        match status {
            Some("101") => {}
            Some(code) if code.bytes().all(|b| b.is_ascii_digit()) => return Err(format!("http {code}")),
            _ => return Err("bad upgrade: not HTTP/1.1".into()),
        }
        let (mut accept, mut subprotocol, mut extensions) = (None, None, "");
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("sec-websocket-accept") {
                accept = Some(value.trim());
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                subprotocol = Some(value.trim());
            } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
                extensions = value.trim();
            }
        }
        if accept != Some(&self.accept) {
            return Err("bad upgrade: wrong Sec-WebSocket-Accept".into());
        }
        if subprotocol != Some(self.subprotocol) {
            return Err("bad upgrade: wrong subprotocol".into());
        }
        // Each message is compressed independently, so no viewer needs an inflater of its own.
        let agreed: Vec<_> = extensions.split(';').map(str::trim).collect();
        let is_agreed = agreed[0] == "permessage-deflate" && agreed.contains(&"server_no_context_takeover");
        match (self.compression, is_agreed, extensions) {
            (true, true, _) | (false, _, "") => Ok(Some(end + 4)),
            (true, ..) => Err("bad upgrade: compression was not agreed to".into()),
            (false, ..) => Err("bad upgrade: an extension that was not requested".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(upgrade: &Upgrade, status: &str, accept: &str, subprotocol: &str) -> Result<Option<usize>, String> {
        let text = format!(
            "HTTP/1.1 {status}\r\nsec-websocket-accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\nrest"
        );
        upgrade.check(text.as_bytes()).inspect(|taken| assert!(taken.is_none_or(|n| text.as_bytes()[n..] == *b"rest")))
    }

    #[test]
    fn only_the_right_answer_opens_the_connection() {
        let up = Upgrade::new("127.0.0.1:8080", "volley.v1.json");
        let good = up.accept.clone();
        assert!(answer(&up, "101 Switching Protocols", &good, "volley.v1.json").unwrap().is_some());
        assert_eq!(answer(&up, "503 Busy", &good, "volley.v1.json"), Err("http 503".into()));
        assert!(answer(&up, "101 OK", "AAAA", "volley.v1.json").unwrap_err().contains("Accept"));
        assert!(answer(&up, "101 OK", &good, "volley.v1.msgpack").unwrap_err().contains("subprotocol"));
        assert!(up.check(b"SSH-2.0-OpenSSH\r\n\r\n").unwrap_err().contains("not HTTP"));
        assert_eq!(up.check(b"HTTP/1.1 101 Swi"), Ok(None));
        assert!(up.check(&vec![b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn compression_is_agreed_to_exactly_if_it_was_asked_for() {
        let answer = |up: &Upgrade, line: &str| {
            let accept = format!("sec-websocket-accept: {}\r\nsec-websocket-protocol: volley.v1.json\r\n", up.accept);
            up.check(format!("HTTP/1.1 101 x\r\n{accept}{line}\r\n").as_bytes())
        };
        let plain = Upgrade::new("h:1", "volley.v1.json");
        let packed = plain.clone().with_compression(true);
        assert!(!String::from_utf8(plain.request("r")).unwrap().contains("Extensions"));
        let request = String::from_utf8(packed.request("r")).unwrap();
        assert!(request.contains("\r\nSec-WebSocket-Extensions: permessage-deflate;") && request.ends_with("\r\n\r\n"));
        let agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
        assert!(answer(&packed, agreed).is_ok() && answer(&plain, "").is_ok());
        assert!(answer(&packed, "").is_err() && answer(&plain, agreed).is_err());
        assert!(answer(&packed, "Sec-WebSocket-Extensions: permessage-deflate\r\n").is_err(), "leans on earlier ones");
    }

    #[test]
    fn the_request_asks_for_the_room() {
        let request = Upgrade::new("h:1", "volley.v1.json").request("demo");
        let text = String::from_utf8(request).unwrap();
        assert!(text.starts_with("GET /v1/rooms/demo/ws HTTP/1.1\r\nHost: h:1\r\n") && text.ends_with("\r\n\r\n"));
    }
}
