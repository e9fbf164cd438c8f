//! Admission: the messages of one connection, in order, at times that the input chooses.
//!
//! Promises: an admitted message is fit for the log and for every viewer; no user exceeds burst and rate; a refusal is
//! fit to send, names its comment, and closes the connection only above the error limit; each message is counted once.

use super::cut::Cut;
use super::{messages, text};
use volley::config::{Config, Rate};
use volley::limits::{EXT_BYTES_MAX, OFFSET_MAX, RATE_REFUSALS_MAX, SOFT_ERRORS_MAX};
use volley::policy::admission::{Admission, AdmissionLimits, Admitted, SessionMeter};
use volley::policy::said::Said;
use volley::policy::text::TextLimits;
use volley::protocol::codes::{Close, ErrorCode};
use volley::protocol::encode;
use volley::protocol::event::{Comment, Style};
use volley::protocol::frame::{Frame, FrameEvent};
use volley::protocol::message::{ClientMessage, ErrorMessage, ServerMessage};
use volley::protocol::parse::parse;
use volley::protocol::user::{Role, User};
use volley::protocol::variant::Encoding;

/// The most messages of one input; more would only repeat.
const MESSAGES_MAX: usize = 64;

/// One byte chooses the limits and one the encoding. Messages follow: the time since the last one in units of 20 ms,
/// the length in two bytes, the payload.
pub fn admit(data: &[u8]) {
    let mut input = Cut(data);
    let limits = limits(input.byte());
    let encoding = if input.byte().is_multiple_of(2) { Encoding::Json } else { Encoding::Msgpack };
    let admission = Admission::with_limits(limits);
    let user = User { id: "u1".into(), name: "a viewer".into(), role: Role::Guest };
    let (mut meter, mut watch, mut now_us) = (SessionMeter::default(), Watch::default(), 0);
    while !input.is_empty() && watch.messages < MESSAGES_MAX as u64 {
        now_us += u64::from(input.byte()) * 20_000;
        let length = usize::from(u16::from_be_bytes(input.array()));
        let payload = input.bytes(length);
        watch.messages += 1;
        let admitted = admission.admit(payload, encoding, &user, &mut meter, now_us);
        if watch.judge(&admitted, payload, encoding, &limits, &user, now_us) {
            break;
        }
    }
    assert_eq!(admission.verdicts().map(|(_, _, count)| count).sum::<u64>(), watch.messages);
}

fn limits(choice: u8) -> AdmissionLimits {
    let usual = AdmissionLimits::new(&Config::default());
    let unlimited = AdmissionLimits {
        like_count_max: 1_000_000,
        comments_per_connection: None,
        comments_per_user: None,
        likes_per_connection: None,
        likes_per_user: None,
        ..usual
    };
    let slow = Some(Rate { per_s: 1, burst: 2 });
    match choice % 4 {
        0 => usual,
        1 => unlimited,
        2 => AdmissionLimits { comments_per_connection: slow, likes_per_user: slow, like_count_max: 2, ..usual },
        _ => AdmissionLimits { text: TextLimits { chars_max: 4, bytes_max: 9 }, users_max: 0, ..usual },
    }
}

/// What admission has granted to the connection so far.
#[derive(Default)]
struct Watch {
    messages: u64,
    /// Tokens of the connection's comment rate, which votes and changes of rendition use too.
    tokens: u64,
    comments: u64,
    likes: u64,
    protocol_errors: u64,
    rate_refusals: u64,
}

