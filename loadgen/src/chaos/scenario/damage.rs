//! A full disk, and damaged files.

use super::{ChaosScenario, must_be_good, under_load};
use crate::chaos::dice::Dice;
use crate::chaos::ground::{Ground, Trouble, fail};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(super) const ALL: &[ChaosScenario] = &[
    ChaosScenario {
        name: "disk-full",
        inject: "the filesystem (ext4 on a loop device) is full for 5 s, then has space again",
        shows: "comments are answered `storage_unavailable`, no client is disconnected, the server recovers within 5 s without a restart",
        is_short: true,
        run: disk_full,
    },
    ChaosScenario {
        name: "bit-flips",
        inject: "while stopped, one bit of the database is flipped, eight times",
        shows: "damaged rooms continue with their longest valid beginning in a new epoch, or the server refuses to start and says why",
        is_short: false,
        run: |ground| damaged(ground, "corruption", "volley.db", true, flip),
    },
    ChaosScenario {
        name: "wal-bit-flips",
        inject: "after a SIGKILL, one bit of the write-ahead log is flipped, eight times",
        shows: "the same: a lost tail is always announced",
        is_short: true,
        run: |ground| damaged(ground, "corruption", "volley.db-wal", false, flip),
    },
    ChaosScenario {
        name: "truncation",
        inject: "while stopped, the database is cut somewhere, eight times",
        shows: "the same",
        is_short: false,
        run: |ground| damaged(ground, "truncation", "volley.db", true, cut),
    },
    ChaosScenario {
        name: "wal-truncation",
        inject: "after a SIGKILL, the write-ahead log is cut somewhere, eight times",
        shows: "the same",
        is_short: false,
        run: |ground| damaged(ground, "truncation", "volley.db-wal", false, cut),
    },
];

const ROUNDS: u32 = 8;

/// A small filesystem; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Creates an ext4 of `mib` MiB, mounted in `folder`.
    fn new(folder: &Path, mib: u64) -> Result<Self, Trouble> {
        if !rustix::process::geteuid().is_root() {
            return Err(Trouble::Skip("needs root, to mount a filesystem".into()));
        }
        let (image, place) = (folder.join("disk.img"), folder.join("disk"));
        File::create(&image)?.set_len(mib << 20)?;
        fs::create_dir_all(&place)?;
        let tool = |name: &str, arguments: &[&str], paths: &[&Path]| -> Result<(), Trouble> {
            let done = Command::new(name).args(arguments).args(paths).output();
            let done = done.map_err(|error| Trouble::Skip(format!("{name}: {error}")))?;
            match done.status.success() {
                true => Ok(()),
                false => Err(Trouble::Skip(format!("{name}: {}", String::from_utf8_lossy(&done.stderr).trim()))),
            }
        };
        tool("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image])?;
        tool("mount", &["-o", "loop"], &[&image, &place])?;
        Ok(Self(place))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Unmounts lazily, in case the server has not quite ended.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn disk_full(ground: &mut Ground) -> Result<(), Trouble> {
    let mount = Mount::new(&ground.folder, 64)?;
    ground.recipe.data = mount.0.join("data").display().to_string();
    let outcome = fill_and_free(ground, &mount.0);
    // The server has open files in it.
    ground.server = None;
    outcome
}

fn fill_and_free(ground: &mut Ground, place: &Path) -> Result<(), Trouble> {
    under_load(ground)?;
    ground.a_moment(2_000, 2_001);
    let filler = place.join("filler");
    ground.recorder.fault("disk_full", None, true, None);
    fill(&filler)?;
    let before = ground.counts();
    ground.wait(
        Duration::from_secs(20),
        || ground.counts().unstored > before.unstored,
        || "no comment was answered `storage_unavailable`".into(),
    )?;
    ground.a_moment(5_000, 5_001);
    let during = ground.counts();
    let crowd = ground.crowd()?;
    let live = crowd.live();
    fs::remove_file(&filler)?;
    ground.recorder.fault("disk_full", None, false, None);
    let acked = ground.counts().acked;
    let healed = ground.wait(
        Duration::from_secs(5),
        || ground.counts().acked > acked + 100,
        || "comments are not acknowledged again after 5 s".into(),
    )?;
    ground.figure("refused while full", during.unstored - before.unstored);
    ground.figure("live while full", live);
    ground.figure("healed in", format!("{} ms", healed.as_millis()));
    // The crowd itself cuts two connections per second; these clients reconnect while the disk is full.
    if live + 10 < ground.crowd()?.clients() {
        return fail(format!("only {live} clients were live while the disk was full"));
    }
    must_be_good(ground)
}

/// Writes until the file system is full.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for size in [1 << 20, 4_096, 512] {
        let piece = vec![0x55; size];
        loop {
            match file.write_all(&piece).and_then(|()| file.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Several times: stops the server, damages one of its files, and starts it. A refusal with a reason is as good as a
/// repaired log; then the file is restored.
fn damaged(
    ground: &mut Ground,
    kind: &str,
    name: &str,
    in_good_order: bool,
    damage: fn(&Path, &mut Dice) -> io::Result<()>,
) -> Result<(), Trouble> {
    ground.set("drain_ms", "500");
    under_load(ground)?;
    let path = Path::new(&ground.recipe.data).join(name);
    let (mut healed, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        ground.a_moment(1_000, 1_500);
        ground.recorder.fault(kind, Some(name), true, None);
        if in_good_order {
            if ground.server()?.terminate(Duration::from_secs(25)).is_none() {
                return fail("the server does not end");
            }
        } else {
            ground.server()?.kill();
        }
        let whole = fs::read(&path)?;
        damage(&path, &mut ground.dice)?;
        match ground.start() {
            Ok(_) => healed += 1,
            Err(Trouble::Fail(said)) if said.contains("volley.db") => {
                refused += 1;
                fs::write(&path, whole)?;
                ground.start()?;
            }
            Err(error) => return Err(error),
        }
        ground.recorder.fault(kind, Some(name), false, None);
        ground.everybody_live()?;
    }
    ground.figure("started", healed);
    ground.figure("refused to start", refused);
    must_be_good(ground)
}

fn flip(path: &Path, dice: &mut Dice) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let at = dice.below(file.metadata()?.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ (1 << dice.below(8))], at)
}

fn cut(path: &Path, dice: &mut Dice) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.set_len(dice.below(length))
}
