//! Exports over a real log, without sockets: what a slow reader holds, and every way to be cut short.

use super::*;
use crate::log::memory::MemoryLog;
use crate::log::suite::comment;
use crate::log::{Base, Delivery, Retention, Sink};
use crate::protocol::event::Event;
use axum::body::HttpBody;
use std::future::poll_fn;
use std::pin::{Pin, pin};

struct Nobody;

impl Sink for Nobody {
    fn deliver(&self, _: Delivery) -> Result<(), Delivery> {
        Ok(())
    }
}

const PIECES: usize = 5;

/// A room with enough comments for so many pieces.
fn log() -> (Arc<dyn Log>, RoomId) {
    let (log, room) = (Arc::new(MemoryLog::new(4, 1)), RoomId::new("r").unwrap());
    log.open(&room, Arc::new(Nobody)).unwrap();
    for n in 0..PIECES * PAGE_EVENTS_MAX {
        let event = Event::Comment(comment("u", &format!("{n}")));
        log.append(&room, n as u64, vec![event], n as u64).unwrap();
    }
    (log, room)
}

/// An export of that room that gives its reader so long for a piece.
fn export_of(
    log: &Arc<dyn Log>,
    room: &RoomId,
    stalled: Duration,
) -> (impl Future<Output = Result<(), Cut>> + use<>, Pieces<()>) {
    let (run, first) = Run::begin(&**log, room.clone(), None, Format::Bilibili).unwrap();
    let (pieces, body) = mpsc::channel(1);
    let feed = Feed { archive: Archive::new(log.clone()), run, pieces, stalled };
    (feed.run(first), Pieces::new(body, ()))
}

const LONG: Duration = Duration::from_secs(60);

/// Reads to the end; `Err` holds what came before the cut.
async fn read(mut body: Pieces<()>) -> Result<String, String> {
    let mut whole = Vec::new();
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => whole.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => {
                let more = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                assert!(more.is_none(), "something follows a cut");
                return Err(String::from_utf8(whole).unwrap());
            }
            None => return Ok(String::from_utf8(whole).unwrap()),
        }
    }
}

#[tokio::test]
async fn an_export_ends_where_the_log_ended_when_it_began() {
    let (log, room) = log();
    let (feed, body) = export_of(&log, &room, LONG);
    log.append(&room, 0, vec![Event::Comment(comment("u", "later"))], 1).unwrap();
    let (fed, read) = tokio::join!(feed, read(body));
    let xml = read.unwrap();
    assert_eq!((fed, xml.matches("<d p=").count()), (Ok(()), PIECES * PAGE_EVENTS_MAX));
    assert!(xml.ends_with("</d>\n</i>\n") && !xml.contains("later"));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_and_a_page_is_not_read_for_it() {
    let (log, room) = log();
    let (feed, body) = export_of(&log, &room, Duration::from_millis(1));
    assert_eq!(feed.await, Err(Cut::Reader));
    let came = read(body).await.expect_err("it looks whole");
    assert_eq!(came.matches("<d p=").count(), PAGE_EVENTS_MAX, "one piece waited for it");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_export() {
    let (log, room) = log();
    let (feed, body) = export_of(&log, &room, LONG);
    drop(body);
    assert_eq!(feed.await, Err(Cut::Reader));
}

/// Begins an export, does something to the log when the first piece is there, and reads on.
async fn disturbed(disturb: impl FnOnce(&dyn Log, &RoomId)) -> (Cut, String) {
    let (log, room) = log();
    let (feed, body) = export_of(&log, &room, LONG);
    disturb(&*log, &room);
    let feed = pin!(feed);
    let (fed, read) = tokio::join!(feed, read(body));
    (fed.expect_err("it ended well"), read.expect_err("it looks whole"))
}

#[tokio::test]
async fn retention_that_overtakes_an_export_cuts_it() {
    let (cut, came) = disturbed(|log, room| {
        let retention = Retention { age_ms: u64::MAX, events: 10, bytes: usize::MAX };
        let base = Base { offset: (PIECES * PAGE_EVENTS_MAX) as u64, state: Bytes::new() };
        log.retain(room, &retention, 1, base);
    })
    .await;
    assert_eq!(cut, Cut::Log(HistoryRefused::TooOld { first: (PIECES * PAGE_EVENTS_MAX) as u64 - 9 }));
    assert!(!came.contains("</i>"));
}

#[tokio::test]
async fn another_log_of_the_same_name_cuts_an_export() {
    let (cut, came) = disturbed(|log, room| {
        log.close(room);
        log.open(room, Arc::new(Nobody)).unwrap();
    })
    .await;
    assert!(matches!(cut, Cut::Log(HistoryRefused::EpochChanged { .. })), "{cut:?}");
    assert!(!came.contains("</i>"));
}

#[tokio::test]
async fn a_log_that_is_gone_cuts_an_export() {
    let (cut, came) = disturbed(|log, room| log.close(room)).await;
    assert_eq!(cut, Cut::Log(HistoryRefused::NoSuchRoom));
    assert!(!came.contains("</i>"));
}

#[tokio::test]
async fn an_empty_room_is_a_whole_file_without_comments() {
    let (log, room) = (Arc::new(MemoryLog::new(4, 1)) as Arc<dyn Log>, RoomId::new("r").unwrap());
    log.open(&room, Arc::new(Nobody)).unwrap();
    let (feed, body) = export_of(&log, &room, LONG);
    let (fed, read) = tokio::join!(feed, read(body));
    assert_eq!(fed, Ok(()));
    assert!(read.unwrap().ends_with("</source>\n</i>\n"));
}
