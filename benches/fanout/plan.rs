//! The measurements, their order and their durations.

use std::time::Duration;

/// Frames that one write of the unbounded floor joins, and about as many as wait for each of Volley's subscribers.
pub const JOINED: usize = 8;

/// Unmeasured frames before each burst, which warm caches, allocator and socket buffers. Their bytes are compared with
/// the sent ones.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// How fast frames come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Frames per second; the floor uses one `send` per frame and socket.
    Paced(u64),
    /// As fast as possible; the floor joins eight frames in each `send`.
    Unbounded,
}

impl Load {
    /// Between frames; 0: none.
    pub fn interval_us(self) -> u64 {
        match self {
            Self::Paced(fps) => 1_000_000 / fps,
            Self::Unbounded => 0,
        }
    }

    pub fn is_paced(self) -> bool {
        self != Self::Unbounded
    }
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Cell {
    pub viewers: usize,
    pub bytes: usize,
    pub load: Load,
}

/// The whole run.
pub struct Plan {
    pub viewers: Vec<usize>,
    pub sizes: Vec<usize>,
    pub loads: Vec<Load>,
    pub rounds: usize,
    pub burst: Duration,
    /// `--test`: checks within seconds that the benchmark works.
    pub is_test: bool,
}

impl Plan {
    pub fn from_args(args: impl Iterator<Item = String>) -> Self {
        let mut plan = Self {
            viewers: vec![10_000],
            sizes: vec![512],
            loads: vec![Load::Paced(10), Load::Unbounded],
            rounds: 3,
            burst: Duration::from_secs(3),
            is_test: false,
        };
        let args: Vec<String> = args.collect();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).expect("a number after the flag");
            match word.as_str() {
                "--matrix" => {
                    plan.viewers = vec![1_000, 5_000, 10_000, 18_000];
                    plan.sizes = vec![512, 4_096];
                    plan.loads = vec![Load::Paced(3), Load::Paced(10), Load::Unbounded];
                }
                "--viewers" => plan.viewers = vec![number() as usize],
                "--bytes" => plan.sizes = vec![number() as usize],
                "--fps" => plan.loads = vec![Load::Paced(number().max(1))],
                "--unbounded" => plan.loads = vec![Load::Unbounded],
                "--rounds" => plan.rounds = number() as usize,
                "--seconds" => plan.burst = Duration::from_secs(number()),
                // `cargo bench -- --test` checks that the benchmark works.
                "--test" => {
                    (plan.viewers, plan.rounds, plan.is_test) = (vec![100], 1, true);
                    plan.burst = Duration::from_millis(500);
                }
                _ => {}
            }
        }
        plan
    }

    /// The rows for one number of viewers.
    pub fn cells(&self, viewers: usize) -> Vec<Cell> {
        let of = |bytes| self.loads.iter().map(move |load| Cell { viewers, bytes, load: *load });
        self.sizes.iter().copied().flat_map(of).collect()
    }

    /// The approximate duration: two bursts per row and round, half a second around each, and the connecting.
    pub fn takes(&self) -> Duration {
        let bursts = (self.viewers.len() * self.sizes.len() * self.loads.len() * self.rounds * 2) as u32;
        let connecting = Duration::from_micros(200) * self.viewers.iter().sum::<usize>() as u32;
        (self.burst + WARM_UP + Duration::from_millis(200)) * bursts + connecting + self.burst * 3
    }
}
