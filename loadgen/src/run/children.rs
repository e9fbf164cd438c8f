//! Starts the workers, and connects them with the conductor by lines. A single worker is a thread; several workers are
//! processes of this program, with a core and a descriptor table each.
//!
//! Does not know: what the commands and reports mean.

use crate::run::messages::{Report, WorkerCommand};
use crate::run::worker;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// The hidden argument that makes this program a worker.
pub const WORKER_ARGUMENT: &str = "worker-process";

/// All workers. Dropping it closes their command channels, which ends them.
pub struct Crew {
    reports: Receiver<(usize, Report)>,
    hands: Vec<Hand>,
}

enum Hand {
    Thread { commands: Option<Sender<WorkerCommand>>, thread: Option<JoinHandle<()>> },
    Process { commands: Option<BufWriter<ChildStdin>>, child: Child, reader: Option<JoinHandle<()>> },
}

impl Crew {
    /// Starts `workers` workers.
    ///
    /// # Errors
    /// A sentence: this program cannot be started as a worker.
    pub fn start(workers: usize) -> Result<Self, String> {
        let (sender, reports) = mpsc::channel();
        let hands = if workers == 1 {
            vec![start_thread(sender)?]
        } else {
            (0..workers).map(|n| start_process(n, sender.clone())).collect::<Result<_, _>>()?
        };
        Ok(Self { reports, hands })
    }

    /// Sends a command to worker `n`.
    ///
    /// # Errors
    /// A sentence: the worker has ended.
    pub fn tell(&mut self, n: usize, command: WorkerCommand) -> Result<(), String> {
        let gone = |_| format!("worker {n} is gone");
        match &mut self.hands[n] {
            Hand::Thread { commands: Some(commands), .. } => {
                commands.send(command).map_err(|_| format!("worker {n} is gone"))
            }
            Hand::Process { commands: Some(commands), .. } => {
                serde_json::to_writer(&mut *commands, &command).map_err(|e| format!("worker {n}: {e}"))?;
                commands.write_all(b"\n").and_then(|()| commands.flush()).map_err(gone)
            }
            _ => Err(format!("worker {n} is gone")),
        }
    }

    /// The workers' reports, each with the worker's number.
    pub fn reports(&self) -> &Receiver<(usize, Report)> {
        &self.reports
    }

    /// The number of workers.
    pub fn size(&self) -> usize {
        self.hands.len()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for hand in &mut self.hands {
            match hand {
                Hand::Thread { commands, .. } => drop(commands.take()),
                Hand::Process { commands, .. } => drop(commands.take()),
            }
        }
        for hand in &mut self.hands {
            // A worker that panics has reported that on stderr.
            match hand {
                Hand::Thread { thread, .. } => drop(thread.take().map(JoinHandle::join)),
                Hand::Process { child, reader, .. } => {
                    let _ = child.wait();
                    drop(reader.take().map(JoinHandle::join));
                }
            }
        }
    }
}

fn start_thread(reports: Sender<(usize, Report)>) -> Result<Hand, String> {
    let (commands, inbox) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || {
            let guard = SayWhenGone(reports);
            // A conductor that has ended needs no report.
            worker::run(&inbox, &mut |report| drop(guard.0.send((0, report))));
        })
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    Ok(Hand::Thread { commands: Some(commands), thread: Some(thread) })
}

/// Reports the end of the only worker to the conductor, even after a panic. After `Done` the conductor ignores it.
struct SayWhenGone(Sender<(usize, Report)>);

impl Drop for SayWhenGone {
    fn drop(&mut self) {
        let _ = self.0.send((0, Report::Failed("the worker ended before its report".into())));
    }
}

fn start_process(n: usize, reports: Sender<(usize, Report)>) -> Result<Hand, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program's file: {e}"))?;
    let mut child = std::process::Command::new(program)
        .arg(WORKER_ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start worker {n}: {e}"))?;
    let commands = child.stdin.take().map(BufWriter::new);
    let stdout = child.stdout.take().ok_or("a worker without stdout")?;
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            let report =
                serde_json::from_str(&line).unwrap_or_else(|e| Report::Failed(format!("unreadable report: {e}")));
            let is_done = matches!(report, Report::Done(_));
            // The end of a worker after its last report is no failure; the conductor may still wait for others.
            if reports.send((n, report)).is_err() || is_done {
                return;
            }
        }
        // A conductor that has ended needs no report.
        let _ = reports.send((n, Report::Failed("the worker's process ended before its report".into())));
    });
    Ok(Hand::Process { commands, child, reader: Some(reader) })
}

/// Runs a worker process: commands on stdin, reports on stdout, until either closes.
pub fn worker_process() {
    let (sender, inbox) = mpsc::channel();
    // The thread is not joined, because it may be blocked on a stdin that never closes. It ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let Ok(command) = serde_json::from_str(&line) else { return };
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    let mut out = BufWriter::new(std::io::stdout());
    worker::run(&inbox, &mut |report| {
        // A conductor that ends closes stdin too, which ends the worker.
        let _ = serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from).and_then(|()| {
            out.write_all(b"\n")?;
            out.flush()
        });
    });
}
