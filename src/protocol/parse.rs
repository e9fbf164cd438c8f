//! From bytes to client messages: strict in both encodings alike. Objects are maps with string keys,
//! never positional arrays; text is text, never bytes; a key counts once; unknown fields are skipped.
//! Errors say what was wrong and where, and never repeat what the client sent.

mod object;
#[cfg(test)]
mod tests;

use super::codes::ErrorCode;
use super::encode::BYTE_ORDER_MARK;
use super::ids::ClientId;
use super::message::{
    AuthRequest, ClientMessage, CommentRequest, ErrorMessage, LikeRequest, StyleRequest, VoteRequest,
};
use super::value::{self, Ext, Notes, Text};
use super::variant::Encoding;
use object::{Fields, Nullable, Object, once, plain};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess};

/// Why a payload is not a client message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the encoding, wrong types, trailing bytes, too deep.
    #[error("{message}")]
    BadPayload {
        /// What was wrong, where, and what to do.
        message: String,
        /// The comment's or vote's id, if it could be read, wherever it stood.
        id: Option<ClientId>,
    },
    /// One key, but not one of ours.
    #[error("unknown message; known are comment, like, vote, auth, rendition and ping")]
    UnknownOp,
}

impl ParseError {
    /// The refusal as the client reads it.
    pub fn into_message(self) -> ErrorMessage {
        let message = self.to_string();
        let (code, id) = match self {
            Self::BadPayload { id, .. } => (ErrorCode::BadPayload, id),
            Self::UnknownOp => (ErrorCode::UnknownOp, None),
        };
        ErrorMessage { id, code, message, retry_after_ms: None }
    }
}

/// Reads one client message.
///
/// # Errors
/// [`ParseError`]; its text is meant for the client and never repeats what the client sent.
pub fn parse(payload: &[u8], encoding: Encoding) -> Result<ClientMessage, ParseError> {
    let notes = Notes::default();
    match read(payload, encoding, &notes, false) {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(ParseError::UnknownOp),
        Err(message) => {
            // The id may stand behind the fault. Only refused messages pay for the second look.
            if notes.id.borrow().is_none() {
                let _ = read(payload, encoding, &notes, true);
            }
            Err(ParseError::BadPayload { message, id: notes.id.into_inner() })
        }
    }
}

/// `Ok(None)`: well-formed, but no message of ours.
fn read(payload: &[u8], encoding: Encoding, notes: &Notes, lenient: bool) -> Result<Option<ClientMessage>, String> {
    let root = Object::new(Root { lenient, ..Root::default() }, notes);
    let root = match encoding {
        Encoding::Json => {
            let mut de = serde_json::Deserializer::from_slice(payload);
            root.deserialize(&mut de)
                .and_then(|root| de.end().map(|()| root))
                .map_err(|e| json_fault(&e, payload, notes))?
        }
        Encoding::Msgpack => {
            // Over a reader, whose `get_ref` is what remains; that of `from_read_ref` is the whole payload.
            let mut de = rmp_serde::Deserializer::new(payload);
            // Our own seeds bound the depth; this one stands behind them.
            de.set_max_depth(2 * crate::limits::MESSAGE_DEPTH_MAX);
            let root = root.deserialize(&mut de).map_err(|e| msgpack_fault(&e, notes))?;
            if !de.get_ref().is_empty() {
                return Err("bytes follow the message; send one message per WebSocket message".into());
            }
            root
        }
    };
    Ok(root.message)
}

fn json_fault(error: &serde_json::Error, payload: &[u8], notes: &Notes) -> String {
    use serde_json::error::Category;
    match error.classify() {
        _ if payload.starts_with(BYTE_ORDER_MARK) => "it begins with a byte order mark (U+FEFF); leave that out".into(),
        Category::Data => notes.fault(),
        Category::Eof => "not JSON: it ends too early".into(),
        // serde_json's syntax messages name what the grammar wants, never what was there.
        Category::Syntax | Category::Io => format!("not JSON: {error}"),
    }
}

fn msgpack_fault(error: &rmp_serde::decode::Error, notes: &Notes) -> String {
    use rmp_serde::decode::Error;
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "not MessagePack: it ends too early".into(),
        Error::DepthLimitExceeded => value::TOO_DEEP.into(),
        _ => notes.fault(),
    }
}

