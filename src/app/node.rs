//! One node: start, drain and stop. Tests run a whole server in their own process with it.

use super::admin::AdminThread;
use super::descriptors;
#[cfg(feature = "echo")]
use super::echo::EchoHandOver;
use super::log_pool::{LogPool, LogThreads, Tools};
use super::mail::Mail;
use super::post_router::PostRouter;
use super::tenant::{Hello, RoomTenant, TenantServices};
use crate::api;
use crate::clock;
use crate::config::{Config, Data, DefaultMerge, Rate, capacity};
use crate::gateway::{BindError, Gateway, GatewayState, HandOver, Permits, Purpose, Rooms, RoomsFull, Upgraded};
use crate::health::thread::vital_task;
use crate::health::{Health, Pulse};
use crate::limits::{CONTROL_BACKLOG_BYTES_MAX, FRAGMENTS_MAX};
use crate::log::disk::{self, DiskError, DiskLog};
use crate::log::memory::MemoryLog;
use crate::log::{Log, Retention};
use crate::metrics;
use crate::policy::admission::Admission;
use crate::policy::auth::Guests;
use crate::protocol::deflate::Deflate;
use crate::protocol::ids::RoomId;
use crate::protocol::settings;
use crate::room::actor::ActorSettings;
use crate::room::registry::{Registry, RoomHandle};
use crate::shard::handle::Shards;
use crate::shard::message::Message;
use crate::shard::tenant::{Caps, NewConn};
use crate::shard::worker::ShardSettings;
use crate::shutdown::Shutdown;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;

/// At a drain, the rooms have this long to end their open ticks.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// At the end of a drain, a read of the log that is under way has this long to end.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// After the goodbye, connections have this long to receive their close frames; each lingers 1 s.
const GOODBYE_US: u64 = 5_000_000;

/// A shard whose duty cycle takes longer than this is stuck.
const STUCK_US: u64 = 5_000_000;

/// How often metrics are folded and idle buckets dropped.
const UPKEEP_US: u64 = 5_000_000;

