//! The options of one measurement.

use super::speaks::Speaks;

/// The workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// Messages of 512 bytes at an even pace.
    Paced,
    /// As many as the peer accepts, with 8 waiting.
    Unbounded,
    /// A show: comments and likes as a live room has them.
    Show,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Paced => "paced",
            Self::Unbounded => "unbounded",
            Self::Show => "show",
        }
    }

    fn from_name(name: &str) -> Result<Self, String> {
        [Self::Paced, Self::Unbounded, Self::Show]
            .into_iter()
            .find(|workload| workload.name() == name)
            .ok_or_else(|| format!("no workload `{name}`"))
    }
}

/// One call of `measure`.
pub struct Options {
    pub peer: String,
    /// For the table: the peer's version, source and configuration.
    pub about: String,
    pub speaks: Speaks,
    pub port: u16,
    pub workloads: Vec<Workload>,
    pub viewers: usize,
    pub seconds: f64,
    /// A message's size on the wire without its protocol's header, in bytes.
    pub message_bytes: usize,
    pub messages_per_s: f64,
    pub comments_per_s: f64,
    pub likes_per_s: f64,
    /// How long after the last message a delivery still counts.
    pub drain_s: f64,
    /// The file to which results are appended, one JSON object per line.
    pub out: Option<String>,
    /// Where the peer's own output goes.
    pub log: String,
    pub command: Vec<String>,
}

impl Options {
    /// # Errors
    /// A flag that does not exist or lacks its value; no command.
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            peer: String::new(),
            about: String::new(),
            speaks: Speaks::WebSocket,
            port: 0,
            workloads: vec![Workload::Paced],
            viewers: 10_000,
            seconds: 5.0,
            message_bytes: 512,
            messages_per_s: 3.0,
            comments_per_s: 1_000.0,
            likes_per_s: 10_000.0,
            drain_s: 1.0,
            out: None,
            log: "/dev/null".into(),
            command: Vec::new(),
        };
        let mut words = args.iter();
        while let Some(flag) = words.next() {
            if flag == "--" {
                options.command = words.by_ref().cloned().collect();
                break;
            }
            let value = words.next().ok_or_else(|| format!("{flag} without a value"))?;
            let number = || value.parse::<f64>().map_err(|_| format!("{flag} {value}: not a number"));
            match flag.as_str() {
                "--peer" => options.peer.clone_from(value),
                "--about" => options.about.clone_from(value),
                "--speaks" => options.speaks = Speaks::from_name(value)?,
                "--port" => options.port = number()? as u16,
                "--workloads" => {
                    options.workloads = value.split(',').map(Workload::from_name).collect::<Result<_, _>>()?;
                }
                "--viewers" => options.viewers = number()? as usize,
                "--seconds" => options.seconds = number()?,
                "--bytes" => options.message_bytes = number()? as usize,
                "--messages" => options.messages_per_s = number()?,
                "--comments" => options.comments_per_s = number()?,
                "--likes" => options.likes_per_s = number()?,
                "--out" => options.out = Some(value.clone()),
                "--log" => options.log.clone_from(value),
                _ => return Err(format!("no flag `{flag}`")),
            }
        }
        if options.command.is_empty() || options.port == 0 || options.viewers == 0 {
            return Err(
                "measure needs --port, --viewers above 0 and, behind --, the command that starts the peer".into()
            );
        }
        Ok(options)
    }
}
