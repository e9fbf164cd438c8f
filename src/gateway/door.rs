//! The public side's door: a thread with a readiness loop that accepts sockets and agrees to upgrade requests at once. One
//! wake-up is all that a viewer's arrival costs here. A connection with any other request becomes a task of the runtime; a
//! connection that sends nothing waits here until the handshake's deadline.

use super::Context;
use super::accept::{AcceptErrors, turn_away};
use super::connection::{self, Newcomer};
use crate::clock;
use crate::health::thread;
use crate::limits::OVER_CAP_ANSWERS_MAX;
use crate::metrics::Refusal;
use axum::Router;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tracing::warn;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// Events taken from one poll, and sockets accepted in one turn.
const TURN: usize = 256;

/// The shortest time between two sweeps of silent connections, so that thousands of deadlines do not cost a sweep each.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The longest sleep: the health check sees a turn at least this often…
const PARK_MAX: Duration = Duration::from_secs(1);

/// …and takes a door that is away for longer than this for stuck.
const STUCK_US: u64 = 5_000_000;

pub(super) struct Door {
    poll: Poll,
    listener: mio::net::TcpListener,
    context: Arc<Context>,
    pages: Router,
    over_cap_answers: Arc<Semaphore>,
    /// Connections that have sent nothing yet; bounded by their permits.
    silent: Slab<Newcomer>,
    /// When the first of them may reach its deadline.
    sweep: Option<Instant>,
    stop: Arc<AtomicBool>,
    /// Kept as long as the poll: closing the waker would drop its event.
    _waker: Arc<Waker>,
}

/// Closes the door when it is dropped.
pub(super) struct Latch {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Fails only when the poll is gone, and then the thread has ended.
        let _ = self.waker.wake();
    }
}

impl Door {
    pub(super) fn new(
        mut listener: mio::net::TcpListener,
        context: Arc<Context>,
        pages: Router,
    ) -> io::Result<(Self, Latch)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::<AtomicBool>::default();
        let waker = Arc::new(Waker::new(poll.registry(), STOP)?);
        let latch = Latch { stop: stop.clone(), waker: waker.clone() };
        let over_cap_answers = Arc::new(Semaphore::new(OVER_CAP_ANSWERS_MAX));
        let door = Self {
            poll,
            listener,
            context,
            pages,
            over_cap_answers,
            silent: Slab::new(),
            sweep: None,
            stop,
            _waker: waker,
        };
        Ok((door, latch))
    }

    /// Starts the thread; the receiver completes when the listener is closed. Tasks are spawned on the runtime of the
    /// caller.
    pub(super) fn open(self) -> io::Result<oneshot::Receiver<()>> {
        let (closed, hear_closed) = oneshot::channel();
        let runtime = Handle::current();
        let health = self.context.state.health.clone();
        thread::vital(&health, "door", move || {
            let _tasks_go_there = runtime.enter();
            self.run();
            let _ = closed.send(());
        })?;
        Ok(hear_closed)
    }

    /// Until the latch falls.
    fn run(mut self) {
        let mut events = Events::with_capacity(TURN);
        let mut errors = AcceptErrors::default();
        let pulse = self.context.state.health.pulse("door", STUCK_US);
        // Before it no accept is tried; and whether somebody may wait to be accepted.
        let (mut pause, mut knocked) = (None::<Instant>, true);
        while !self.stop.load(Ordering::Acquire) {
            pulse.beat(clock::now_us());
            if knocked && pause.is_none_or(|until| until <= Instant::now()) {
                pause = None;
                match self.accept(&mut errors) {
                    Ok(more) => knocked = more,
                    Err(error) => pause = errors.pause(&error).map(|pause| Instant::now() + pause),
                }
            }
            let now = Instant::now;
            let timeout = match (knocked, pause, self.sweep) {
                (true, None, _) => Some(Duration::ZERO),
                (true, Some(until), Some(sweep)) => Some(until.min(sweep).saturating_duration_since(now())),
                (true, Some(until), None) => Some(until.saturating_duration_since(now())),
                (false, _, sweep) => sweep.map(|sweep| sweep.saturating_duration_since(now())),
            };
            let timeout = timeout.map_or(PARK_MAX, |timeout| timeout.min(PARK_MAX));
            if let Err(error) = self.poll.poll(&mut events, Some(timeout)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    warn!(%error, "the door's poll failed");
                }
                continue;
            }
            for event in &events {
                match event.token() {
                    LISTENER => knocked = true,
                    STOP => {}
                    Token(index) => self.spoke(index),
                }
            }
            if self.sweep.is_some_and(|sweep| sweep <= now()) {
                self.sweep();
            }
        }
        // Silent connections may still send a request; its answer is that the server is stopping.
        for newcomer in self.silent.drain() {
            connection::serve(newcomer, &[], &self.context, &self.pages);
        }
    }

    /// Accepts waiting sockets; returns whether there may be more. The listener is edge-triggered: it reports no event
    /// until it has been read empty.
    fn accept(&mut self, errors: &mut AcceptErrors) -> io::Result<bool> {
        for _ in 0..TURN {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    errors.none();
                    self.context.metrics.accepts.increment(1);
                    self.arrived(stream.into(), peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    self.context.metrics.accept_errors.increment(1);
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    fn arrived(&mut self, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.context.state.permits.take(peer.ip()) {
            Ok(permit) => permit,
            Err(full) => return turn_away(&self.context, stream, peer, full, &self.over_cap_answers),
        };
        let newcomer = Newcomer::new(stream, peer.ip(), permit);
        if let Err(silent) = connection::greet(newcomer, &self.context, &self.pages) {
            self.wait_for(silent);
        }
    }

    fn wait_for(&mut self, newcomer: Newcomer) {
        let entry = self.silent.vacant_entry();
        let (fd, token) = (newcomer.stream.as_raw_fd(), Token(entry.key()));
        if self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).is_err() {
            return self.context.metrics.refused(Refusal::Broken);
        }
        let deadline = newcomer.accepted + self.context.settings.handshake;
        // Connections that came before have an earlier one.
        self.sweep.get_or_insert(deadline);
        entry.insert(newcomer);
    }

    fn spoke(&mut self, index: usize) {
        // An event of a socket that a sweep has closed meanwhile.
        let Some(newcomer) = self.silent.try_remove(index) else { return };
        // It only fails for a socket that is not there.
        let _ = self.poll.registry().deregister(&mut SourceFd(&newcomer.stream.as_raw_fd()));
        if let Err(silent) = connection::greet(newcomer, &self.context, &self.pages) {
            self.wait_for(silent); // Woken for nothing.
        }
    }

    /// Closes connections whose deadline has passed.
    fn sweep(&mut self) {
        let (now, patience, metrics) = (Instant::now(), self.context.settings.handshake, &self.context.metrics);
        let mut next = None::<Instant>;
        self.silent.retain(|_, newcomer| {
            let deadline = newcomer.accepted + patience;
            if deadline <= now {
                metrics.refused(Refusal::HandshakeTimeout);
                return false;
            }
            next = Some(next.map_or(deadline, |next| next.min(deadline)));
            true
        });
        self.sweep = next.map(|next| next.max(now + SWEEP_PAUSE));
    }
}
