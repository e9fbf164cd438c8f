//! Thousands of viewers that misbehave together.

use super::{ChaosScenario, must_be_good};
use crate::chaos::ground::{Ground, Trouble, fail};
use crate::chaos::mass::{Habit, Mass, MassPlan, MassShown, SLOW_RCVBUF_BYTES};
use crate::proc::ProcessUse;
use std::fs;
use std::time::{Duration, Instant};
use volley::config::Config;

macro_rules! scenario {
    ($name:literal, $short:literal, $run:expr, $inject:literal, $shows:literal) => {
        ChaosScenario { name: $name, inject: $inject, shows: $shows, is_short: $short, run: $run }
    };
}

pub(super) const ALL: &[ChaosScenario] = &[
    scenario!(
        "storm-small",
        true,
        |g| storm(g, 3_000, true, 30),
        "3,000 of 4,000 viewers are disconnected at once and reconnect with the SDK's jitter",
        "all are live and complete within 30 s; other viewers see no pause above 1 s"
    ),
    scenario!(
        "storm-jitter",
        false,
        |g| storm(g, 15_000, true, 30),
        "15,000 of 16,000 viewers are disconnected at once and reconnect with the SDK's jitter",
        "all are live and complete within 30 s; other viewers see no pause above 1 s"
    ),
    scenario!(
        "storm-no-jitter",
        false,
        |g| storm(g, 15_000, false, 60),
        "the same, all reconnecting in the same moment",
        "all are live and complete within 60 s; other viewers see no pause above 1 s"
    ),
    scenario!(
        "stall-10",
        false,
        |g| stall(g, 10),
        "10 % of 5,000 viewers stop reading for 60 s, then read again",
        "memory stays within its bound; other viewers' p99 is at most 1.5 times its previous value; every gap is announced"
    ),
    scenario!(
        "stall-50",
        false,
        |g| stall(g, 50),
        "50 % of 5,000 viewers stop reading for 60 s, then read again",
        "the same"
    ),
    scenario!(
        "stall-100",
        false,
        |g| stall(g, 100),
        "all of 5,000 viewers stop reading for 60 s, then read again",
        "the same"
    ),
    scenario!(
        "drips",
        false,
        drips,
        "200 viewers read one byte a second",
        "closed with 4001 when the lag exceeds the ring or no data moved for 30 s; descriptors are freed"
    ),
    scenario!(
        "mutes",
        false,
        mutes,
        "15,000 sockets connect and send nothing",
        "closed after 5 s, memory returns to the baseline"
    ),
    scenario!(
        "half-open",
        false,
        half_open,
        "the kernel silently drops every packet for 500 of 1,000 viewers",
        "their descriptors are freed within 60 s"
    ),
    scenario!(
        "few-descriptors",
        true,
        few_descriptors,
        "`ulimit -n 1024` and 2,000 connects",
        "little CPU is used, connected viewers are unaffected, at most one log line a second"
    ),
    scenario!(
        "hot-room",
        false,
        hot_room,
        "one room at its cap of 2,000 comments/s (3,000 are sent) beside 50 busy and 1,000 quiet rooms",
        "the quiet rooms' p99 is at most twice its value without the hot room"
    ),
    scenario!(
        "churn",
        false,
        |g| churn(g, Habit::Churns, 300),
        "2,000 connects and disconnects a second for 5 minutes, in 100 rooms",
        "no leak of threads, descriptors or memory"
    ),
    scenario!(
        "churn-rooms",
        false,
        |g| churn(g, Habit::Wanders, 60),
        "2,000 connects and disconnects a second for a minute, each into a new room that expires a second later",
        "no leak of rooms, threads, descriptors or memory"
    ),
];

const QUIET_ROOMS: usize = 1_000;

/// Clients that send comments while masses listen: few, so that the masses determine the measurements.
const TALKERS: usize = 20;
const MIB: u64 = 1 << 20;

/// Starts the server, some talkers in one room, and a mass in the same room.
fn gather(ground: &mut Ground, comments_per_s: f64, viewers: &[(Habit, usize)]) -> Result<Mass, Trouble> {
    let sockets: usize = viewers.iter().map(|(_, count)| count).sum();
    let (descriptors, _) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    if (sockets + 300) as u64 > descriptors {
        return Err(Trouble::Skip(format!("needs {} descriptors, there are {descriptors}", sockets + 300)));
    }
    if ground.server.is_none() {
        ground.start()?;
    }
    ground.invite(TALKERS, 1)?;
    ground.pace(comments_per_s, 1.0, 0.0)?;
    Ok(Mass::start(MassPlan {
        server: ground.recipe.addresses[0],
        rooms: vec!["room-0".into()],
        viewers: viewers.to_vec(),
        connect_per_s: 3_000.0,
        seed: ground.dice.next(),
    })?)
}

