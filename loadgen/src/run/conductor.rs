//! One run: starts the workers, sets their times, watches the server's process, and joins the results.
//!
//! Does not know: flags, tables, exit codes.

use crate::clock::now_ns;
use crate::proc::ProcessUse;
use crate::run::children::Crew;
use crate::run::ledger::judge::{LedgerVerdict, judge};
use crate::run::messages::{OwnLoad, Progress, Report, Tally, Times, WorkerCommand, WorkerResult};
use crate::run::poster::{self, Posted, Poster};
use crate::run::scenario::Scenario;
use crate::run::timing::{Percentiles, percentiles};
use crate::wire::admin;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use volley::protocol::ids::Offset;

/// The time from the workers' readiness to the first send, in which every worker receives the command.
const LEAD_NS: u64 = 200_000_000;
/// Between two samples of the server's process.
const SAMPLE: Duration = Duration::from_millis(200);
/// The longest silence of the workers, which report twice a second, before the run fails.
const SILENCE: Duration = Duration::from_secs(60);

/// The results of a run.
#[derive(Clone, Debug, Default)]
pub struct RunFindings {
    pub tally: Tally,
    pub latency: Percentiles,
    /// From the intended send of a comment to its acknowledgement.
    pub ack_latency: Percentiles,
    /// Latencies of guaranteed events, from the intended post time to the receipt.
    pub post_latency: Percentiles,
    pub posted: Posted,
    /// By room: the offset that every viewer had to reach before the end.
    pub targets: Vec<Offset>,
    /// Size of the received frames as uncompressed JSON, in thousands of bytes.
    pub frame_kb: Percentiles,
    /// Latency before and during the stall, of viewers that read all the time.
    pub stall_latency: Option<(Percentiles, Percentiles)>,
    /// Results by group of rooms, in the scenario's order.
    pub groups: Vec<GroupFindings>,
    pub verdict: LedgerVerdict,
    pub own: Vec<OwnLoad>,
    pub server: Option<ServerUse>,
    /// From the server's metrics: the growth of each counter of interest in the measured window.
    pub metrics: Option<BTreeMap<String, f64>>,
    /// How long it took to connect all viewers.
    pub connect_s: f64,
    pub measured_s: f64,
    /// Further notes for the report.
    pub notes: Vec<String>,
}

/// The results of one group of rooms.
#[derive(Clone, Debug, Default)]
pub struct GroupFindings {
    /// Frames received in the measured window.
    pub frames_measured: u64,
    pub comments_sent: u64,
    pub latency: Percentiles,
    pub ack_latency: Percentiles,
    /// For each viewer that sent comments: the number acknowledged, and how many of those were shown.
    pub speakers: Vec<(u64, u64)>,
}

/// The server's process over the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerUse {
    /// CPU time in the measured window.
    pub cpu_us: u64,
    /// CPU time while the viewers connected.
    pub connect_cpu_us: u64,
    /// Resident memory before the first viewer.
    pub rss_before_bytes: u64,
    /// Resident memory with all viewers, before the first comment.
    pub rss_idle_bytes: u64,
    /// Highest resident memory in the measured window.
    pub rss_max_bytes: u64,
    /// Resident memory when the stall began, and the highest during it.
    pub rss_stall_bytes: Option<(u64, u64)>,
}

/// The state of a run, for the progress line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    /// Sum of the workers' reports; the p99 is the highest of all workers.
    pub progress: Progress,
    pub viewers: usize,
    /// Frames in the last second.
    pub frames_per_s: f64,
    /// Comments in the last second.
    pub comments_per_s: f64,
    pub phase: &'static str,
}

/// Checks that the server accepts connections.
///
/// # Errors
/// A sentence with the problem, the address and the remedy.
pub fn knock(scenario: &Scenario) -> Result<(), String> {
    let at = scenario.server;
    match TcpStream::connect_timeout(&at, Duration::from_secs(5)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "cannot connect to {at}: {error}. Start the server with `cargo run --release`, or give a different address with --url."
        )),
    }
}

/// Runs `scenario` and calls `watch` about twice a second.
///
/// # Errors
/// A sentence: a worker failed, or the server's process cannot be examined.
pub fn run(scenario: &Scenario, watch: &mut dyn FnMut(Glance)) -> Result<RunFindings, String> {
    let run_tag = u16::try_from((now_ns() / 1_000) & 0xffff).unwrap_or(0).max(1);
    let mut conductor = Conductor {
        scenario,
        crew: Crew::start(scenario.processes)?,
        watch,
        progress: vec![Progress::default(); scenario.processes],
        rate_base: (Instant::now(), 0, 0),
        glance: Glance { viewers: scenario.viewers(), ..Glance::default() },
        samples: Samples::default(),
        findings: RunFindings::default(),
    };
    conductor.run(run_tag)
}

/// A summary of the samples of the server's process.
#[derive(Default)]
struct Samples {
    taken: Vec<(u64, ProcessUse)>,
}

