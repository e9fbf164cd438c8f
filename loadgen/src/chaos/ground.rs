//! The parts of every scenario: a folder, a server in it, a crowd of clients, a history, and the verdict at the end.
//!
//! Does not know: the faults.

use super::audit;
use super::client::ClientCounts;
use super::crowd::{Crowd, CrowdPlan, Habits};
use super::dice::Dice;
use super::record::Recorder;
use super::server::{NoStart, Recipe, Server, free_addresses};
use crate::check::{Checker, Options, Rule, Verdict};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// All clients must be live within this time after the last fault (the liveness rule).
pub const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// Between two checks of a condition that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// Between two pages of the history API during a run.
const PAGE_EVERY: Duration = Duration::from_millis(500);

/// Why a scenario ends without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// This machine cannot run it.
    #[error("skipped: {0}")]
    Skip(String),
    #[error("{0}")]
    Fail(String),
}

impl From<NoStart> for Trouble {
    fn from(error: NoStart) -> Self {
        Self::Fail(error.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Fail(error.to_string())
    }
}

/// Fails with a sentence.
///
/// # Errors
/// Always.
pub fn fail<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Fail(text.into()))
}

pub struct Ground {
    /// Removed at the end, unless the scenario failed.
    pub folder: PathBuf,
    /// How the server is started the next time.
    pub recipe: Recipe,
    /// The server, while it runs.
    pub server: Option<Server>,
    /// The clients, once they are invited.
    pub crowd: Option<Crowd>,
    more: Vec<Crowd>,
    pub recorder: Recorder,
    pub dice: Dice,
    /// Further figures for the report.
    pub figures: Vec<(String, String)>,
    /// The habits of crowds that are invited from now on.
    pub habits: Habits,
    rooms: Vec<String>,
    pager: Option<Pager>,
    seed: u64,
}

/// The longest restart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Longest(pub Duration);

impl Longest {
    pub fn add(&mut self, one: Duration) {
        self.0 = self.0.max(one);
    }
}

