//! Judges a client's message before it reaches a room: parse → ranges → rate → text.
//!
//! Cheap checks run first, and every message costs its sender something: a malformed one counts as a soft
//! protocol error (three within 10 s close the connection), and any other spends a rate-limit token even if
//! its text is rejected.
//!
//! Does not know: rooms and their limits, sockets, how an answer travels.

mod meter;
mod verdicts;

pub use meter::SessionMeter;

use crate::config::{Config, Rate};
use crate::limits::{EXT_BYTES_MAX, OFFSET_MAX, OVERLOAD_RETRY_MS};
use crate::policy::auth::AuthError;
use crate::policy::json_fits;
use crate::policy::rate::{Gcra, Purse, RetryAfter, UserRefused, Users};
use crate::policy::said::Said;
use crate::policy::text::{TextError, TextLimits, normalise};
use crate::protocol::codes::{Close, ErrorCode};
use crate::protocol::event::{Comment, Style};
use crate::protocol::ids::ClientId;
use crate::protocol::message::{ClientMessage, CommentRequest, ErrorMessage, LikeRequest};
use crate::protocol::parse::{ParseError, parse};
use crate::protocol::user::User;
use crate::protocol::variant::{Encoding, Rendition};
use std::sync::Arc;
use verdicts::{MessageKind, Verdicts};

/// Bounds of what is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Of a comment's text.
    pub text: TextLimits,
    /// Most likes in one message; never more than a like bucket's burst, which could not pass.
    pub like_count_max: u64,
    /// Comments (and requests that are not available) of one connection; `None`: no limit.
    pub comments_per_connection: Option<Rate>,
    /// Comments of one user.
    pub comments_per_user: Option<Rate>,
    /// Likes of one connection.
    pub likes_per_connection: Option<Rate>,
    /// Likes of one user.
    pub likes_per_user: Option<Rate>,
    /// Users whose buckets are remembered.
    pub users_max: usize,
}

impl AdmissionLimits {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let rates = &config.rates;
        let rate = |rate: Rate| (!config.no_rate_limits).then_some(rate);
        let likes = [rate(rates.likes_per_connection), rate(rates.likes_per_user)];
        let burst = likes.iter().flatten().map(|r| u64::from(r.burst)).min();
        Self {
            text: TextLimits { chars_max: config.admission.text_chars_max, bytes_max: config.admission.text_bytes_max },
            like_count_max: config.admission.like_count_max.min(burst.unwrap_or(u64::MAX)),
            comments_per_connection: rate(rates.comments_per_connection),
            comments_per_user: rate(rates.comments_per_user),
            likes_per_connection: likes[0],
            likes_per_user: likes[1],
            users_max: rates.users_max,
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Admitted {
    /// Something for the room.
    Said(Said),
    /// From now on the connection reads this rendition.
    Rendition(Rendition),
    /// The client waits for a pong.
    Ping,
    /// Not accepted: send this.
    Refused(ErrorMessage),
    /// Not accepted, and one too many: send this, then close.
    Fatal(Close, ErrorMessage),
}

/// Admission for the whole node, shared by all shards.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    users: Users,
    verdicts: Verdicts,
}

impl Admission {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self::with_limits(AdmissionLimits::new(config))
    }

    /// With these limits.
    pub fn with_limits(limits: AdmissionLimits) -> Self {
        Self { limits, users: Users::new(limits.users_max), verdicts: Verdicts::default() }
    }

    /// The limits in force.
    pub const fn limits(&self) -> &AdmissionLimits {
        &self.limits
    }