impl Watch {
    /// Whether admission has closed the connection.
    fn judge(
        &mut self,
        admitted: &Admitted,
        payload: &[u8],
        encoding: Encoding,
        limits: &AdmissionLimits,
        user: &User,
        now_us: u64,
    ) -> bool {
        if matches!(admitted, Admitted::Said(Said::Comment(_) | Said::Vote(_)) | Admitted::Rendition(_)) {
            self.tokens += 1;
            if let Some(rate) = limits.comments_per_connection {
                assert!(self.tokens <= allowed(rate, now_us), "{} tokens in {now_us} us", self.tokens);
            }
        }
        match admitted {
            Admitted::Said(Said::Comment(comment)) => {
                self.comments += 1;
                assert_eq!(comment.user, *user);
                is_fit_for_the_log(comment, &limits.text);
                assert!(limits.users_max > 0 || limits.comments_per_user.is_none(), "nobody is known, nobody fits");
                if let Some(rate) = limits.comments_per_user {
                    assert!(self.comments <= allowed(rate, now_us), "{} comments in {now_us} us", self.comments);
                }
            }
            Admitted::Said(Said::Like(count)) => {
                assert!((1..=limits.like_count_max).contains(count), "{count} likes");
                self.likes += count;
                for rate in [limits.likes_per_connection, limits.likes_per_user].into_iter().flatten() {
                    assert!(self.likes <= allowed(rate, now_us), "{} likes in {now_us} us", self.likes);
                }
            }
            Admitted::Said(Said::Vote(vote)) => {
                assert_eq!(vote.0, *user);
                assert_eq!(parse(payload, encoding), Ok(ClientMessage::Vote(vote.1.clone())));
            }
            Admitted::Rendition(rendition) => {
                assert_eq!(parse(payload, encoding), Ok(ClientMessage::Rendition(rendition.as_str().into())));
            }
            Admitted::Ping => {
                self.likes += 1;
                assert_eq!(parse(payload, encoding), Ok(ClientMessage::Ping));
                if let Some(rate) = limits.likes_per_connection {
                    assert!(self.likes <= allowed(rate, now_us), "{} likes and pings in {now_us} us", self.likes);
                }
            }
            Admitted::Refused(error) => self.refusal(error, payload, encoding),
            Admitted::Fatal(close, error) => {
                self.refusal(error, payload, encoding);
                match close {
                    Close::BadProtocol => assert!(self.protocol_errors >= u64::from(SOFT_ERRORS_MAX)),
                    Close::RateLimited => assert!(self.rate_refusals >= u64::from(RATE_REFUSALS_MAX)),
                    other => panic!("admission closes with {other:?}"),
                }
                return true;
            }
        }
        false
    }

    fn refusal(&mut self, error: &ErrorMessage, payload: &[u8], encoding: Encoding) {
        self.protocol_errors += u64::from(error.code.is_protocol_error());
        self.rate_refusals += u64::from(error.code == ErrorCode::RateLimited);
        assert!((1..=160).contains(&error.message.len()), "{error:?}");
        assert!(error.message.bytes().all(|b| (0x20..0x7f).contains(&b)), "{error:?}");
        match parse(payload, encoding) {
            Ok(ClientMessage::Comment(request)) => assert_eq!(error.id, request.id, "the comment that it is about"),
            Ok(ClientMessage::Vote(request)) => assert_eq!(error.id, request.id, "the vote that it is about"),
            Ok(_) => assert_eq!(error.id, None),
            Err(unreadable) => {
                messages::refusal_is_fit_to_send(&unreadable);
                assert_eq!(*error, unreadable.into_message());
            }
        }
        travels(&ServerMessage::Error(error.clone()));
    }
}

/// The most tokens that a full bucket grants from time 0 to `now_us`.
fn allowed(rate: Rate, now_us: u64) -> u64 {
    u64::from(rate.burst) + u64::from(rate.per_s) * now_us / 1_000_000
}

fn is_fit_for_the_log(comment: &Comment, limits: &TextLimits) {
    text::is_fit_to_show(&comment.text, limits);
    assert!(comment.style.color <= Style::COLOR_MAX && Style::SIZES.contains(&comment.style.size), "{comment:?}");
    assert!(comment.media_ms.is_none_or(|ms| ms <= OFFSET_MAX), "{comment:?}");
    if let Some(ext) = &comment.ext {
        let bytes = serde_json::to_vec(ext).expect("JSON values are JSON").len();
        assert!(!ext.is_empty() && bytes <= EXT_BYTES_MAX, "{bytes} bytes of ext");
    }
    let event = FrameEvent::comment(1, comment.clone());
    travels(&ServerMessage::Frame(Frame { last: 1, events: vec![event], ..Frame::default() }));
}

/// Asserts that both encodings carry the message with the same content.
fn travels(message: &ServerMessage) {
    let json = encode::payload(message, Encoding::Json);
    let read: serde_json::Value = serde_json::from_slice(&json).expect("what is sent is JSON");
    let again: ServerMessage = serde_json::from_slice(&json).expect("what is sent can be read");
    assert_eq!(serde_json::to_value(&again).expect("a message is JSON"), read);
    let msgpack = encode::payload(message, Encoding::Msgpack);
    assert_eq!(rmp_serde::from_slice::<ServerMessage>(&msgpack).as_ref().ok(), Some(message));
}
