//! Reads a post request: its key, its bounded body, and its events.

use super::posting::PostRefused;
use super::query;
use crate::clock;
use crate::limits::{CLIENT_ID_BYTES_MAX, POST_BODY_MS, POST_BYTES_MAX};
use crate::log::digest::fnv1a;
use crate::policy::posts::{self, Submission};
use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Epoch, Hex64};
use crate::protocol::kind::PostKey;
use crate::room::request::PostRequest;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::body::Body as _;
use serde::Serialize;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Length of `.99`, which a batch appends to its key.
const BATCH_SUFFIX_BYTES: usize = 3;

/// Reads a request: its events, each with its idempotency key. `query` may name the epoch that is meant.
pub(super) async fn request(headers: &HeaderMap, query: Option<&str>, body: Body) -> Result<PostRequest, PostRefused> {
    let key = key(headers)?;
    let [epoch] = query::parse_all(query.unwrap_or_default(), ["epoch"]).map_err(PostRefused::BadQuery)?;
    let bad_epoch = || PostRefused::BadQuery(query::BAD_EPOCH.into());
    let epoch = epoch.map(|text| Epoch::parse(&text).ok_or_else(bad_epoch)).transpose()?;
    let Submission { mut events, is_batch } = posts::read(&read(headers, body).await?)?;
    let other_shape = match key {
        Some(key) if is_batch => {
            if key.as_str().len() > CLIENT_ID_BYTES_MAX - BATCH_SUFFIX_BYTES {
                return Err(PostRefused::BadKey("Idempotency-Key must have at most 61 characters for a batch"));
            }
            let count = events.len();
            for (at, event) in events.iter_mut().enumerate() {
                sign(event, of_batch(&key, at).expect("the length was checked"), Some(count));
            }
            Some(key)
        }
        Some(key) => {
            let first_of_batch = of_batch(&key, 0);
            events.iter_mut().for_each(|event| sign(event, key.clone(), None));
            first_of_batch
        }
        None => None,
    };
    Ok(PostRequest { events, now_ms: clock::wall_ms(), epoch, other_shape, targets: None })
}

/// The key of event number `at` of a batch; `None` when it would be too long.
fn of_batch(key: &ClientId, at: usize) -> Option<ClientId> {
    ClientId::new(&format!("{}.{at}", key.as_str()))
}

/// `Idempotency-Key`, if it is there.
fn key(headers: &HeaderMap) -> Result<Option<ClientId>, PostRefused> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        let is_there = headers.contains_key(IDEMPOTENCY_KEY);
        return if is_there { Err(PostRefused::BadKey("Idempotency-Key stands there twice")) } else { Ok(None) };
    };
    let id = value.to_str().ok().and_then(ClientId::new);
    id.map(Some).ok_or(PostRefused::BadKey("Idempotency-Key must have 1 to 64 printable ASCII characters"))
}

/// Makes a repetition harmless, and another event under the same key a conflict. `count`: how many events its batch has.
fn sign(event: &mut Event, id: ClientId, count: Option<usize>) {
    match event {
        Event::Comment(comment) => {
            comment.posted = Some(sum(comment, count));
            comment.id = Some(id);
        }
        Event::Post(post) => post.key = Some(PostKey { sum: sum(&post.kind, count), id }),
        Event::Likes { .. } | Event::Votes(_) => {}
    }
}

/// Fields in the order of the type, keys of free JSON sorted: the same event has the same sum however it was written. The size
/// of a batch is part of what each of its events says, so that one event more or less is another request.
fn sum(said: &impl Serialize, count: Option<usize>) -> Hex64 {
    let mut bytes = serde_json::to_vec(said).expect("structs with string keys serialise");
    if let Some(count) = count {
        bytes.extend_from_slice(format!(" of {count}").as_bytes());
    }
    Hex64(fnv1a(&bytes))
}

/// The body, whole, in bounds of bytes and time.
async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, PostRefused> {
    let is_json = |value: &str| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    // Anything else a page may send without asking first: that is what keeps forms of foreign pages out.
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let kind = match (types.next(), types.next()) {
        (None, _) => return Err(PostRefused::NotJson("Content-Type is missing")),
        (Some(kind), None) => kind.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return Err(PostRefused::NotJson("Content-Type is there twice")),
    };
    if !is_json(kind) {
        let is_form = kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
        let why = if is_form {
            "Content-Type is that of a form, which curl -d sends by default"
        } else {
            "Content-Type says another type"
        };
        return Err(PostRefused::NotJson(why));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(PostRefused::NotJson("Content-Encoding is there, and packed bodies are not read: leave it out"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > POST_BYTES_MAX as u64) {
        return Err(PostRefused::TooLarge);
    }
    let patience = Duration::from_millis(POST_BODY_MS);
    timeout(patience, collect(body)).await.unwrap_or(Err(PostRefused::TooSlow))
}

async fn collect(body: Body) -> Result<Vec<u8>, PostRefused> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        // It broke off, or its chunks are none.
        let frame = frame.map_err(|_| PostRefused::TooSlow)?;
        let Ok(data) = frame.into_data() else { continue }; // Trailers say nothing to us.
        if bytes.len() + data.len() > POST_BYTES_MAX {
            return Err(PostRefused::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(body: &str, key: &str) -> Vec<Event> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        headers.insert(IDEMPOTENCY_KEY, key.parse().unwrap());
        runtime.block_on(request(&headers, None, Body::from(body.to_owned()))).unwrap().events
    }

    fn post_key(event: &Event) -> (String, Hex64) {
        let Event::Post(post) = event else { panic!("{event:?}") };
        let key = post.key.as_ref().expect("a key");
        (key.id.as_str().to_owned(), key.sum)
    }

    #[test]
    fn the_sum_is_of_what_is_said_and_not_of_how_it_is_written() {
        let one = signed(r#"{"custom":{"type":"a.b","data":{"x":1,"y":[true]}}}"#, "k");
        let same =
            signed("{ \"custom\" : {\"data\": {\"y\":[ true], \"x\":1}, \"sticky\": false,\"type\":\"a.b\"} }", "k");
        let other = signed(r#"{"custom":{"type":"a.b","data":{"x":2,"y":[true]}}}"#, "k");
        let (id, sum) = post_key(&one[0]);
        assert_eq!((id.as_str(), sum.to_string().as_str()), ("k", "241c4b620901278d"), "also in the next version");
        assert_eq!(post_key(&same[0]).1, sum);
        assert_ne!(post_key(&other[0]).1, sum);
    }

    #[test]
    fn each_event_of_a_batch_has_a_key_of_its_own() {
        let events = r#"{"events":[{"unpin":{}},{"comment":{"user":{"id":"h","name":"Host"},"text":"hi"}}]}"#;
        let events = signed(events, &"k".repeat(61));
        assert_eq!(post_key(&events[0]).0, format!("{}.0", "k".repeat(61)));
        let Event::Comment(comment) = &events[1] else { panic!("{events:?}") };
        assert_eq!(comment.id.as_ref().map(ClientId::as_str), Some(&*format!("{}.1", "k".repeat(61))));
    }
}