impl Ground {
    /// An empty folder and free ports.
    ///
    /// # Errors
    /// The folder or the ports are not available.
    pub fn new(folder: PathBuf, binary: &Path, seed: u64) -> Result<Self, Trouble> {
        std::fs::create_dir_all(&folder).map_err(|e| Trouble::Fail(format!("{}: {e}", folder.display())))?;
        // The path as /proc shows it, because the shim compares paths.
        let folder = folder.canonicalize()?;
        let mut dice = Dice::new(seed);
        let recipe = Recipe {
            binary: binary.to_owned(),
            addresses: free_addresses(&mut dice).map_err(Trouble::Fail)?,
            data: folder.join("data").display().to_string(),
            arguments: ["--no-rate-limits", "--shards", "1", "--set", "admission.connections_per_address_max=1000000"]
                .map(str::to_owned)
                .to_vec(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            log: folder.join("server.log"),
        };
        let recorder = Recorder::new(&folder.join("history.jsonl"))?;
        Ok(Self {
            folder,
            recipe,
            server: None,
            crowd: None,
            more: Vec::new(),
            recorder,
            dice,
            figures: Vec::new(),
            habits: Habits::default(),
            rooms: Vec::new(),
            pager: None,
            seed,
        })
    }

    /// Adds a flag with its value for the server's next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.recipe.arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    }

    /// Sets a variable for the server's next starts; an empty value removes it.
    pub fn env(&mut self, name: &str, value: &str) {
        self.recipe.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.recipe.environment.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Adds a line to the report.
    pub fn figure(&mut self, name: &str, value: impl ToString) {
        self.figures.push((name.to_owned(), value.to_string()));
    }

    /// Starts the server; returns how long that took.
    ///
    /// # Errors
    /// The server does not start.
    pub fn start(&mut self) -> Result<Duration, Trouble> {
        let server = Server::start(&self.recipe)?;
        let took = server.start;
        self.server = Some(server);
        Ok(took)
    }

    /// The running server.
    ///
    /// # Errors
    /// No server runs.
    pub fn server(&mut self) -> Result<&mut Server, Trouble> {
        self.server.as_mut().ok_or_else(|| Trouble::Fail("no server runs".into()))
    }

    /// Kills the server with SIGKILL and starts it again.
    ///
    /// # Errors
    /// The server does not start again.
    pub fn kill_and_start(&mut self) -> Result<Duration, Trouble> {
        self.recorder.fault("kill", None, true, None);
        self.server()?.kill();
        let took = self.start();
        self.recorder.fault("kill", None, false, None);
        took
    }

    /// Connects `clients` to `rooms` rooms and waits until all are live.
    ///
    /// # Errors
    /// They are not live within [`LIVE_WITHIN`].
    pub fn invite(&mut self, clients: usize, rooms: usize) -> Result<(), Trouble> {
        self.invite_within(clients, rooms, LIVE_WITHIN).map(drop)
    }

    /// The same, with the time limit `patience`; returns how long it took.
    ///
    /// # Errors
    /// They are not live within `patience`.
    pub fn invite_within(&mut self, clients: usize, rooms: usize, patience: Duration) -> Result<Duration, Trouble> {
        let crowd = self.gather("c", "room", clients, rooms)?;
        let instead = || format!("{} of {clients} clients are live", crowd.live());
        let took = self.wait(patience, || crowd.live() == clients, instead)?;
        self.crowd = Some(crowd);
        let (server, rooms) = (self.recipe.addresses[0], self.rooms.clone());
        self.pager = Some(Pager::start(&self.recorder, server, rooms, Dice::new(self.seed)));
        Ok(took)
    }

    /// Connects a further crowd, with its own rooms and rates.
    ///
    /// # Errors
    /// They are not live within [`LIVE_WITHIN`].
    pub fn invite_more(&mut self, name: &str, clients: usize, rooms: usize, per_s: f64) -> Result<(), Trouble> {
        let crowd = self.gather(name, name, clients, rooms)?;
        let instead = || format!("{} of {clients} clients `{name}` are live", crowd.live());
        self.wait(LIVE_WITHIN, || crowd.live() == clients, instead)?;
        crowd.pace(per_s, 0.0, 0.0);
        self.more.push(crowd);
        Ok(())
    }

    fn gather(&mut self, name: &str, room: &str, clients: usize, rooms: usize) -> Result<Crowd, Trouble> {
        let rooms: Vec<String> = (0..rooms).map(|n| format!("{room}-{n}")).collect();
        self.rooms.extend_from_slice(&rooms);
        let (name, server, seed) = (name.to_owned(), self.recipe.addresses[0], self.dice.next());
        let habits = self.habits;
        Ok(Crowd::start(&CrowdPlan { name, server, rooms, clients, seed, habits }, &self.recorder)?)
    }

    /// The crowd.
    ///
    /// # Errors
    /// No crowd was invited.
    pub fn crowd(&self) -> Result<&Crowd, Trouble> {
        self.crowd.as_ref().ok_or_else(|| Trouble::Fail("no crowd was invited".into()))
    }

    /// Sets the rates of comments, messages with likes, and connections that clients cut themselves.
    ///
    /// # Errors
    /// No crowd was invited.
    pub fn pace(&self, comments: f64, likes: f64, cuts: f64) -> Result<(), Trouble> {
        self.crowd()?.pace(comments, likes, cuts);
        Ok(())
    }

    /// The crowd's counts so far.
    pub fn counts(&self) -> ClientCounts {
        self.crowd.as_ref().map(Crowd::counts).unwrap_or_default()
    }

    /// Waits until all clients are live.
    ///
    /// # Errors
    /// They are not live within [`LIVE_WITHIN`].
    pub fn everybody_live(&self) -> Result<Duration, Trouble> {
        let crowd = self.crowd()?;
        let all = crowd.clients();
        self.wait(LIVE_WITHIN, || crowd.live() == all, || format!("{} of {all} clients are live", crowd.live()))
    }

    /// Waits until `is_so` holds; returns how long that took.
    ///
    /// # Errors
    /// The text of `instead`, if it does not hold within `patience`.
    pub fn wait(
        &self,
        patience: Duration,
        mut is_so: impl FnMut() -> bool,
        instead: impl Fn() -> String,
    ) -> Result<Duration, Trouble> {
        let began = Instant::now();
        while !is_so() {
            if began.elapsed() > patience {
                return fail(format!("after {} s: {}", patience.as_secs(), instead()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(began.elapsed())
    }

    /// Waits for a random time between two bounds.
    pub fn a_moment(&mut self, from_ms: u64, to_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.dice.between(from_ms, to_ms)));
    }

    /// The end: no more sends, all clients live and answered, the audit, the clients' leave, and the checker's verdict.
    ///
    /// # Errors
    /// There is no verdict.
    pub fn verdict(&mut self) -> Result<Verdict, Trouble> {
        self.pace(0.0, 0.0, 0.0)?;
        self.more.iter().for_each(|crowd| crowd.pace(0.0, 0.0, 0.0));
        for crowd in [self.crowd()?].into_iter().chain(&self.more) {
            let instead =
                || format!("{} of {} clients are live, or answers are missing", crowd.live(), crowd.clients());
            self.wait(LIVE_WITHIN + Duration::from_secs(5), || crowd.is_settled(), instead)?;
        }
        self.verdict_as_it_stands()
    }

    /// Stops all sends and waits a while for answers. If they do not arrive, the verdict reports why.
    pub fn settle_if_possible(&self) {
        if let Some(crowd) = &self.crowd {
            crowd.pace(0.0, 0.0, 0.0);
            let _ = self.wait(Duration::from_secs(3), || crowd.is_settled(), String::new);
        }
    }

    /// As [`Self::verdict`], without waiting for clients.
    ///
    /// # Errors
    /// There is no verdict.
    pub fn verdict_as_it_stands(&mut self) -> Result<Verdict, Trouble> {
        self.pace(0.0, 0.0, 0.0)?;
        if let Some(pager) = self.pager.take() {
            let pages = pager.stop();
            self.figure("pages", pages);
        }
        let audited = audit::audit(&self.recorder, self.recipe.addresses[0], &self.rooms).map_err(Trouble::Fail)?;
        let mut counts = ClientCounts::default();
        for crowd in self.crowd.take().into_iter().chain(self.more.drain(..)) {
            counts.add(&crowd.leave()?);
        }
        self.server = None;
        self.figure("comments", counts.sent);
        self.figure("acknowledged", counts.acked);
        self.figure("sent again", counts.retried);
        self.figure("unanswered", counts.unknown);
        if counts.refused > 0 {
            self.figure("refused", counts.refused);
        }
        self.figure("in the log", audited);
        for (name, count) in [
            ("merged", counts.merged),
            ("shed", counts.shed),
            ("votes", counts.votes),
            ("slid to lite", counts.slid),
            ("back from lite", counts.climbed),
            ("gaps", counts.gaps),
        ] {
            if count > 0 {
                self.figure(name, count);
            }
        }
        self.figure("resumed", counts.recovered);
        for (reason, count) in
            ["epoch changed", "ahead", "too old", "unavailable"].into_iter().zip(counts.not_recovered)
        {
            if count > 0 {
                self.figure(&format!("not resumed ({reason})"), count);
            }
        }
        if counts.unreadable > 0 {
            return fail(format!("{} messages could not be read", counts.unreadable));
        }
        let verdict = Checker::read(Options::default(), self.recorder.clone().into_reader()?);
        verdict.map_err(|broken| Trouble::Fail(broken.to_string()))
    }
}

/// The violated rules that fail a scenario: all but lateness (L2), which on a busy machine is caused by the machine.
pub fn broken(verdict: &Verdict) -> Vec<Rule> {
    verdict.violated().into_iter().filter(|rule| *rule != Rule::L2).collect()
}

/// Repeatedly requests a random page of the history API.
struct Pager {
    stop: Arc<AtomicBool>,
    pages: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Pager {
    fn start(recorder: &Recorder, server: std::net::SocketAddr, rooms: Vec<String>, mut dice: Dice) -> Self {
        let (stop, pages) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted, recorder) = (stop.clone(), pages.clone(), recorder.clone());
        let thread = std::thread::spawn(move || {
            let mut last = 0;
            while !stopped.load(Ordering::Relaxed) {
                let room = &rooms[dice.below(rooms.len() as u64) as usize];
                // A server that is down or lost the position returns no page.
                if let Ok(newest) = audit::look(&recorder, server, room, dice.below(last + 1)) {
                    last = newest;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::park_timeout(PAGE_EVERY);
            }
        });
        Self { stop, pages, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
        self.pages.load(Ordering::Relaxed)
    }
}
