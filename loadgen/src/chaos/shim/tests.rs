//! The shim works on a program that does not know it.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn without_chance_only_synced_data_remains() {
    assert_eq!(mix(b"synced", b"synced and more", None), b"synced");
    assert_eq!(mix(b"", b"never synced", None), b"");
}

#[test]
fn with_chance_a_sector_is_old_or_new_and_never_between() {
    let (old, new) = (vec![1; 10 * SECTOR_BYTES], vec![2; 12 * SECTOR_BYTES + 7]);
    let (mut grown, mut olds, mut news) = (0, 0, 0);
    for seed in 0..64 {
        let mixed = mix(&old, &new, Some(&mut Dice::new(seed)));
        grown += usize::from(mixed.len() == new.len());
        assert!(mixed.len() == old.len() || mixed.len() == new.len());
        for sector in mixed.chunks(SECTOR_BYTES) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector");
            olds += usize::from(sector[0] == 1);
            news += usize::from(sector[0] == 2);
        }
    }
    assert!(grown > 10 && grown < 54 && olds > 100 && news > 100, "{grown} {olds} {news}");
}

/// A folder for one test, which is removed after it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("shim-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("data")).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn shim(&self) -> Shim {
        Shim::build(&self.0, &self.0.join("data")).expect("tests/run installs a C compiler")
    }

    /// Runs a program with the shim; returns whether it succeeded.
    fn run(&self, shim: &Shim, script: &str) -> bool {
        let data = self.0.join("data");
        Command::new("sh").args(["-c", script]).current_dir(data).envs(shim.environment()).status().unwrap().success()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const WRITE: &str = "dd if=/dev/zero of=a bs=4096 count=4 status=none";

#[test]
fn a_power_loss_keeps_only_synced_data() {
    let folder = Folder::new();
    let shim = folder.shim();
    assert!(folder.run(&shim, &format!("{WRITE} conv=fsync && dd if=/dev/zero of=b bs=100 count=1 status=none")));
    // More is written to the first one, and not synced.
    assert!(folder.run(&shim, "dd if=/dev/zero of=a bs=4096 count=1 seek=4 conv=notrunc status=none"));
    let lost = shim.lose_power(None).unwrap();
    let length = |name: &str| fs::metadata(folder.0.join("data").join(name)).map(|file| file.len()).ok();
    assert_eq!((length("a"), length("b"), lost), (Some(4 * 4_096), None, 4_096 + 100));
    assert_eq!(shim.syncs().unwrap(), (1, 0));
}

#[test]
fn a_failing_sync_returns_an_error_and_loses_its_data() {
    let folder = Folder::new();
    let shim = folder.shim();
    shim.fail_syncs(1).unwrap();
    assert!(!folder.run(&shim, &format!("{WRITE} conv=fsync 2>/dev/null")));
    assert_eq!(shim.syncs().unwrap(), (1, 1));
    assert_eq!(shim.lose_power(None).unwrap(), 4 * 4_096);
    assert!(folder.run(&shim, &format!("{WRITE} conv=fsync")), "only the next one was to fail");
}

#[test]
fn a_process_dies_before_its_sync_on_command() {
    let folder = Folder::new();
    let shim = folder.shim();
    shim.kill_before_sync(1).unwrap();
    assert!(!folder.run(&shim, &format!("{WRITE} conv=fsync")));
    assert!(folder.0.join("data/a").exists() && !folder.0.join("shadow/a").exists());
}

#[test]
fn the_wall_clock_is_shifted_and_set_back() {
    let folder = Folder::new();
    let shim = folder.shim();
    let year = |shim: &Shim| {
        let mut date = Command::new("date");
        let said = date.arg("+%s").envs(shim.environment()).output().unwrap().stdout;
        String::from_utf8(said).unwrap().trim().parse::<i64>().unwrap()
    };
    let before = year(&shim);
    shim.wall_offset_s(-86_400 * 365).unwrap();
    assert!(year(&shim) < before - 86_400 * 364);
    shim.wall_offset_s(0).unwrap();
    assert!(year(&shim) >= before);
}