/// The message itself: one key.
#[derive(Default)]
struct Root {
    message: Option<ClientMessage>,
    keys: usize,
    /// Look for the id of a comment or a vote and for nothing else.
    lenient: bool,
}

const ONE_KEY: &str = "a message is an object with exactly one key: comment, like, vote, auth, rendition or ping";

impl Fields for Root {
    const WANTED: &'static str = ONE_KEY;

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        self.keys += 1;
        if self.keys > 1 && !self.lenient {
            notes.place.set(ONE_KEY);
            return Err(de::Error::custom(ONE_KEY));
        }
        self.message = Some(match key {
            "comment" | "vote" if self.lenient => {
                map.next_value_seed(Object::new(OnlyId, notes))?;
                return Ok(true);
            }
            _ if self.lenient => return Ok(false),
            "comment" => {
                let c = map.next_value_seed(Object::new(CommentFields::default(), notes))?;
                let style = c.style.flatten().map(|s| StyleRequest {
                    mode: s.mode.flatten(),
                    color: s.color.flatten(),
                    size: s.size.flatten(),
                });
                ClientMessage::Comment(CommentRequest {
                    id: c.id.flatten(),
                    text: c.text.unwrap_or_default(),
                    style,
                    media_ms: c.media_ms.flatten(),
                    ext: c.ext.flatten(),
                })
            }
            "like" => {
                let like = map.next_value_seed(Object::new(LikeFields::default(), notes))?;
                ClientMessage::Like(LikeRequest { count: like.count.unwrap_or_default() })
            }
            "vote" => {
                let vote = map.next_value_seed(Object::new(VoteFields::default(), notes))?;
                let (Some(poll), Some(option)) = (vote.poll, vote.option) else { unreachable!("both were checked") };
                ClientMessage::Vote(VoteRequest { id: vote.id.flatten(), poll, option })
            }
            "auth" => {
                let auth = map.next_value_seed(Object::new(AuthFields::default(), notes))?;
                ClientMessage::Auth(AuthRequest { token: auth.token.unwrap_or_default() })
            }
            "rendition" => {
                notes.place.set("rendition must be a string");
                ClientMessage::Rendition(map.next_value_seed(Text)?)
            }
            "ping" => {
                map.next_value_seed(Object::new(PingFields, notes))?;
                ClientMessage::Ping
            }
            _ => return Ok(false),
        });
        Ok(true)
    }

    fn check(&self, _: &Notes) -> Result<(), &'static str> {
        if self.keys == 0 { Err(ONE_KEY) } else { Ok(()) }
    }
}

#[derive(Default)]
struct CommentFields {
    id: Option<Option<ClientId>>,
    text: Option<String>,
    style: Option<Option<StyleFields>>,
    media_ms: Option<Option<u64>>,
    ext: Option<Option<serde_json::Map<String, serde_json::Value>>>,
}

const ID: &str = "comment.id must be a string of 1 to 64 printable ASCII characters";

impl Fields for CommentFields {
    const WANTED: &'static str = "comment must be an object with a text";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        match key {
            "id" => {
                once(&mut self.id, Nullable(Id), ID, map, notes)?;
                notes.id.replace(self.id.clone().flatten());
                Ok(true)
            }
            "text" => once(&mut self.text, Text, "comment.text must be a string", map, notes),
            "style" => {
                let seed = Nullable(Object::new(StyleFields::default(), notes));
                once(&mut self.style, seed, StyleFields::WANTED, map, notes)
            }
            "media_ms" => {
                let wanted = "comment.media_ms must be an integer from 0 to 9007199254740991";
                once(&mut self.media_ms, Nullable(plain::<u64>()), wanted, map, notes)
            }
            "ext" => {
                let wanted = "comment.ext must be an object of JSON values (no bytes, no NaN)";
                once(&mut self.ext, Nullable(Ext::new(notes)), wanted, map, notes)
            }
            _ => Ok(false),
        }
    }

    fn check(&self, _: &Notes) -> Result<(), &'static str> {
        if self.text.is_none() { Err("comment.text is missing") } else { Ok(()) }
    }
}

/// A comment or a vote of which only the id matters; a wrong one is no id.
struct OnlyId;

impl Fields for OnlyId {
    const WANTED: &'static str = ONE_KEY;

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        if key != "id" {
            return Ok(false);
        }
        let id = map.next_value_seed(Nullable(Id))?;
        notes.id.replace(id);
        // Found: there is nothing more to look for.
        Err(de::Error::custom("found"))
    }
}

