//! Bodies that hold a place among the answers under way until their reader has taken them.

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// One piece of known length.
pub(super) struct Whole {
    bytes: Option<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Whole {
    pub(super) fn new(bytes: Bytes, place: OwnedSemaphorePermit) -> Self {
        Self { bytes: Some(bytes), _place: place }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.get_mut().bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    // Never says that the stream has ended while hyper may still hold bytes of it: hyper drops an ended body at once, and
    // any other as soon as the socket has taken nearly all of it.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// One piece of an export.
pub(super) struct ExportPiece {
    pub(super) bytes: Bytes,
    /// Nothing comes after it.
    pub(super) is_last: bool,
}

/// A body of pieces from a channel. If the sender is dropped before the last piece, even by a panic, the body ends in an
/// error, so that the reader sees an incomplete transfer.
pub(super) struct Pieces<G> {
    pieces: mpsc::Receiver<ExportPiece>,
    is_over: bool,
    _guard: G,
}

impl<G> Pieces<G> {
    /// `guard` lives as long as the transfer.
    pub(super) fn new(pieces: mpsc::Receiver<ExportPiece>, guard: G) -> Self {
        Self { pieces, is_over: false, _guard: guard }
    }
}

/// What ends a transfer that has no last piece.
#[derive(Debug, thiserror::Error)]
#[error("the export was cut short")]
pub(super) struct CutShort;

impl<G: Unpin> Body for Pieces<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        this.pieces.poll_recv(cx).map(|piece| {
            Some(match piece {
                Some(piece) => {
                    this.is_over = piece.is_last;
                    Ok(Frame::data(piece.bytes))
                }
                None => {
                    this.is_over = true;
                    Err(CutShort.into())
                }
            })
        })
    }
}
