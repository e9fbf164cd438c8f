//! Counts by running this program under callgrind.

use crate::workloads::Workload;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Instructions of one iteration of each workload, in their order. As many run at the same time as there are cores,
/// because they do not disturb each other.
pub fn count(workloads: &[&Workload]) -> Result<Vec<(String, u64)>, String> {
    let jobs: Vec<(&Workload, u32)> = workloads.iter().flat_map(|w| [(*w, 1), (*w, 2)]).collect();
    let (next, totals) = (AtomicUsize::new(0), Mutex::new(vec![Ok(0); jobs.len()]));
    let work = || {
        while let Some((workload, times)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let at = jobs.iter().position(|job| job.0.name == workload.name && job.1 == times).expect("it is there");
            let total = total(workload, times);
            totals.lock().expect("nobody panics with it")[at] = total;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
    let totals = totals.into_inner().expect("nobody panics with it").into_iter().collect::<Result<Vec<u64>, _>>()?;
    let counts = totals.chunks(2).zip(workloads);
    Ok(counts.map(|(t, w)| (w.name.to_owned(), t[1].saturating_sub(t[0]) / u64::from(w.iterations))).collect())
}

/// All instructions of a process that runs `times` times the iterations of `workload`.
fn total(workload: &Workload, times: u32) -> Result<u64, String> {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}-{times}", workload.name));
    let iterations = (workload.iterations * times).to_string();
    let arguments = ["role-run", workload.name, &iterations];
    under_callgrind(&out, &arguments)?;
    let text = std::fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = total.and_then(|total| total.split(' ').next()?.parse().ok());
    total.ok_or_else(|| format!("{} has no total", out.display()))
}

/// Runs this program; returns what it printed.
fn under_callgrind(out: &Path, arguments: &[&str]) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--cache-sim=no", "--branch-sim=no"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(program).args(arguments);
    // The size of the environment moves the stack, so it is the same everywhere. Programs are found by the caller's
    // `PATH`.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    let output = command.output().map_err(|e| {
        format!("cannot run valgrind ({e}): `apt-get install valgrind`, or `tests/run setup`, which does that")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{arguments:?} under valgrind: {}\n{said}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What determines instructions beside the code and Cargo.lock.
pub fn environment() -> Result<Vec<(String, String)>, String> {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("callgrind.cpu");
    let cpu = under_callgrind(&out, &["role-cpu"])?;
    let says = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success());
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Ok(vec![
        ("rustc".into(), says(&rustc, &["--version"])),
        ("libc".into(), says("getconf", &["GNU_LIBC_VERSION"])),
        ("valgrind".into(), says("valgrind", &["--version"])),
        ("cpu".into(), cpu),
    ])
}

/// The CPU as this process sees it: under valgrind the simulated one, with those features of the real one that valgrind
/// supports. The C library and some crates choose their code by it.
pub fn cpu() -> String {
    #[cfg(target_arch = "x86_64")]
    let features: Vec<&str> = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("sha", is_x86_feature_detected!("sha")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, is)| is.then_some(name))
    .collect();
    #[cfg(not(target_arch = "x86_64"))]
    let features: Vec<&str> = Vec::new();
    format!("{} {}", std::env::consts::ARCH, features.join(" ")).trim().to_owned()
}
