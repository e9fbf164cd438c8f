//! The real program, whose log is read line by line.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A child whose log is read line by line; killed with the test.
pub struct Logging {
    pub child: Child,
    pub errors: Receiver<String>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program with its log in `format` and finds its public address in the log.
pub fn started_logging(format: &str) -> (Logging, SocketAddr) {
    let arguments =
        ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--data=memory", "--drain=100", "--log-format", format];
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    // Read, so that the pipe never fills up.
    let mut out = child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let (lines, errors) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let logging = Logging { child, errors };
    let ready = logging.errors.recv_timeout(PATIENCE).expect("says that it is ready");
    let address = if format == "json" {
        let line: Value = serde_json::from_str(&ready).expect("JSON");
        assert_eq!(line["message"], json!("ready"));
        line["public"].as_str().expect("an address").to_owned()
    } else {
        assert!(ready.contains("ready"), "{ready}");
        ready.split_once("public=").expect("its address").1.split(' ').next().unwrap_or_default().to_owned()
    };
    (logging, address.parse().expect("an address"))
}