/// Waits until `is_so` holds for the mass's state.
fn await_mass(
    ground: &Ground,
    mass: &Mass,
    patience_s: u64,
    what: &str,
    is_so: impl Fn(&MassShown) -> bool,
) -> Result<Duration, Trouble> {
    let instead = || {
        let MassShown { live, open, ends, .. } = mass.shown();
        format!("{what} did not come: {} live, {open} open, ends {ends:?}", live[0] + live[1])
    };
    ground.wait(Duration::from_secs(patience_s), || is_so(&mass.shown()), instead)
}

/// Ends the scenario with the verdicts of the mass and of the talkers.
fn whole(ground: &mut Ground, mass: Mass) -> Result<(), Trouble> {
    let shown = mass.shown();
    ground.figure("frames to viewers", shown.frames);
    if shown.gaps > 0 {
        ground.figure("gaps told", shown.gaps);
    }
    if !shown.ends.is_empty() {
        let ends: Vec<String> = shown.ends.iter().map(|(why, count)| format!("{why}: {count}")).collect();
        ground.figure("ends", ends.join(", "));
    }
    drop(mass);
    if shown.holes > 0 {
        return fail(format!("{} holes were not announced", shown.holes));
    }
    must_be_good(ground)
}

fn rss_bytes(ground: &mut Ground) -> Result<u64, Trouble> {
    let pid = ground.server()?.pid();
    ProcessUse::read(pid).map(|used| used.rss_bytes).map_err(Trouble::Fail)
}