    /// Judges one message of `user` on the connection of `meter`, received at `now_us`.
    pub fn admit(
        &self,
        payload: &[u8],
        encoding: Encoding,
        user: &User,
        meter: &mut SessionMeter,
        now_us: u64,
    ) -> Admitted {
        let (kind, judged) = match parse(payload, encoding) {
            Ok(ClientMessage::Comment(request)) => {
                let id = request.id.clone();
                let judged = self.comment(request, user, meter, now_us).map(Said::Comment).map(Admitted::Said);
                (MessageKind::Comment, judged.map_err(|refusal| refusal.into_message(id)))
            }
            Ok(ClientMessage::Like(request)) => {
                let judged = self.like(request, user, meter, now_us).map(Said::Like).map(Admitted::Said);
                (MessageKind::Like, judged.map_err(|refusal| refusal.into_message(None)))
            }
            Ok(ClientMessage::Auth(_)) => {
                let refusal = self.spend_request(meter, now_us).err().unwrap_or(Refusal::NoTokens);
                (MessageKind::Auth, Err(refusal.into_message(None)))
            }
            Ok(ClientMessage::Rendition(name)) => {
                let judged = self.rendition(&name, meter, now_us).map(Admitted::Rendition);
                (MessageKind::Rendition, judged.map_err(|refusal| refusal.into_message(None)))
            }
            Ok(ClientMessage::Ping) => {
                let judged = self.ping(meter, now_us).map(|()| Admitted::Ping);
                (MessageKind::Ping, judged.map_err(|refusal| refusal.into_message(None)))
            }
            Ok(ClientMessage::Vote(vote)) => {
                let id = vote.id.clone();
                let judged = self.spend_request(meter, now_us);
                let judged = judged.map(|()| Admitted::Said(Said::Vote(Box::new((user.clone(), vote)))));
                (MessageKind::Vote, judged.map_err(|refusal| refusal.into_message(id)))
            }
            Err(error) => (MessageKind::Unreadable, Err(ParseError::into_message(error))),
        };
        match judged {
            Ok(admitted) => {
                self.verdicts.count(kind, None);
                admitted
            }
            Err(message) => {
                self.verdicts.count(kind, Some(message.code));
                if message.code.is_protocol_error() && meter.soft_error(now_us) {
                    return Admitted::Fatal(Close::BadProtocol, message);
                }
                if message.code == ErrorCode::RateLimited && meter.rate_refusal(now_us) {
                    return Admitted::Fatal(Close::RateLimited, message);
                }
                Admitted::Refused(message)
            }
        }
    }

    /// Forgets the users whose buckets are full again. Call every few seconds.
    pub fn sweep(&self) {
        self.sweep_at(crate::clock::now_us());
    }

    /// [`Admission::sweep`] at a time of the caller's clock; returns how many users went.
    pub fn sweep_at(&self, now_us: u64) -> usize {
        self.users.sweep(now_us)
    }

    /// Users whose buckets are remembered now.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// How admission decided so far: (kind of message, `accepted` or the error's code, how often).
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.verdicts.iter()
    }

    fn comment(
        &self,
        request: CommentRequest,
        user: &User,
        meter: &mut SessionMeter,
        now_us: u64,
    ) -> Result<Box<Comment>, Refusal> {
        let style = style(&request)?;
        if request.media_ms.is_some_and(|ms| ms > OFFSET_MAX) {
            return Err(Refusal::Range("comment.media_ms must be an integer from 0 to 9007199254740991".into()));
        }
        if request.ext.as_ref().is_some_and(|ext| !json_fits(ext, EXT_BYTES_MAX)) {
            return Err(Refusal::Range(format!("comment.ext must be at most {EXT_BYTES_MAX} bytes of JSON")));
        }
        let rates = (self.limits.comments_per_connection, self.limits.comments_per_user);
        self.spend(&mut meter.comments, rates, (user, Purse::Comments), now_us, 1)?;
        let text = normalise(&request.text, &self.limits.text)?;
        Ok(Box::new(Comment {
            user: user.clone(),
            id: request.id,
            text: Arc::from(text.as_ref()),
            style,
            media_ms: request.media_ms,
            ext: request.ext.filter(|ext| !ext.is_empty()).map(Arc::new),
            first: false,
            deleted: false,
            posted: None,
            left: None,
        }))
    }

    fn like(&self, request: LikeRequest, user: &User, meter: &mut SessionMeter, now_us: u64) -> Result<u64, Refusal> {
        let max = self.limits.like_count_max;
        if !(1..=max).contains(&request.count) {
            return Err(Refusal::Range(format!("like.count must be an integer from 1 to {max}")));
        }
        let rates = (self.limits.likes_per_connection, self.limits.likes_per_user);
        self.spend(&mut meter.likes, rates, (user, Purse::Likes), now_us, request.count)?;
        Ok(request.count)
    }

    fn rendition(&self, name: &str, meter: &mut SessionMeter, now_us: u64) -> Result<Rendition, Refusal> {
        self.spend_request(meter, now_us)?;
        Rendition::of(name).ok_or(Refusal::NoSuchRendition)
    }

    /// A ping takes a token of the connection's likes: it often goes out beside a comment, which it must not displace.
    fn ping(&self, meter: &mut SessionMeter, now_us: u64) -> Result<(), Refusal> {
        if let Some(rate) = self.limits.likes_per_connection {
            meter.likes.check(rate, now_us, 1)?;
        }
        Ok(())
    }

    /// Requests that cost the room next to nothing take a token of the connection's comments.
    fn spend_request(&self, meter: &mut SessionMeter, now_us: u64) -> Result<(), Refusal> {
        if let Some(rate) = self.limits.comments_per_connection {
            meter.comments.check(rate, now_us, 1)?;
        }
        Ok(())
    }

    /// Takes `cost` from both buckets or from neither.
    fn spend(
        &self,
        cell: &mut Gcra,
        (per_connection, per_user): (Option<Rate>, Option<Rate>),
        (user, purse): (&User, Purse),
        now_us: u64,
        cost: u64,
    ) -> Result<(), Refusal> {
        let mut tried = *cell;
        if let Some(rate) = per_connection {
            tried.check(rate, now_us, cost)?;
        }
        if let Some(rate) = per_user {
            self.users.check(&user.id, purse, rate, now_us, cost)?;
        }
        *cell = tried;
        Ok(())
    }
}