struct Conductor<'a> {
    scenario: &'a Scenario,
    crew: Crew,
    watch: &'a mut dyn FnMut(Glance),
    progress: Vec<Progress>,
    rate_base: (Instant, u64, u64),
    glance: Glance,
    samples: Samples,
    findings: RunFindings,
}

impl Conductor<'_> {
    fn run(&mut self, run_tag: u16) -> Result<RunFindings, String> {
        let before = self.sample()?;
        let connect_from = now_ns();
        for (n, plan) in self.scenario.plans(run_tag).into_iter().enumerate() {
            self.crew.tell(n, WorkerCommand::Connect(Box::new(plan)))?;
        }
        self.glance.phase = "connecting";
        let mut live = 0;
        self.each(u64::MAX, self.crew.size(), |report| match report {
            Report::Ready { live: more } => {
                live += more;
                true
            }
            _ => false,
        })?;
        self.findings.connect_s = (now_ns() - connect_from) as f64 / 1e9;
        if live == 0 {
            self.glance.phase = "closing";
            return self.finish_without_viewers();
        }
        let idle = self.sample()?;

        let times = self.times();
        for n in 0..self.crew.size() {
            self.crew.tell(n, WorkerCommand::Begin(times))?;
        }
        let poster = self.poster(run_tag, times)?;
        self.glance.phase = if times.measure_ns > times.start_ns { "warming up" } else { "measuring" };
        let mut newest = vec![0; self.scenario.rooms.len()];
        let mut sent = 0;
        // The windows are waited for one after the other, so that the server's counters are read at their ends.
        self.pass_until(times.measure_ns, &mut newest, &mut sent)?;
        self.glance.phase = "measuring";
        let start = self.sample()?;
        let metrics_start = self.scrape();
        self.pass_until(times.end_ns, &mut newest, &mut sent)?;
        let end = self.sample()?;
        let metrics_end = self.scrape();
        self.glance.phase = "draining";
        self.pass_until(u64::MAX, &mut newest, &mut sent)?;
        if let Some(poster) = poster {
            self.findings.posted = poster.end();
            for (newest, posted) in newest.iter_mut().zip(&self.findings.posted.offsets) {
                *newest = posted.last().copied().unwrap_or(0).max(*newest);
            }
        }
        for n in 0..self.crew.size() {
            self.crew.tell(n, WorkerCommand::Drain { targets: newest.clone() })?;
        }
        let results = self.results()?;
        self.findings.targets = newest;

        self.findings.measured_s = (times.end_ns - times.measure_ns) as f64 / 1e9;
        if let (Some(before), Some(idle), Some(start), Some(end)) = (before, idle, start, end) {
            let mut server = self.samples.over(times);
            server.cpu_us = end.cpu_us.saturating_sub(start.cpu_us);
            server.connect_cpu_us = idle.cpu_us.saturating_sub(before.cpu_us);
            server.rss_before_bytes = before.rss_bytes;
            server.rss_idle_bytes = idle.rss_bytes;
            self.findings.server = Some(server);
        }
        self.findings.metrics = metrics_start.zip(metrics_end).map(|(start, end)| admin::growth(&start, &end));
        self.join(&results);
        Ok(std::mem::take(&mut self.findings))
    }

    fn poster(&self, run_tag: u16, times: Times) -> Result<Option<Poster>, String> {
        let Some(admin) = self.scenario.admin.clone().filter(|_| self.scenario.posts_per_s > 0.0) else {
            return Ok(None);
        };
        let (rooms, per_s, key) =
            (self.scenario.rooms.clone(), self.scenario.posts_per_s, self.scenario.admin_key.clone());
        Poster::start(poster::PosterPlan { admin, key, rooms, per_s, run_tag }, times).map(Some)
    }

    fn times(&self) -> Times {
        let ns = |s: f64| (s * 1e9) as u64;
        let start_ns = now_ns() + LEAD_NS;
        let measure_ns = start_ns + ns(self.scenario.warmup_s);
        let end_ns = measure_ns + ns(self.scenario.measured_s);
        let stall_ns = self.scenario.stall.map(|stall| {
            let from = measure_ns + (end_ns - measure_ns) / 3;
            (from, from + ns(stall.seconds))
        });
        Times { start_ns, measure_ns, end_ns, stall_ns }
    }

    /// Receives reports until `open` of them satisfy `is_it`, or until `until_ns`.
    fn each(&mut self, until_ns: u64, mut open: usize, mut is_it: impl FnMut(Report) -> bool) -> Result<(), String> {
        let mut heard = Instant::now();
        let mut sampled = Instant::now();
        while open > 0 && now_ns() < until_ns {
            let left = Duration::from_nanos(until_ns.saturating_sub(now_ns())).min(SAMPLE);
            match self.crew.reports().recv_timeout(left) {
                Ok((_, Report::Failed(error))) => return Err(error),
                Ok((n, Report::Progress(progress))) => {
                    heard = Instant::now();
                    self.progress[n] = progress;
                    self.show();
                }
                Ok((_, report)) => open -= usize::from(is_it(report)),
                Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                    return Err(format!("no worker has reported for {} s", SILENCE.as_secs()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("all workers have ended".into()),
            }
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                self.sample()?;
            }
        }
        Ok(())
    }

    /// Receives reports until `until_ns`, or until every worker has sent everything. Counts the workers that have.
    fn pass_until(&mut self, until_ns: u64, newest: &mut [Offset], sent: &mut usize) -> Result<(), String> {
        let open = self.crew.size() - *sent;
        // The end of a window is waited for even if everything is sent.
        let open = if until_ns == u64::MAX { open } else { usize::MAX };
        self.each(until_ns, open, |report| {
            let Report::Sent { newest: more } = report else { return false };
            for (mine, theirs) in newest.iter_mut().zip(more) {
                *mine = theirs.max(*mine);
            }
            *sent += 1;
            true
        })
    }

    fn results(&mut self) -> Result<Vec<WorkerResult>, String> {
        let mut results = Vec::new();
        self.each(u64::MAX, self.crew.size(), |report| {
            let Report::Done(result) = report else { return false };
            results.push(*result);
            true
        })?;
        Ok(results)
    }

    fn finish_without_viewers(&mut self) -> Result<RunFindings, String> {
        for n in 0..self.crew.size() {
            self.crew.tell(n, WorkerCommand::Drain { targets: Vec::new() })?;
        }
        let results = self.results()?;
        self.join(&results);
        Ok(std::mem::take(&mut self.findings))
    }

    fn sample(&mut self) -> Result<Option<ProcessUse>, String> {
        let Some(pid) = self.scenario.pid else { return Ok(None) };
        let used = ProcessUse::read(pid)?;
        self.samples.taken.push((now_ns(), used));
        Ok(Some(used))
    }

    fn scrape(&mut self) -> Option<admin::Scrape> {
        let address = self.scenario.admin.as_deref()?;
        admin::scrape(address).map_err(|error| self.findings.notes.push(error)).ok()
    }

    fn show(&mut self) {
        let mut sum = Progress::default();
        for p in &self.progress {
            sum.live += p.live;
            sum.failed += p.failed;
            sum.frames += p.frames;
            sum.comments += p.comments;
            sum.p99_us = sum.p99_us.max(p.p99_us);
        }
        let (at, frames, comments) = self.rate_base;
        let seconds = at.elapsed().as_secs_f64();
        if seconds >= 1.0 {
            self.glance.frames_per_s = sum.frames.saturating_sub(frames) as f64 / seconds;
            self.glance.comments_per_s = sum.comments.saturating_sub(comments) as f64 / seconds;
            self.rate_base = (Instant::now(), sum.frames, sum.comments);
        }
        self.glance.progress = sum;
        (self.watch)(self.glance);
    }

    fn join(&mut self, results: &[WorkerResult]) {
        let f = &mut self.findings;
        for result in results {
            f.tally.add(&result.tally);
            f.own.push(result.own);
        }
        let latencies = || results.iter().flat_map(|r| &r.groups).map(|g| &g.latencies);
        f.latency = percentiles(latencies().map(|l| &l.all));
        f.ack_latency = percentiles(latencies().map(|l| &l.acks));
        f.post_latency = percentiles(latencies().map(|l| &l.posts));
        f.frame_kb = percentiles(latencies().map(|l| &l.frame_bytes));
        if self.scenario.stall.is_some() {
            let before = percentiles(latencies().map(|l| &l.before_stall));
            let within = percentiles(latencies().map(|l| &l.in_stall));
            f.stall_latency = Some((before, within));
        }
        for group in 0..self.scenario.groups.len() {
            let of_group = || results.iter().filter_map(|r| r.groups.get(group));
            f.groups.push(GroupFindings {
                frames_measured: of_group().map(|g| g.frames_measured).sum(),
                comments_sent: of_group().map(|g| g.comments_sent).sum(),
                latency: percentiles(of_group().map(|g| &g.latencies.all)),
                ack_latency: percentiles(of_group().map(|g| &g.latencies.acks)),
                speakers: of_group().flat_map(|g| &g.speakers).copied().collect(),
            });
        }
        for room in 0..self.scenario.rooms.len() {
            let evidence: Vec<_> = results.iter().filter_map(|r| r.rooms.get(room).cloned()).collect();
            let posted = f.posted.offsets.get(room).map_or(&[][..], Vec::as_slice);
            let target = f.targets.get(room).copied().unwrap_or_default();
            f.verdict.add(&judge(&evidence, posted, target));
        }
    }
}

impl Samples {
    fn over(&self, times: Times) -> ServerUse {
        let max_rss = |from: u64, to: u64| {
            self.taken.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, used)| used.rss_bytes).max()
        };
        let rss_stall_bytes = times.stall_ns.and_then(|(from, to)| {
            let begin = self.taken.iter().rev().find(|(at, _)| *at <= from)?.1.rss_bytes;
            Some((begin, max_rss(from, to)?))
        });
        let rss_max_bytes = max_rss(times.measure_ns, times.end_ns).unwrap_or(0);
        ServerUse { rss_max_bytes, rss_stall_bytes, ..ServerUse::default() }
    }
}