/// Pages of kernel memory in all TCP sockets of this machine, as bytes: server and clients together.
fn tcp_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    let pages = words.windows(2).find(|pair| pair[0] == "mem").and_then(|pair| pair[1].parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// A metric of the server, summed over the series whose labels contain `label`.
fn metric(ground: &Ground, name: &str, label: &str) -> Result<f64, Trouble> {
    let page = super::admin_get(ground, "/metrics")?;
    let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values = page.lines().filter(is_it).filter(|line| line.contains(label));
    Ok(values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

fn storm(ground: &mut Ground, crowd: usize, jitter: bool, within_s: u64) -> Result<(), Trouble> {
    let mass = gather(ground, 4.0, &[(Habit::Reads, 1_000), (Habit::Stalls, crowd)])?;
    await_mass(ground, &mass, 60, "everybody", |shown| shown.live == [1_000, crowd])?;
    ground.a_moment(2_000, 2_001);
    mass.mark();
    let before = mass.shown().welcomes;
    ground.recorder.fault("cut", None, true, None);
    let began = Instant::now();
    mass.cut(Habit::Stalls, jitter);
    let all_back = |shown: &MassShown| shown.welcomes >= before + crowd as u64 && shown.live[1] == crowd;
    await_mass(ground, &mass, within_s, "everybody", all_back)?;
    let took = began.elapsed();
    ground.recorder.fault("cut", None, false, None);
    ground.a_moment(1_000, 1_001);
    let shown = mass.shown();
    ground.figure("all live in", format!("{:.1} s", took.as_secs_f64()));
    ground.figure("longest pause of the others", format!("{} ms", shown.pause_max_ms));
    if shown.not_recovered > 0 {
        return fail(format!("{} viewers could not resume", shown.not_recovered));
    }
    if shown.pause_max_ms > 1_000 {
        return fail(format!("a viewer that was not cut saw a pause of {} ms", shown.pause_max_ms));
    }
    whole(ground, mass)
}

fn stall(ground: &mut Ground, percent: usize) -> Result<(), Trouble> {
    const VIEWERS: usize = 5_000;
    /// A p99 below this counts as equal to it, because latencies are measured in milliseconds.
    const P99_FLOOR_MS: u64 = 20;
    let stalled = VIEWERS * percent / 100;
    let reading = VIEWERS - stalled;
    let mass = gather(ground, 60.0, &[(Habit::Reads, reading), (Habit::Stalls, stalled)])?;
    await_mass(ground, &mass, 60, "everybody", |shown| shown.live == [reading, stalled])?;
    mass.mark();
    ground.a_moment(10_000, 10_001);
    let baseline = mass.shown().latency_ms;
    mass.mark();
    ground.recorder.fault("stall", None, true, None);
    mass.stall(true);
    let (mut rss, mut tcp) = (0, 0);
    for _ in 0..60 {
        ground.a_moment(1_000, 1_001);
        rss = rss.max(rss_bytes(ground)?);
        tcp = tcp.max(tcp_bytes());
    }
    let during = mass.shown();
    mass.stall(false);
    ground.recorder.fault("stall", None, false, None);
    await_mass(ground, &mass, 60, "all viewers after the stall", |shown| shown.live == [reading, stalled])?;
    ground.a_moment(2_000, 2_001);
    let ends = mass.shown().ends;
    let untold: Vec<_> =
        ends.iter().filter(|(why, _)| *why != "4001").map(|(why, count)| format!("{count} {why}")).collect();
    if !untold.is_empty() {
        return fail(format!("viewers were cut without a close code: {}", untold.join(", ")));
    }
    ground.figure("most resident", mib(rss));
    ground.figure("most TCP memory, both ends", mib(tcp));
    if reading > 0 {
        ground.figure("p99 of the others before", format!("{} ms", baseline[1]));
        ground.figure("in the stall", format!("{} ms", during.latency_ms[1]));
        if during.latency_ms[1] > (baseline[1] * 3 / 2).max(P99_FLOOR_MS) {
            return fail(format!("the others' p99 rose from {} to {} ms", baseline[1], during.latency_ms[1]));
        }
    }
    let bound = 96 * MIB + 3 * 1_024 * VIEWERS as u64 + 64 * 16 * 1_024;
    if rss > bound {
        return fail(format!("{} resident are above the bound of {}", mib(rss), mib(bound)));
    }
    // The kernel doubles `connection.sndbuf_bytes` and the reader's own buffer.
    let bound = 2 * (Config::default().connection.sndbuf_bytes + SLOW_RCVBUF_BYTES) as u64 * VIEWERS as u64;
    if tcp > bound {
        return fail(format!("{} of TCP memory are above the bound of {}", mib(tcp), mib(bound)));
    }
    whole(ground, mass)
}

fn drips(ground: &mut Ground) -> Result<(), Trouble> {
    const DRIPS: usize = 200;
    ground.start()?;
    let baseline = ground.server()?.descriptors();
    let mass = gather(ground, 200.0, &[(Habit::Reads, 200), (Habit::Drips, DRIPS)])?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [200, DRIPS])?;
    let expected = baseline + TALKERS + 200;
    let began = Instant::now();
    let freed = |ground: &mut Ground| Ok::<_, Trouble>(ground.server()?.descriptors() <= expected + 5);
    while !freed(ground)? {
        if began.elapsed() > Duration::from_secs(120) {
            return fail(format!(
                "{} descriptors are open after 120 s, {expected} were expected",
                ground.server()?.descriptors()
            ));
        }
        ground.a_moment(200, 201);
    }
    ground.figure("all closed after", format!("{:.0} s", began.elapsed().as_secs_f64()));
    let slow = metric(ground, "volley_closes_total", "code=\"4001\"")?;
    ground.figure("closed with 4001", slow);
    if slow < DRIPS as f64 {
        return fail(format!("{slow} of {DRIPS} were closed with 4001"));
    }
    whole(ground, mass)
}

fn mutes(ground: &mut Ground) -> Result<(), Trouble> {
    const MUTES: usize = 15_000;
    ground.start()?;
    let mass = gather(ground, 4.0, &[(Habit::Reads, 100)])?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [100, 0])?;
    ground.a_moment(2_000, 2_001);
    let before = (rss_bytes(ground)?, ground.server()?.descriptors());
    let silent = Mass::start(MassPlan {
        server: ground.recipe.addresses[0],
        rooms: vec!["room-0".into()],
        viewers: vec![(Habit::Mute, MUTES)],
        connect_per_s: 20_000.0,
        seed: 1,
    })?;
    let began = Instant::now();
    let ended = |shown: &MassShown| shown.ends.values().sum::<u64>() >= MUTES as u64;
    let mut most = 0;
    while !ended(&silent.shown()) {
        most = most.max(rss_bytes(ground)?);
        if began.elapsed() > Duration::from_secs(30) {
            return fail(format!("{} are still open after 30 s", silent.shown().open));
        }
        ground.a_moment(50, 51);
    }
    let took = began.elapsed();
    ground.a_moment(3_000, 3_001);
    let after = (rss_bytes(ground)?, ground.server()?.descriptors());
    ground.figure("all closed after", format!("{:.1} s", took.as_secs_f64()));
    ground.figure("resident before, most, after", format!("{}, {}, {}", mib(before.0), mib(most), mib(after.0)));
    drop(silent);
    if after.1 > before.1 + 5 {
        return fail(format!("{} descriptors are open, before it were {}", after.1, before.1));
    }
    if took > Duration::from_secs(10) {
        return fail(format!("the last was closed after {:.1} s", took.as_secs_f64()));
    }
    // The allocator keeps some pages for the next crowd: 1 KiB per socket is allowed.
    if after.0 > before.0 + MUTES as u64 * 1_024 {
        return fail(format!("{} resident afterwards, {} before", mib(after.0), mib(before.0)));
    }
    whole(ground, mass)
}

fn half_open(ground: &mut Ground) -> Result<(), Trouble> {
    const GONE: usize = 500;
    ground.start()?;
    let mass = gather(ground, 20.0, &[(Habit::Reads, 500), (Habit::Stalls, GONE)])?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [500, GONE])?;
    // Requests to the history API may open a few files meanwhile.
    let full = ground.server()?.descriptors() + 8;
    mass.vanish(Habit::Stalls);
    let began = Instant::now();
    while ground.server()?.descriptors() > full - GONE {
        if began.elapsed() > Duration::from_secs(60) {
            let left = ground.server()?.descriptors() - (full - GONE);
            return fail(format!("{left} of {GONE} descriptors are not freed after 60 s"));
        }
        ground.a_moment(100, 101);
    }
    ground.figure("descriptors freed after", format!("{:.0} s", began.elapsed().as_secs_f64()));
    let online = metric(ground, "volley_connections", "")?;
    ground.figure("online then", online);
    if online as usize != 500 + TALKERS {
        return fail(format!("{online} count as online, {} are", 500 + TALKERS));
    }
    whole(ground, mass)
}

