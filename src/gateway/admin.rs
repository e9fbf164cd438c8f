//! The admin side's accept loop. Whatever comes, a health check finds a place ([`super::seats`]) and a descriptor.

use super::accept::{AcceptErrors, tell_at_once};
use super::answer::Answer;
use super::connection;
use super::front::{AdminFront, Names};
use super::progress::Progress;
use super::seats::{Seat, Seats};
use crate::base_path::BasePath;
use crate::limits::{ADMIN_FAREWELLS_MAX, ADMIN_RESERVE_MAX, ADMIN_SPARE_DESCRIPTORS, LINGER_MS};
use crate::metrics::{GatewayMetrics, Refusal};
use axum::Router;
use parking_lot::Mutex;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// Connections accepted before earlier ones are served or evicted. More than the reserved seats would evict a health check
/// before its request was read.
const ACCEPTS_PER_TURN: usize = ADMIN_RESERVE_MAX / 2;

/// Accepts until it is dropped.
pub(super) async fn serve(listener: TcpListener, pages: Router, names: Option<Names>) {
    let shared = Arc::new(AdminShared {
        pages,
        desk: AdminFront { names, metrics: Arc::new(GatewayMetrics::new()), journal: Arc::default() },
        spares: Spares::default(),
        farewells: Semaphore::new(ADMIN_FAREWELLS_MAX),
    });
    shared.spares.fill();
    let (mut seats, mut errors, mut accepted) = (Seats::default(), AcceptErrors::default(), 0_usize);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                errors.none();
                let progress = Progress::begun_now();
                let seat = seats.take(&progress);
                tokio::spawn(shared.clone().sit(stream, seat, progress));
                accepted += 1;
                if accepted % ACCEPTS_PER_TURN == 0 {
                    yield_now().await;
                }
            }
            Err(error) => {
                shared.desk.metrics.accept_errors.increment(1);
                // Viewers or a leak may have taken every descriptor; a spare one keeps the health check working.
                if is_out_of_descriptors(&error) && shared.spares.give_one_up() {
                    continue;
                }
                if let Some(pause) = errors.pause(&error) {
                    sleep(pause).await;
                    shared.spares.fill();
                }
            }
        }
    }
}

struct AdminShared {
    pages: Router,
    desk: AdminFront,
    spares: Spares,
    /// Evicted connections that are being answered.
    farewells: Semaphore,
}

impl AdminShared {
    async fn sit(self: Arc<Self>, stream: TcpStream, seat: Seat, progress: Arc<Progress>) {
        let evicted = connection::admin(stream, &self.pages, self.desk.clone(), seat, &progress).await;
        let has_asked = progress.head_seen.load(Ordering::Relaxed);
        // The seat is somebody else's by now, or free.
        drop(progress);
        if let Some(stream) = evicted {
            self.take_leave(stream, has_asked).await;
        }
        self.spares.fill();
    }

    /// Ends a connection whose seat is needed. A connection between two requests is closed without an answer, which the
    /// client could take for the answer to its next request.
    async fn take_leave(&self, mut stream: TcpStream, has_asked: bool) {
        if has_asked {
            let Ok(_place) = self.farewells.try_acquire() else { return };
            return connection::linger(stream).await;
        }
        let answer = Answer::admin_busy();
        let Ok(_place) = self.farewells.try_acquire() else {
            self.desk.metrics.refused(Refusal::Unanswered);
            return tell_at_once(&stream, &answer, &BasePath::default());
        };
        self.desk.metrics.refused(answer.counted);
        let telling = async {
            if stream.write_all(&answer.bytes(None)).await.is_ok() {
                connection::linger(stream).await;
            }
        };
        let _ = timeout(Duration::from_millis(LINGER_MS), telling).await;
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let of_process_or_system = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| of_process_or_system.contains(&code))
}

/// Descriptors that are held to be given up when there are no others.
#[derive(Default)]
struct Spares(Mutex<Vec<File>>);

impl Spares {
    fn fill(&self) {
        let mut spares = self.0.lock();
        while spares.len() < ADMIN_SPARE_DESCRIPTORS {
            let Ok(spare) = File::open("/dev/null") else { return };
            spares.push(spare);
        }
    }

    fn give_one_up(&self) -> bool {
        self.0.lock().pop().is_some()
    }
}
