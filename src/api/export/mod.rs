//! `GET /v1/rooms/{room}/export`: the whole retained show as one file, piece after piece out of the log.
//!
//! An export covers the log as it is at the beginning, up to the `last` of that moment. A file that could not be
//! written to its end never looks whole: the transfer ends in an error.

mod ass;
mod bilibili;
mod jsonl;
mod lanes;
mod timeline;

use super::archive::{self, Archive};
use super::body::{ExportPiece, Pieces};
use super::history::{self, History};
use super::pages::Named;
use super::query;
use super::refused::HistoryRefused;
use crate::limits::{EXPORT_STALLED_MS, EXPORTS_MAX, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::log::{Limit, Log, Record};
use crate::metrics::HistoryMetrics;
use crate::protocol::ids::{Epoch, Offset, RoomId};
use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::http::Version;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// How much of the log is read, and held, at once.
const PIECE: Limit = Limit { events: PAGE_EVENTS_MAX, bytes: PAGE_BYTES_MAX };

/// One format: bytes for the beginning, each record in order, and the end.
trait Writer: Send {
    fn begin(&mut self, out: &mut Vec<u8>);
    fn record(&mut self, record: &Record, out: &mut Vec<u8>);
    fn end(&mut self, out: &mut Vec<u8>);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jsonl,
    Bilibili,
    Ass,
}

impl Format {
    fn parse(text: Option<&str>) -> Result<Self, HistoryRefused> {
        match text {
            None | Some("jsonl") => Ok(Self::Jsonl),
            Some("bilibili-xml") => Ok(Self::Bilibili),
            Some("ass") => Ok(Self::Ass),
            Some(_) => Err(HistoryRefused::BadQuery("format must be jsonl, bilibili-xml or ass".to_owned())),
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/x-ndjson; charset=utf-8",
            Self::Bilibili => "application/xml; charset=utf-8",
            Self::Ass => "text/x-ssa; charset=utf-8",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Bilibili => "xml",
            Self::Ass => "ass",
        }
    }

    fn writer(self, room: &RoomId, epoch: Epoch) -> Box<dyn Writer> {
        match self {
            Self::Jsonl => Box::new(jsonl::Jsonl),
            Self::Bilibili => Box::new(bilibili::Bilibili::new(epoch)),
            Self::Ass => Box::new(ass::Ass::new(room)),
        }
    }
}

/// Exports, a few at a time.
pub(super) struct Exports {
    history: Arc<History>,
    places: Arc<Semaphore>,
}

impl Exports {
    pub(super) fn new(history: Arc<History>) -> Self {
        Self { history, places: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }
}

/// One of the places of concurrent exports; held as long as the transfer runs.
struct ExportPlace {
    history: Arc<History>,
    _permit: OwnedSemaphorePermit,
}

impl ExportPlace {
    fn take(exports: &Exports) -> Result<Self, HistoryRefused> {
        let metrics = &exports.history.metrics;
        match exports.places.clone().try_acquire_owned() {
            Ok(permit) => {
                metrics.exports_running.increment(1);
                Ok(Self { history: exports.history.clone(), _permit: permit })
            }
            Err(_) => {
                metrics.exports_refused.increment(1);
                Err(HistoryRefused::ExportsFull)
            }
        }
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        self.history.metrics.exports_running.decrement(1);
    }
}

/// The whole show as a file.
pub(super) async fn export(
    Extract(exports): Extract<Arc<Exports>>,
    named: Named,
    RawQuery(query): RawQuery,
    version: Version,
) -> Result<Response, HistoryRefused> {
    let room = history::room(named)?;
    let [format, epoch] = query::parse(query.as_deref().unwrap_or_default(), ["format", "epoch"])?;
    let format = Format::parse(format.as_deref())?;
    let epoch = query::epoch(epoch.as_deref())?;
    if version < Version::HTTP_11 {
        return Err(HistoryRefused::OldHttp);
    }
    let place = ExportPlace::take(&exports)?;
    let archive = exports.history.archive.clone();
    // The first piece is read before the answer begins, so that what is wrong from the start has its status.
    let filename = format!("attachment; filename=\"{room}.{}\"", format.extension());
    let (run, first) = archive.run(move |log| Run::begin(log, room, epoch, format)).await?;
    exports.history.metrics.exports.increment(1);
    let (pieces, body) = mpsc::channel(1);
    let feed = Feed { archive, run, pieces, stalled: Duration::from_millis(EXPORT_STALLED_MS) };
    let history = exports.history.clone();
    tokio::spawn(async move { tell(feed.run(first).await, &history.metrics) });
    let headers =
        [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store"), (CONTENT_DISPOSITION, filename.as_str())];
    Ok((headers, Body::new(Pieces::new(body, place))).into_response())
}

fn tell(outcome: Result<(), Cut>, metrics: &HistoryMetrics) {
    match outcome {
        Ok(()) => {}
        Err(Cut::Reader) => metrics.exports_cut_reader.increment(1),
        Err(Cut::Log(why)) => {
            tracing::debug!(?why, "an export was cut short");
            metrics.exports_cut_log.increment(1);
        }
    }
}

/// The state of one running export: its position in the log, and its end.
struct Run {
    room: RoomId,
    epoch: Epoch,
    /// Written up to here.
    after: Offset,
    /// The log's newest offset when the export began.
    last: Offset,
    writer: Box<dyn Writer>,
}

impl Run {
    /// Reads and writes the first piece.
    fn begin(
        log: &dyn Log,
        room: RoomId,
        epoch: Option<Epoch>,
        format: Format,
    ) -> Result<(Self, ExportPiece), HistoryRefused> {
        let stretch = archive::read(log, &room, epoch, None, PIECE)?;
        let head = stretch.head;
        let writer = format.writer(&room, head.epoch);
        let mut run = Self { room, epoch: head.epoch, after: stretch.after, last: head.last, writer };
        let mut out = Vec::new();
        run.writer.begin(&mut out);
        let first = run.write(&stretch.records, out);
        Ok((run, first))
    }

    /// Reads and writes the next piece.
    fn next(mut self, log: &dyn Log) -> Result<(Self, ExportPiece), HistoryRefused> {
        let stretch = archive::read(log, &self.room, Some(self.epoch), Some(self.after), PIECE)?;
        if stretch.records.is_empty() {
            return Err(HistoryRefused::Unavailable); // It ends before the end that it had: never a whole file.
        }
        let piece = self.write(&stretch.records, Vec::new());
        Ok((self, piece))
    }

    fn write(&mut self, records: &[Record], mut out: Vec<u8>) -> ExportPiece {
        for record in records.iter().take_while(|record| record.offset <= self.last) {
            self.writer.record(record, &mut out);
        }
        if let Some(record) = records.last() {
            self.after = record.offset;
        }
        let is_last = self.after >= self.last;
        if is_last {
            self.writer.end(&mut out);
        }
        ExportPiece { bytes: Bytes::from(out), is_last }
    }
}

/// Why an export did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    /// The reader left, or did not take a piece in time.
    Reader,
    /// The log could not be read on: retention has overtaken it, it is another log now, or the store failed.
    Log(HistoryRefused),
}

/// Brings the pieces to the body, each when the one before was taken: a slow reader holds two of them.
struct Feed {
    archive: Archive,
    run: Run,
    pieces: mpsc::Sender<ExportPiece>,
    stalled: Duration,
}

impl Feed {
    async fn run(self, first: ExportPiece) -> Result<(), Cut> {
        let Self { archive, mut run, pieces, stalled } = self;
        let mut is_last = first.is_last;
        pieces.send(first).await.map_err(|_| Cut::Reader)?; // The channel is empty: this does not wait.
        while !is_last {
            // An early return drops the sender, which the body reports as an incomplete transfer.
            let place = timeout(stalled, pieces.reserve()).await.ok().and_then(Result::ok).ok_or(Cut::Reader)?;
            let (now, piece) = archive.run(move |log| run.next(log)).await.map_err(Cut::Log)?;
            run = now;
            is_last = piece.is_last;
            place.send(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