fn few_descriptors(ground: &mut Ground) -> Result<(), Trouble> {
    ground.recipe.wrapper = ["sh", "-c", "ulimit -n 1024 && exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    ground.start()?;
    let mass = gather(ground, 4.0, &[(Habit::Reads, 300)])?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [300, 0])?;
    mass.mark();
    let lines_before = fs::read_to_string(&ground.recipe.log)?.lines().count();
    let pushing = Mass::start(MassPlan {
        server: ground.recipe.addresses[0],
        rooms: vec!["room-0".into()],
        viewers: vec![(Habit::Stalls, 2_000)],
        connect_per_s: 2_000.0,
        seed: 2,
    })?;
    ground.a_moment(5_000, 5_001);
    let pid = ground.server()?.pid();
    let cpu = |pid: u32| ProcessUse::read(pid).map(|used| used.cpu_us).map_err(Trouble::Fail);
    let (began, cpu_before) = (Instant::now(), cpu(pid)?);
    ground.a_moment(10_000, 10_001);
    let share = (cpu(pid)? - cpu_before) as f64 / began.elapsed().as_micros() as f64;
    let lines = fs::read_to_string(&ground.recipe.log)?.lines().count() - lines_before;
    let (inside, outside) = (mass.shown(), pushing.shown());
    drop(pushing);
    ground.figure("of the 2,000 live", outside.live[0] + outside.live[1]);
    ground.figure("server CPU", format!("{:.0} % of a core", share * 100.0));
    ground.figure("log lines in 15 s", lines);
    ground.figure("longest pause of the connected viewers", format!("{} ms", inside.pause_max_ms));
    if share > 0.5 {
        return fail(format!("{:.0} % of a core while no viewer can connect", share * 100.0));
    }
    if lines > 16 {
        return fail(format!("{lines} log lines in 15 s"));
    }
    if inside.pause_max_ms > 1_000 || inside.live[0] != 300 {
        return fail(format!("{} of 300 are still in, longest pause {} ms", inside.live[0], inside.pause_max_ms));
    }
    whole(ground, mass)
}