/// How often the HTTP runtime proves that it is not stuck.
const BEAT: Duration = Duration::from_secs(1);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// The system has no more threads or descriptors.
    #[error("cannot start: {0}; free some descriptors or threads and try again")]
    System(#[from] std::io::Error),
    /// The log cannot be opened.
    #[error("{0}")]
    Log(#[from] DiskError),
    /// A different metrics recorder is installed.
    #[error("cannot start: {0}")]
    Metrics(#[from] metrics::AlreadyTaken),
}

/// A whole server that runs in this process, until [`Node::drain`].
pub struct Node {
    runtime: Runtime,
    admin_thread: AdminThread,
    shards: Shards<RoomTenant>,
    threads: Vec<JoinHandle<()>>,
    log_threads: LogThreads,
    /// Set when the shards have ended and take no more mail.
    stopped: Arc<AtomicBool>,
    store: Store,
    shutdown: Shutdown,
    public: SocketAddr,
    admin: SocketAddr,
    drain_ms: u64,
}

impl Node {
    /// Starts all parts; returns when both addresses answer. The descriptor limit stays as it is; with
    /// `admission.connections_max = 0`, it decides how many connections are accepted.
    ///
    /// # Errors
    /// [`StartError`]; then no part is left running.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Store::open)
    }

    /// Starts on a log of the caller's, which may wait for its device in `open` and `read`.
    ///
    /// # Errors
    /// [`StartError`]; then nothing runs.
    pub fn start_on(config: Config, log: Arc<dyn Log>) -> Result<Self, StartError> {
        Self::start_with(config, |_, _| Ok(Store::Other(log)))
    }

    fn start_with(
        mut config: Config,
        open_store: impl FnOnce(&Config, &Health) -> Result<Store, DiskError>,
    ) -> Result<Self, StartError> {
        let gateway = Gateway::bind(&config)?;
        let (public, admin) = (gateway.public.address(), gateway.admin.address());
        let exporter = metrics::install()?;
        let shards_count = descriptors::shard_count(config.shards);
        if config.admission.connections_max == 0 {
            let descriptors = descriptors::limits().0;
            config.admission.connections_max = capacity::connections_within(descriptors, usize::from(shards_count));
        }
        let health = Health::default();
        let store = open_store(&config, &health)?;
        let registry = Arc::new(Registry::new(shards_count, config.room.rooms_max));
        let admission = Arc::new(Admission::new(&config));
        let log = store.log();
        let (log_pool, queues) = LogPool::new();
        let deflate = Arc::new(Deflate::new(config.compression.threshold_bytes, clock::now_us));
        #[cfg(feature = "echo")]
        let echo_deflate = deflate.clone();
        let shared = TenantServices {
            registry: registry.clone(),
            log_pool,
            admission: admission.clone(),
            deflate: deflate.clone(),
        };
        let (shards, threads) =
            Shards::start(usize::from(shards_count), shard_settings(&config), &health, move |number, shards| {
                RoomTenant::new(number, shards, shared.clone())
            })?;
        let stopped = Arc::new(AtomicBool::new(false));
        let deliver = Box::new(deliver(shards.clone(), stopped.clone()));
        let log_threads =
            queues.serve(Tools { log: log.clone(), rooms: room_settings(&config, deflate), deliver }, &health)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(HTTP_THREADS).enable_all().build()?;
        let shutdown = Shutdown::default();
        let hand_over: Arc<dyn HandOver> = Arc::new(ToShards { shards: shards.clone(), caps: caps(&config) });
        #[cfg(feature = "echo")]
        let hand_over = Arc::new(EchoHandOver::start(hand_over, shard_settings(&config), &health, echo_deflate)?);
        let state = GatewayState {
            rooms: Arc::new(NodeRooms(registry.clone())),
            auth: Arc::new(Guests),
            hand_over,
            shutdown: shutdown.clone(),
            permits: Permits::configured(&config, config.admission.connections_max),
            health: health.clone(),
        };
        let listening = api::Listening::default();
        let api_state = Arc::new(api::ApiState {
            rooms: Arc::new({
                let registry = registry.clone();
                move || registry.list()
            }),
            verdicts: Box::new({
                let admission = admission.clone();
                move || admission.verdicts().collect()
            }),
            health: Box::new({
                let (shards, health) = (shards.clone(), health.clone());
                move || working(&health, shards.oldest_cycle_us())
            }),
            log,
            posts: Arc::new(PostRouter::new(registry.clone(), shards.clone(), shutdown.clone())),
            key: Arc::new(api::AdminKey::new(config.addresses.admin_key.reveal())),
            exporter: exporter.clone(),
            shutdown: shutdown.clone(),
            listening: listening.clone(),
        });
        let vital = |name, serving| runtime.spawn(vital_task(health.clone(), name, serving));
        let admin_thread = AdminThread::start(&health, gateway.admin, api::admin(api_state.clone()))?;
        let serving = gateway.public.serve(state, api::public(api_state, api::Site::of(&config)));
        vital("public", Box::pin(serving) as Serving);
        vital("upkeep", Box::pin(upkeep(exporter, admission, health.pulse("public HTTP", STUCK_US))));
        listening.begin();
        Ok(Self {
            runtime,
            admin_thread,
            shards,
            threads,
            log_threads,
            stopped,
            store,
            shutdown,
            public,
            admin,
            drain_ms: config.drain_ms,
        })
    }

    /// The bound address of pages and WebSockets.
    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// The bound address of metrics, health and the owner's API.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Runs a future on the node's runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Stops accepting, ends the open ticks (admitted operations are appended, acknowledged and framed), gives each
    /// client a time to come back, closes, and ends. Returns how many connections did not close in time.
    pub fn drain(self) -> usize {
        self.shutdown.begin();
        let (done, flushed) = sync_channel(self.shards.len());
        for shard in 0..self.shards.len() as u16 {
            self.insist(shard, || Message::Flush(done.clone()));
        }
        drop(done);
        let until = clock::now_us() + u64::try_from(FLUSH_TIMEOUT.as_micros()).unwrap_or(0);
        for _ in 0..self.shards.len() {
            let left = Duration::from_micros(until.saturating_sub(clock::now_us()));
            if flushed.recv_timeout(left).is_err() {
                tracing::warn!("a shard did not end its ticks in time");
                break;
            }
        }
        self.say_goodbye();
        let Self { runtime, admin_thread, shards, threads, log_threads, stopped, store, .. } = self;
        for thread in threads {
            // A panic ends the process where it happens.
            let _ = thread.join();
        }
        stopped.store(true, Ordering::Release);
        log_threads.stop(READ_TIMEOUT);
        // Stopped after the threads that read and append.
        store.stop();
        runtime.shutdown_timeout(Duration::from_millis(500));
        // Stopped last, so that the drain can be observed to its end.
        admin_thread.stop();
        shards.connections()
    }

    /// Spreads the clients' times to come back evenly over the drain window, over all shards together.
    fn say_goodbye(&self) {
        let total = self.shards.connections().max(1) as u64;
        let step_us = self.drain_ms * 1_000 / total;
        let deadline_us = clock::now_us() + GOODBYE_US.min(self.drain_ms * 1_000).max(1_500_000);
        let mut before = 0;
        for shard in 0..self.shards.len() as u16 {
            let first_ms = before * step_us / 1_000;
            self.insist(shard, || Message::Bye { first_ms, step_us, deadline_us });
            before += self.shards.load(shard).connections.load(Ordering::Relaxed) as u64;
        }
    }

    /// Sends to a shard, and waits while its inbox is full.
    fn insist(&self, shard: u16, message: impl Fn() -> Message<RoomTenant>) {
        while self.shards.send(shard, message()).is_err() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// The log, with the way to stop it.
enum Store {
    Memory(Arc<MemoryLog>),
    Disk(Arc<DiskLog>),
    Other(Arc<dyn Log>),
}

impl Store {
    fn open(config: &Config, health: &Health) -> Result<Self, DiskError> {
        let open_max = config.room.rooms_max + ROOMS_ENDING;
        Ok(match &config.data {
            Data::Memory => Self::Memory(Arc::new(MemoryLog::new(open_max, rand::random()))),
            Data::Directory(directory) => Self::Disk(Arc::new(DiskLog::start(&disk::Options {
                directory: directory.clone(),
                durability: config.durability,
                open_max,
                stored_max: config.room.stored_max + ROOMS_ENDING,
                age_ms: config.room.log_age_s * 1_000,
                checkpoint_bytes: disk::CHECKPOINT_BYTES,
                quiet_us: disk::QUIET_US,
                pace_us: disk::PACE_US,
                vfs: None,
                health: health.clone(),
            })?)),
        })
    }

    fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Memory(log) => log.clone(),
            Self::Disk(log) => log.clone(),
            Self::Other(log) => log.clone(),
        }
    }

    fn stop(self) {
        if let Self::Disk(log) = self {
            log.stop();
        }
    }
}

/// The most rooms that may have ended in the registry and not yet in the log, while new ones are opened.
const ROOMS_ENDING: usize = 1_024;

/// The HTTP runtime serves pages, metrics and refusals; the gateway's door handles well-formed upgrades. One thread
/// handled 10,000 upgrades in half a second when it did all of them; a second one would only take CPU from the shards.
const HTTP_THREADS: usize = 1;

/// Sends to a shard, and waits while its inbox is full, until the shards have stopped.
fn deliver(shards: Shards<RoomTenant>, stopped: Arc<AtomicBool>) -> impl Fn(u16, Mail) + Send + Sync {
    move |shard, mail| {
        let mut message = Message::Mail(mail);
        while let Err(back) = shards.send(shard, message) {
            if stopped.load(Ordering::Acquire) {
                return;
            }
            message = back;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

fn room_settings(config: &Config, deflate: Arc<Deflate>) -> ActorSettings {
    let rate = |rate: Rate| (!config.no_rate_limits).then_some(rate);
    let room = &config.room;
    ActorSettings {
        tick_us: config.tick_ms * 1_000,
        room: owners_settings(config),
        tick_groups: room.tick_groups,
        batch_events_max: room.batch_events_max,
        frame_events_max: if config.no_rate_limits { usize::MAX } else { room.frame_events_max },
        snapshot_events: room.snapshot_events,
        counters_us: room.counters_ms * 1_000,
        heartbeat_us: room.heartbeat_ms * 1_000,
        idle_us: room.idle_s * 1_000_000,
        retention: Retention { age_ms: room.log_age_s * 1_000, events: room.log_events_max, bytes: room.log_bytes_max },
        comment_rate: rate(config.rates.comments_per_room),
        like_rate: rate(config.rates.likes_per_room),
        deflate,
    }
}

/// The settings of a new room, until its owner changes them.
fn owners_settings(config: &Config) -> settings::RoomSettings {
    if config.no_rate_limits {
        return settings::RoomSettings::unlimited(config.tick_ms);
    }
    let merge = match config.room.merge {
        DefaultMerge::Off => settings::Merge::Off,
        DefaultMerge::Equal => settings::Merge::Equal,
        DefaultMerge::Near => settings::Merge::Near,
    };
    let budget = (config.room.budget_per_s > 0).then_some(config.room.budget_per_s);
    settings::RoomSettings { merge, ..settings::RoomSettings::new(budget, config.tick_ms) }
}

fn shard_settings(config: &Config) -> ShardSettings {
    let connection = &config.connection;
    ShardSettings {
        ring_frames: connection.ring_frames,
        ping_us: connection.ping_ms * 1_000,
        idle_us: connection.idle_ms * 1_000,
        stalled_us: connection.stalled_ms * 1_000,
        gaps_max: connection.gaps_max,
        lite_lag_frames: connection.lite_lag_frames,
    }
}

fn caps(config: &Config) -> Caps {
    Caps {
        message_bytes_max: u32::try_from(config.admission.message_bytes_max).unwrap_or(u32::MAX),
        fragments_max: FRAGMENTS_MAX,
        // Without rate limits one connection may send thousands of comments in a tick, and gets an ack for each.
        backlog_bytes_max: if config.no_rate_limits {
            UNLIMITED_BACKLOG_BYTES
        } else {
            CONTROL_BACKLOG_BYTES_MAX as u32
        },
        any_type: false,
        compressed: false,
    }
}

/// Bytes of answers that may wait for a blocked connection without rate limits: two ticks' full batches.
const UNLIMITED_BACKLOG_BYTES: u32 = 1 << 20;

fn working(health: &Health, oldest_cycle_us: u64) -> api::HealthReport {
    let now_us = clock::now_us();
    let mut failures = health.failures(now_us);
    let age_us = now_us.saturating_sub(oldest_cycle_us);
    if age_us >= STUCK_US {
        failures.push(format!("a shard has not finished its duty cycle for {} s", age_us / 1_000_000));
    }
    if failures.is_empty() { api::HealthReport::Working } else { api::HealthReport::Failing(failures.join("; ")) }
}

/// A task that the node cannot work without.
type Serving = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// Keeps metrics and admission small, and proves that the runtime is not stuck.
async fn upkeep(exporter: metrics::Exporter, admission: Arc<Admission>, pulse: Pulse) -> std::io::Result<()> {
    let mut interval = tokio::time::interval(BEAT);
    let mut next_us = 0;
    loop {
        interval.tick().await;
        let now_us = clock::now_us();
        pulse.beat(now_us);
        if now_us >= next_us {
            next_us = now_us + UPKEEP_US;
            exporter.upkeep();
            admission.sweep();
        }
    }
}

/// The registry as the gateway needs it.
struct NodeRooms(Arc<Registry>);

impl Rooms for NodeRooms {
    fn claim(&self, room: &RoomId) -> Result<Arc<RoomHandle>, RoomsFull> {
        self.0.claim(room).map_err(|_| RoomsFull)
    }
    fn has_place(&self, room: &RoomId) -> bool {
        self.0.has_place(room)
    }
    fn release(&self, room: &RoomHandle) {
        self.0.release(room);
    }
}

/// Takes an upgraded socket to its room's shard, or to the one with the fewest connections.
struct ToShards {
    shards: Shards<RoomTenant>,
    caps: Caps,
}

impl HandOver for ToShards {
    fn hand_over(&self, upgraded: Upgraded) -> Result<(), Upgraded> {
        let Upgraded { stream, answer, leftover, purpose, encoding, compressed, peer, permit } = upgraded;
        let home = match &purpose {
            Purpose::Watch { room, .. } => room.room().home,
            #[cfg(feature = "echo")]
            Purpose::Echo => unreachable!("echo connections have a shard of their own"),
        };
        let caps = Caps { compressed, ..self.caps };
        let conn = Box::new(NewConn {
            stream,
            answer,
            leftover,
            encoding,
            caps,
            hello: Hello { purpose, permit, compressed },
        });
        self.shards.accept_near(home, conn).map_err(|conn| {
            let NewConn { stream, answer, leftover, encoding, hello, .. } = *conn;
            let Hello { purpose, permit, compressed } = hello;
            Upgraded { stream, answer, leftover, purpose, encoding, compressed, peer, permit }
        })
    }
}
