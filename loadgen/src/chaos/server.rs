//! The server under test: a separate process, started, killed and started again on the same addresses.
//!
//! Does not know: clients, histories.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A start that takes longer has failed.
pub const START_MAX: Duration = Duration::from_secs(30);

/// How a server is run.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub binary: PathBuf,
    /// The public and the admin address.
    pub addresses: [SocketAddr; 2],
    /// `memory` or a folder.
    pub data: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// A command that runs the server (`sh`, `-c`, …), followed by the binary and its arguments.
    pub wrapper: Vec<String>,
    /// The file to which its standard error is appended.
    pub log: PathBuf,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// How long the start took.
    pub start: Duration,
    said: Receiver<()>,
}

/// Two free ports of the loopback interface, below those that the kernel assigns to clients: a client that calls a
/// stopped server must never connect to itself.
///
/// # Errors
/// No port was free.
pub fn free_addresses(dice: &mut super::dice::Dice) -> Result<[SocketAddr; 2], String> {
    let mut free = (0..1_000).filter_map(|_| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, dice.between(20_000, 32_000) as u16));
        TcpListener::bind(address).is_ok().then_some(address)
    });
    let first = free.next().ok_or("no free port between 20000 and 32000")?;
    let second = free.find(|second| *second != first).ok_or("no second free port between 20000 and 32000")?;
    Ok([first, second])
}

impl Server {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`NoStart`].
    pub fn start(recipe: &Recipe) -> Result<Self, NoStart> {
        let began = Instant::now();
        let mut server = Self::spawn(recipe)?;
        match server.said.recv_timeout(START_MAX) {
            Ok(()) => {
                server.start = began.elapsed();
                Ok(server)
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(NoStart { status: None, text: "it did not become ready in time".into() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = server.child.wait().ok();
                Err(NoStart { status, text: last_lines(&recipe.log) })
            }
        }
    }

    /// Starts the server without waiting, so that it can be killed before it is ready.
    ///
    /// # Errors
    /// [`NoStart`]: the binary does not exist, or the log cannot be written.
    pub fn spawn(recipe: &Recipe) -> Result<Self, NoStart> {
        let fail = |what: String| NoStart { status: None, text: what };
        let log = OpenOptions::new().create(true).append(true).open(&recipe.log);
        let log: File = log.map_err(|e| fail(format!("{}: {e}", recipe.log.display())))?;
        let binary = recipe.binary.display().to_string();
        let mut words = recipe.wrapper.iter().chain([&binary]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        let [public, admin] = recipe.addresses;
        command.args(words).args(["--listen", &public.to_string(), "--admin", &admin.to_string()]);
        command.args(["--data", &recipe.data]).args(&recipe.arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VOLLEY_")) {
            command.env_remove(name); // Variables that configure the caller's own server.
        }
        command.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|e| fail(format!("{binary}: {e}")))?;
        let stdout = child.stdout.take().expect("it is piped");
        let (ready, said) = channel();
        // The thread ends with the process, which closes the pipe. The output has two lines, one per address.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            if lines.by_ref().take(2).filter(Result::is_ok).count() == 2 && ready.send(()).is_ok() {
                lines.for_each(drop);
            }
        });
        Ok(Self { child, start: Duration::ZERO, said })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the end; `None` if the process does not end within `patience`.
    pub fn terminate(&mut self, patience: Duration) -> Option<(ExitStatus, Duration)> {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        // The process may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.wait(patience).map(|status| (status, began.elapsed()))
    }

    /// Waits for the end; `None` if the process does not end within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }

    /// Waits for the end by SIGKILL; returns whether that happened within `patience`.
    pub fn was_killed(&mut self, patience: Duration) -> bool {
        const SIGKILL: i32 = 9;
        self.wait(patience).is_some_and(|status| status.signal() == Some(SIGKILL))
    }

    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[error("the server does not start: {text}")]
pub struct NoStart {
    /// The exit status, if the process ended.
    pub status: Option<ExitStatus>,
    pub text: String,
}

/// The last lines of a log, for a report.
pub fn last_lines(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    if let Err(error) = read {
        return format!("{}: {error}", log.display());
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