fn hot_room(ground: &mut Ground) -> Result<(), Trouble> {
    const P99_FLOOR_MS: u64 = 20;
    // The room's limit stays; the limits of users and connections are raised, or the room's would not be reached.
    ground.recipe.arguments.retain(|argument| argument != "--no-rate-limits");
    for of in ["connection", "user"] {
        ground.set(&format!("rates.comments_per_{of}.per_s"), "10000");
        ground.set(&format!("rates.comments_per_{of}.burst"), "10000");
    }
    ground.start()?;
    // The epoch of each new room must be durable before its first visitor is welcomed.
    let opened = ground.invite_within(QUIET_ROOMS, QUIET_ROOMS, Duration::from_secs(60))?;
    ground.figure("1,000 new rooms opened in", format!("{:.1} s", opened.as_secs_f64()));
    ground.pace(200.0, 0.0, 0.0)?;
    let mass = Mass::start(MassPlan {
        server: ground.recipe.addresses[0],
        rooms: (0..QUIET_ROOMS).map(|n| format!("room-{n}")).collect(),
        viewers: vec![(Habit::Reads, QUIET_ROOMS)],
        connect_per_s: 3_000.0,
        seed: ground.dice.next(),
    })?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [QUIET_ROOMS, 0])?;
    ground.a_moment(1_000, 1_001);
    mass.mark();
    ground.a_moment(15_000, 15_001);
    let idle = mass.shown().latency_ms;
    ground.invite_more("busy", 200, 50, 1_000.0)?;
    ground.invite_more("hot", 100, 1, 3_000.0)?;
    ground.a_moment(3_000, 3_001);
    mass.mark();
    ground.a_moment(15_000, 15_001);
    let busy = mass.shown().latency_ms;
    ground.figure("quiet rooms' p99 alone", format!("{} ms", idle[1]));
    ground.figure("beside the hot room", format!("{} ms", busy[1]));
    if busy[1] > (idle[1] * 2).max(P99_FLOOR_MS) {
        return fail(format!("the quiet rooms' p99 rose from {} to {} ms", idle[1], busy[1]));
    }
    whole(ground, mass)
}

fn churn(ground: &mut Ground, habit: Habit, seconds: u64) -> Result<(), Trouble> {
    const PER_S: f64 = 2_000.0;
    ground.set("room.idle_s", "1");
    ground.set("room.rooms_max", "50000");
    ground.start()?;
    let mass = gather(ground, 4.0, &[(Habit::Reads, 100)])?;
    await_mass(ground, &mass, 30, "everybody", |shown| shown.live == [100, 0])?;
    let state = |ground: &mut Ground| -> Result<[u64; 3], Trouble> {
        let server = ground.server()?;
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid()))?.count();
        Ok([server.descriptors() as u64, threads as u64, rss_bytes(ground)?])
    };
    ground.a_moment(2_000, 2_001);
    let before = state(ground)?;
    let churning = Mass::start(MassPlan {
        server: ground.recipe.addresses[0],
        rooms: (0..100).map(|n| format!("churn-{n}")).collect(),
        viewers: vec![(habit, 2_000)],
        connect_per_s: PER_S,
        seed: 3,
    })?;
    // Memory settles within the first third; growth after that is a leak.
    ground.a_moment(seconds * 1_000 / 3, seconds * 1_000 / 3 + 1);
    let early = state(ground)?;
    ground.a_moment(seconds * 2_000 / 3, seconds * 2_000 / 3 + 1);
    let late = state(ground)?;
    let shown = churning.shown();
    drop(churning);
    // Rooms end a second after their last visitor; then everything is as before.
    ground.a_moment(20_000, 20_001);
    let after = state(ground)?;
    let rooms = metric(ground, "volley_rooms", "")?;
    let reached = shown.welcomes as f64 / seconds as f64;
    ground.figure("connects a second", format!("{reached:.0}"));
    ground.figure("rooms afterwards", rooms);
    ground.figure("descriptors before, afterwards", format!("{}, {}", before[0], after[0]));
    ground.figure("threads before, afterwards", format!("{}, {}", before[1], after[1]));
    let resident = [before, early, late, after].map(|state| mib(state[2]));
    ground.figure("resident before, after a third, at the end, afterwards", resident.join(", "));
    if after[0] > before[0] + 5 || after[1] > before[1] + 2 || rooms > 2.0 {
        return fail("descriptors, threads or rooms are not back at the baseline");
    }
    if reached < 0.9 * PER_S {
        return fail(format!("only {reached:.0} connects a second were reached"));
    }
    if late[2] > early[2] + early[2] / 4 + 16 * MIB {
        return fail(format!("memory grows: {} after a third, {} at the end", resident[1], resident[2]));
    }
    whole(ground, mass)
}