#[derive(Default)]
struct StyleFields {
    mode: Option<Option<super::event::Mode>>,
    color: Option<Option<u32>>,
    size: Option<Option<u8>>,
}

impl Fields for StyleFields {
    const WANTED: &'static str = "comment.style must be an object";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        match key {
            "mode" => {
                let wanted = "comment.style.mode must be \"scroll\", \"top\", \"bottom\" or \"reverse\"";
                once(&mut self.mode, Nullable(ModeName), wanted, map, notes)
            }
            "color" => {
                let wanted = "comment.style.color must be an integer from 0 to 16777215 (0xRRGGBB)";
                once(&mut self.color, Nullable(plain::<u32>()), wanted, map, notes)
            }
            "size" => {
                let wanted = "comment.style.size must be an integer from 12 to 64";
                once(&mut self.size, Nullable(plain::<u8>()), wanted, map, notes)
            }
            _ => Ok(false),
        }
    }
}

#[derive(Default)]
struct LikeFields {
    count: Option<u64>,
}

impl Fields for LikeFields {
    const WANTED: &'static str = "like must be an object with a count";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        match key {
            "count" => once(&mut self.count, plain::<u64>(), "like.count must be a positive integer", map, notes),
            _ => Ok(false),
        }
    }

    fn check(&self, _: &Notes) -> Result<(), &'static str> {
        if self.count.is_none() { Err("like.count is missing") } else { Ok(()) }
    }
}

#[derive(Default)]
struct VoteFields {
    id: Option<Option<ClientId>>,
    poll: Option<ClientId>,
    option: Option<u8>,
}

impl Fields for VoteFields {
    const WANTED: &'static str = "vote must be an object with a poll and an option";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        match key {
            "id" => {
                let wanted = "vote.id must be a string of 1 to 64 printable ASCII characters";
                once(&mut self.id, Nullable(Id), wanted, map, notes)?;
                notes.id.replace(self.id.clone().flatten());
                Ok(true)
            }
            "poll" => {
                let wanted = "vote.poll must be a string of 1 to 64 printable ASCII characters";
                once(&mut self.poll, Id, wanted, map, notes)
            }
            "option" => {
                once(&mut self.option, plain::<u8>(), "vote.option must be an integer from 0 to 255", map, notes)
            }
            _ => Ok(false),
        }
    }

    fn check(&self, _: &Notes) -> Result<(), &'static str> {
        match (&self.poll, self.option) {
            (None, _) => Err("vote.poll is missing"),
            (_, None) => Err("vote.option is missing"),
            _ => Ok(()),
        }
    }
}

#[derive(Default)]
struct AuthFields {
    token: Option<String>,
}

impl Fields for AuthFields {
    const WANTED: &'static str = "auth must be an object with a token";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error> {
        match key {
            "token" => once(&mut self.token, Text, "auth.token must be a string", map, notes),
            _ => Ok(false),
        }
    }

    fn check(&self, _: &Notes) -> Result<(), &'static str> {
        if self.token.is_none() { Err("auth.token is missing") } else { Ok(()) }
    }
}

/// A ping has no fields yet.
struct PingFields;

impl Fields for PingFields {
    const WANTED: &'static str = "ping must be an object";

    fn take<'de, A: MapAccess<'de>>(&mut self, _: &str, _: &mut A, _: &Notes) -> Result<bool, A::Error> {
        Ok(false)
    }
}

struct Id;

impl<'de> DeserializeSeed<'de> for Id {
    type Value = ClientId;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ClientId, D::Error> {
        ClientId::new(&Text.deserialize(deserializer)?).ok_or_else(|| de::Error::custom(ID))
    }
}

/// By name only: derived enums also read indices and one-key maps.
struct ModeName;

impl<'de> DeserializeSeed<'de> for ModeName {
    type Value = super::event::Mode;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        use super::event::Mode;
        match Text.deserialize(deserializer)?.as_str() {
            "scroll" => Ok(Mode::Scroll),
            "top" => Ok(Mode::Top),
            "bottom" => Ok(Mode::Bottom),
            "reverse" => Ok(Mode::Reverse),
            _ => Err(de::Error::custom("unknown mode")),
        }
    }
}
