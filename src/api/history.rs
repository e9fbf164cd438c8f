//! `GET /v1/rooms/{room}/events`: a room's log, page by page.

use super::archive::{self, Archive};
use super::body::Whole;
use super::pages::Named;
use super::query;
use super::refused::HistoryRefused;
use crate::limits::{PAGE_BYTES_MAX, PAGES_MAX};
use crate::log::{Limit, Log, Record};
use crate::metrics::HistoryMetrics;
use crate::protocol::history::{HistoryPage, LoggedEvent, PublicEventRef};
use crate::protocol::ids::RoomId;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What pages and exports share.
pub(super) struct History {
    pub(super) archive: Archive,
    pub(super) metrics: HistoryMetrics,
    /// Places for pages that are read or sent.
    pages: Arc<Semaphore>,
}

impl History {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        let pages = Arc::new(Semaphore::new(PAGES_MAX));
        Self { archive: Archive::new(log), metrics: HistoryMetrics::new(), pages }
    }
}

/// The room that a path names.
pub(super) fn room(named: Named) -> Result<RoomId, HistoryRefused> {
    let Path(name) = named.map_err(|_| HistoryRefused::BadRoom)?;
    Ok(RoomId::new(&name)?)
}

/// One record as the API writes it.
pub(super) fn logged(record: &Record) -> LoggedEvent<PublicEventRef<'_>> {
    LoggedEvent { offset: record.offset, at: record.at_ms, event: PublicEventRef::from(&record.event) }
}

/// One page.
pub(super) async fn events(
    Extract(history): Extract<Arc<History>>,
    named: Named,
    RawQuery(query): RawQuery,
) -> Result<Response, HistoryRefused> {
    let room = room(named)?;
    let [after, limit, epoch] = query::parse(query.as_deref().unwrap_or_default(), ["after", "limit", "epoch"])?;
    let after = query::after(after.as_deref())?;
    let limit = Limit { events: query::limit(limit.as_deref())?, bytes: PAGE_BYTES_MAX };
    let epoch = query::epoch(epoch.as_deref())?;
    let place = history.pages.clone().try_acquire_owned().map_err(|_| {
        history.metrics.pages_refused.increment(1);
        HistoryRefused::PagesFull
    })?;
    let body = history.archive.run(move |log| Ok(page(&archive::read(log, &room, epoch, after, limit)?))).await?;
    history.metrics.pages.increment(1);
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Whole::new(body, place))).into_response())
}

fn page(stretch: &archive::LogStretch) -> Bytes {
    let head = stretch.head;
    let position = stretch.records.last().map_or(stretch.after, |record| record.offset);
    let page = HistoryPage {
        epoch: head.epoch,
        first: head.first,
        last: head.last,
        events: stretch.records.iter().map(logged).collect(),
        next: (position < head.last).then_some(position),
    };
    serde_json::to_vec(&page).expect("events serialise").into()
}