/// Why a readable message is refused.
enum Refusal {
    Range(String),
    Rate(RetryAfter),
    UsersFull,
    Text(TextError),
    NoSuchRendition,
    NoTokens,
}

impl Refusal {
    fn into_message(self, id: Option<ClientId>) -> ErrorMessage {
        let (code, message, retry_after_ms) = match self {
            Self::Range(message) => (ErrorCode::BadPayload, message, None),
            Self::Rate(after) => {
                let ms = after.ms();
                let message = ms.map_or_else(
                    || "more at once than is ever allowed; send less".into(),
                    |ms| format!("too fast; try again in {ms} ms"),
                );
                (ErrorCode::RateLimited, message, ms)
            }
            Self::UsersFull => {
                let message = "too many people are active at the moment; try again later".into();
                (ErrorCode::Overloaded, message, Some(OVERLOAD_RETRY_MS))
            }
            Self::Text(error) => {
                let code = match error {
                    TextError::Empty => ErrorCode::Empty,
                    TextError::TooLong { .. } => ErrorCode::TooLong,
                };
                (code, error.to_string(), None)
            }
            Self::NoTokens => (ErrorCode::NotAvailable, AuthError::NotAvailable.to_string(), None),
            Self::NoSuchRendition => {
                (ErrorCode::NotAvailable, "this server offers the renditions viewer, lite and full".into(), None)
            }
        };
        ErrorMessage { id, code, message, retry_after_ms }
    }
}

impl From<RetryAfter> for Refusal {
    fn from(after: RetryAfter) -> Self {
        Self::Rate(after)
    }
}

impl From<UserRefused> for Refusal {
    fn from(refused: UserRefused) -> Self {
        match refused {
            UserRefused::Rate(after) => Self::Rate(after),
            UserRefused::Full => Self::UsersFull,
        }
    }
}

impl From<TextError> for Refusal {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

/// The wished looks, if they are in range.
fn style(request: &CommentRequest) -> Result<Style, Refusal> {
    let wish = request.style.unwrap_or_default();
    let usual = Style::default();
    let style = Style {
        mode: wish.mode.unwrap_or(usual.mode),
        color: wish.color.unwrap_or(usual.color),
        size: wish.size.unwrap_or(usual.size),
    };
    if style.color > Style::COLOR_MAX {
        let max = Style::COLOR_MAX;
        return Err(Refusal::Range(format!("comment.style.color must be an integer from 0 to {max} (0xRRGGBB)")));
    }
    if !Style::SIZES.contains(&style.size) {
        let (min, max) = (Style::SIZES.start(), Style::SIZES.end());
        return Err(Refusal::Range(format!("comment.style.size must be an integer from {min} to {max}")));
    }
    Ok(style)
}

#[cfg(test)]
mod tests;
