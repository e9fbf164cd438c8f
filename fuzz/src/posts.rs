//! The events that the show's owner posts.
//!
//! Promises: no body panics; an accepted event is in range, fit to show, and reads the same after it is written again;
//! a refusal is short, on one line, and names a place.

use super::text;
use serde_json::{Value, json};
use volley::limits::{CUSTOM_BYTES_MAX, EXT_BYTES_MAX, OFFSET_MAX, POST_EVENTS_MAX};
use volley::policy::posts::{self, FaultKind, Submission};
use volley::policy::text::TextLimits;
use volley::protocol::event::{Event, Style};
use volley::protocol::ids::RoomId;
use volley::protocol::kind::Kind;
use volley::protocol::user::User;

pub fn read(data: &[u8]) {
    // A byte order mark is the only thing before the JSON that is not part of it.
    let value = serde_json::from_slice::<Value>(data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data));
    match posts::read(data) {
        Ok(Submission { events, is_batch }) => {
            let value = value.expect("a post is JSON");
            assert_eq!(value.get("events").is_some_and(|events| !events.is_null()), is_batch);
            assert!((1..=POST_EVENTS_MAX).contains(&events.len()) && (is_batch || events.len() == 1));
            events.iter().for_each(is_fit_for_the_log);
            let written: Vec<Value> = events.iter().map(written).collect();
            let again = if is_batch { json!({ "events": written }) } else { written[0].clone() };
            let again = posts::read(again.to_string().as_bytes());
            assert_eq!(again, Ok(Submission { events, is_batch }), "a written event reads the same");
        }
        Err(fault) => {
            let message = &fault.message;
            assert!((1..=400).contains(&message.len()), "{message:?}");
            assert!(message.bytes().all(|b| (0x20..0x7f).contains(&b)), "{message:?}");
            assert!(value.is_ok() || fault.kind == FaultKind::BadPayload, "{fault:?} about no JSON");
        }
    }
}

/// The event as the owner's program would write it.
fn written(event: &Event) -> Value {
    match event {
        Event::Comment(comment) => json!({ "comment": comment }),
        Event::Post(post) => serde_json::to_value(&post.kind).expect("an event is JSON"),
        Event::Likes { .. } | Event::Votes(_) => panic!("{event:?} cannot be posted"),
    }
}

fn shown(text: &str, chars_max: usize) {
    text::is_fit_to_show(text, &TextLimits { chars_max, bytes_max: 4 * chars_max });
}

fn person(user: &User) {
    assert!(RoomId::new(&user.id).is_ok(), "{user:?}");
    shown(&user.name, 64);
}

fn is_fit_for_the_log(event: &Event) {
    let post = match event {
        Event::Comment(comment) => {
            person(&comment.user);
            shown(&comment.text, 512);
            assert!(comment.id.is_none() && !comment.first && !comment.deleted, "{comment:?}");
            assert!(comment.style.color <= Style::COLOR_MAX && Style::SIZES.contains(&comment.style.size));
            assert!(comment.media_ms.is_none_or(|ms| ms <= OFFSET_MAX));
            let bytes = |ext: &serde_json::Map<String, Value>| Value::Object(ext.clone()).to_string().len();
            return assert!(comment.ext.as_ref().is_none_or(|ext| !ext.is_empty() && bytes(ext) <= EXT_BYTES_MAX));
        }
        Event::Post(post) => post,
        Event::Likes { .. } | Event::Votes(_) => panic!("{event:?} cannot be posted"),
    };
    assert!(post.key.is_none());
    match &post.kind {
        Kind::Gift(gift) => {
            person(&gift.user);
            shown(&gift.name, 64);
            assert!((1..=1_000_000).contains(&gift.count) && gift.value <= 1_000_000_000_000 && gift.total.is_none());
        }
        Kind::Announcement(announcement) => {
            shown(&announcement.text, 512);
            assert!(announcement.until.is_none_or(|until| (100_000_000_000..100_000_000_000_000).contains(&until)));
        }
        Kind::Custom(custom) => {
            assert!((1..=64).contains(&custom.name.len()) && custom.name.contains('.'), "{custom:?}");
            assert!(custom.data.to_string().len() <= CUSTOM_BYTES_MAX);
        }
        Kind::Pin(pin) => {
            shown(&pin.text, 512);
            pin.user.iter().for_each(person);
        }
        Kind::Unpin(_) | Kind::PollClose(_) => {}
        Kind::Delete(delete) => assert!((1..=OFFSET_MAX).contains(&delete.offset)),
        Kind::Poll(poll) => {
            shown(&poll.question, 256);
            assert!((2..=10).contains(&poll.options.len()));
            poll.options.iter().for_each(|option| shown(option, 64));
        }
        Kind::Enter(enter) => person(&enter.user),
        Kind::Settings(patch) => {
            assert!(patch.budget.is_none_or(|budget| budget <= 1_000));
            assert!(patch.tick_ms.is_none_or(|ms| (5..=2_000).contains(&ms)));
            assert!(patch.slow_ms.is_none_or(|ms| ms == 0 || (100..=3_600_000).contains(&ms)));
            assert!(patch.text_max.is_none_or(|chars| (1..=512).contains(&chars)));
            assert!([patch.question_bonus, patch.word_bonus].into_iter().flatten().all(|bonus| bonus <= 10));
            let words = patch.words.iter().flatten();
            assert!(words.clone().count() <= 32);
            words.for_each(|word| shown(word, 32));
        }
    }
}
