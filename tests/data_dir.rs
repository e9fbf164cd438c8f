//! The data directory of a real process: what it keeps, and what it says when it cannot.

mod common;

use common::{Client, PATIENCE, http};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

/// A directory of the test's own, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("volley-data-dir-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn volley(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).arg("--data").arg(data).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server; killed with the test.
struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
}

const SERVE: [&str; 8] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "1", "--drain", "0"];

impl Program {
    fn start(data: &Path) -> Self {
        let mut child = volley(&SERVE, data).stderr(Stdio::null()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (found, address) = channel();
        std::thread::spawn(move || {
            let says = |line: &String| line.contains("live rooms") || line.contains("/metrics");
            for line in lines.map_while(Result::ok).filter(says) {
                let text =
                    line.split_once("http://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
                let _ = found.send(text.parse::<SocketAddr>());
            }
        });
        let next = || address.recv_timeout(PATIENCE).expect("says in time where it is").expect("an address");
        let (public, admin) = (next(), next());
        Self { child, public, admin }
    }

    fn health(&self) -> (u16, String) {
        http(self.admin, &format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin))
    }

    /// Until `/healthz` answers `status`; what it says then.
    fn health_becomes(&self, status: u16) -> String {
        let began = std::time::Instant::now();
        loop {
            let (found, body) = self.health();
            if found == status {
                return body;
            }
            assert!(began.elapsed() < PATIENCE, "{found} {body}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn join(&self, room: &str) -> Client {
        let mut client = Client::connect(self.public, &format!("/v1/rooms/{room}/ws"), None).expect("upgrades");
        client.welcome = client.next("welcome");
        client
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ends");
    }

    /// SIGTERM; says whether it ended well.
    fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        self.child.wait().expect("ends").success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server that cannot start says, in one line.
fn refusal(data: &Path) -> String {
    let Output { status, stderr, .. } = volley(&SERVE, data).output().expect("runs");
    let text = String::from_utf8(stderr).expect("text");
    assert_eq!(status.code(), Some(1), "{text}");
    let line = text.lines().find(|line| line.starts_with("volley: ")).expect("a message");
    line.to_owned()
}

fn log(arguments: &[&str], data: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = volley(arguments, data).output().expect("runs");
    let text = String::from_utf8([stdout, stderr].concat()).expect("text");
    (status.code().expect("ends by itself"), text)
}

#[test]
fn a_killed_server_comes_back_with_everything_acknowledged_and_the_same_epoch() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    let mut client = server.join("show");
    let epoch = client.welcome["epoch"].clone();
    let offset = client.comment("c1", "kept")["offset"].as_u64().expect("an offset");
    let quiet = server.join("quiet").welcome["epoch"].clone();
    server.kill();

    let server = Program::start(&scratch.data());
    let welcome = server.join("show").welcome;
    assert_eq!((&welcome["epoch"], welcome["last"].as_u64()), (&epoch, Some(offset)));
    assert!(welcome["snapshot"].to_string().contains("kept"), "{welcome}");
    assert_eq!(server.join("quiet").welcome["epoch"], quiet, "a room without a word keeps its epoch too");
    assert!(server.stop());
    let mut left: Vec<_> = std::fs::read_dir(scratch.data())
        .expect("a directory")
        .map(|file| file.expect("a file"))
        .filter(|file| file.metadata().expect("its size").len() > 0)
        .map(|file| file.file_name().into_string().expect("a name"))
        .filter(|name| !name.ends_with("-shm"))
        .collect();
    left.sort();
    assert_eq!(left, ["volley.db", "volley.heads", "volley.lock"], "an orderly stop leaves no write-ahead log");
}

#[test]
fn the_log_can_be_looked_at_beside_its_server_and_tells_of_damage() {
    let scratch = Scratch::new();
    assert_eq!(log(&["log"], &scratch.data()).0, 1, "there is none yet");
    assert!(!scratch.data().exists(), "looking makes nothing");
    let server = Program::start(&scratch.data());
    let mut client = server.join("show");
    let epoch = client.welcome["epoch"].as_str().expect("text").to_owned();
    for n in 0..3 {
        client.comment(&format!("c{n}"), "spoken");
    }
    let (code, text) = log(&["log"], &scratch.data());
    assert_eq!(code, 0, "{text}");
    let line = text.lines().find(|line| line.starts_with("show ")).expect("the room");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..5], [&epoch, "1", "3", "3"], "{text}");
    let (code, text) = log(&["log", "verify"], &scratch.data());
    assert!(code == 0 && text.contains("no damage"), "{text}");
    assert!(server.stop());

    let path = scratch.data().join("volley.db");
    let mut bytes = std::fs::read(&path).expect("the database");
    let at = bytes.windows(6).rposition(|window| window == b"spoken").expect("the last comment");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let (code, text) = log(&["log", "verify"], &scratch.data());
    assert!(code == 1 && text.contains("DAMAGED") && text.contains("checksum"), "{text}");
    assert_eq!(std::fs::read(&path).expect("the database"), bytes, "it only reads");

    let server = Program::start(&scratch.data());
    let welcome = server.join("show").welcome;
    assert_ne!(welcome["epoch"].as_str(), Some(&*epoch), "what lost something is another log");
    assert!(welcome["last"].as_u64().expect("a number") < 3);
    server.kill();
    assert_eq!(log(&["log", "verify"], &scratch.data()).0, 0, "healed");
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    std::fs::write(&file, "a letter").expect("written");
    assert!(refusal(&file).contains("is not a directory; give --data another path"));
    assert!(refusal(&file.join("data")).contains("its parent does not exist"));
    assert!(refusal(&scratch.0.join("mnt/disk/data")).contains("is a disk not mounted?"));
    // Where not even root makes directories.
    assert!(refusal(Path::new("/sys/kernel/volley-data")).contains("cannot make it in the data directory"));
    assert_eq!(std::fs::read_dir(&scratch.0).expect("a directory").count(), 1, "nothing was made");
}

#[test]
fn a_log_that_is_not_ours_to_change_is_refused_untouched() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    let pid = server.child.id();
    server.join("show").comment("c1", "mine");
    let message = refusal(&scratch.data());
    assert!(message.contains(&format!("in use by process {pid}")), "{message}");
    assert!(server.stop());

    let path = scratch.data().join("volley.db");
    let whole = std::fs::read(&path).expect("the database");
    let mut newer = whole.clone();
    newer[63] = 200;
    for (bytes, expected) in [(&newer[..], "has format 200"), (&whole[..50], "no log of Volley's"), (b"", "no log of")]
    {
        std::fs::write(&path, bytes).expect("written");
        let message = refusal(&scratch.data());
        assert!(message.contains(expected) && message.contains("Nothing was changed"), "{message}");
        assert_eq!(std::fs::read(&path).expect("the database"), bytes);
    }
    std::fs::remove_file(&path).expect("removed");
    assert!(refusal(&scratch.data()).contains("volley.db is missing, but"), "it is not silently replaced");
    std::fs::write(&path, &whole).expect("written");
    let server = Program::start(&scratch.data());
    assert!(server.join("show").welcome["last"].as_u64().expect("a number") >= 1);
}

#[test]
fn a_log_in_memory_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut command = volley(&SERVE, Path::new("memory"));
    let mut child = command.current_dir(&scratch.0).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("metrics")), "it says that it is ready");
    child.kill().expect("killed");
    child.wait().expect("ends");
    assert_eq!(std::fs::read_dir(&scratch.0).expect("a directory").count(), 0);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode is set");
}

#[test]
fn what_people_said_is_readable_by_the_servers_user_alone() {
    let scratch = Scratch::new();
    let files = |what: &dyn Fn(&Path)| {
        for name in ["volley.db", "volley.db-wal", "volley.db-shm", "volley.heads", "volley.lock"] {
            what(&scratch.data().join(name));
        }
    };
    let are_private = || {
        assert_eq!(mode(&scratch.data()), 0o700);
        files(&|path| assert_eq!(mode(path), 0o600, "{}", path.display()));
    };
    let server = Program::start(&scratch.data());
    server.join("show").comment("c1", "between us");
    are_private();
    server.kill();
    // As an earlier version, or a careless restore, left them.
    files(&|path| set_mode(path, 0o644));
    set_mode(&scratch.data(), 0o755);
    let server = Program::start(&scratch.data());
    server.join("show").comment("c2", "still");
    are_private();
    server.kill();
    // A directory with other things in it is somebody else's to close.
    std::fs::write(scratch.data().join("notes.txt"), "mine").expect("written");
    set_mode(&scratch.data(), 0o755);
    drop(Program::start(&scratch.data()));
    assert_eq!((mode(&scratch.data()), mode(&scratch.data().join("volley.db"))), (0o755, 0o600));
    set_mode(&scratch.data(), 0o777);
    let message = refusal(&scratch.data());
    assert!(message.contains("every user may write into") && message.contains("chmod it to 700"), "{message}");
    set_mode(&scratch.data(), 0o700);
    set_mode(&scratch.data().join("volley.heads"), 0o666);
    let message = refusal(&scratch.data());
    assert!(message.contains("volley.heads is a file that every user may write"), "{message}");
}

/// Puts something at a path.
type Place<'a> = &'a dyn Fn(&Path);

#[test]
fn names_that_lead_elsewhere_are_refused_and_nothing_is_written_there() {
    let scratch = Scratch::new();
    let data = scratch.data();
    let other = scratch.0.join("letter");
    std::fs::write(&other, "precious").expect("written");
    for name in ["volley.lock", "volley.db", "volley.heads", "volley.db-wal", "volley.db-shm", "volley.db.new"] {
        let places: [(&str, Place<'_>); 4] = [
            ("a link", &|at| symlink(&other, at).expect("linked")),
            ("a link", &|at| symlink(scratch.0.join("nothing"), at).expect("linked")),
            ("a named pipe", &|at| {
                let made = Command::new("mkfifo").arg(at).status().expect("runs");
                assert!(made.success());
            }),
            ("a directory", &|at| std::fs::create_dir(at).expect("made")),
        ];
        for (what, place) in places {
            std::fs::create_dir(&data).expect("made");
            place(&data.join(name));
            let message = refusal(&data);
            assert!(message.contains(&format!("{name} is {what}")), "{name}: {message}");
            let (code, text) = log(&["log", "verify"], &data);
            assert_ne!(code, 0, "{name}: {text}");
            std::fs::remove_dir_all(&data).expect("removed");
        }
    }
    assert_eq!(std::fs::read_to_string(&other).expect("read"), "precious");
    assert!(!scratch.0.join("nothing").exists());
    // The directory itself may be a link: that is how a disk is given.
    let disk = scratch.0.join("disk");
    std::fs::create_dir(&disk).expect("made");
    symlink(&disk, &data).expect("linked");
    drop(Program::start(&data));
    assert!(disk.join("volley.db").exists());
}

#[test]
fn a_log_whose_files_are_taken_away_says_so_and_acknowledges_nothing() {
    let scratch = Scratch::new();
    let (data, aside) = (scratch.data(), scratch.0.join("aside"));
    type Harm<'a> = &'a dyn Fn();
    let harms: [(&str, Harm<'_>, Harm<'_>); 4] = [
        ("is gone", &|| std::fs::rename(&data, &aside).expect("moved"), &|| {
            std::fs::rename(&aside, &data).expect("moved back");
        }),
        ("volley.db is gone", &|| std::fs::rename(data.join("volley.db"), &aside).expect("moved"), &|| {
            std::fs::rename(&aside, data.join("volley.db")).expect("moved back");
        }),
        (
            "a different file",
            &|| {
                std::fs::rename(data.join("volley.db"), &aside).expect("moved");
                std::fs::copy(&aside, data.join("volley.db")).expect("copied");
            },
            &|| std::fs::rename(&aside, data.join("volley.db")).expect("moved back"),
        ),
        ("volley.db-wal is gone", &|| std::fs::rename(data.join("volley.db-wal"), &aside).expect("moved"), &|| {
            std::fs::rename(&aside, data.join("volley.db-wal")).expect("moved back");
        }),
    ];
    let server = Program::start(&data);
    let mut client = server.join("show");
    let mut last = client.comment("c0", "before")["offset"].as_u64().expect("an offset");
    for (n, (says, take, give)) in harms.into_iter().enumerate() {
        take();
        client.send(&format!(r#"{{"comment":{{"id":"lost{n}","text":"into nowhere"}}}}"#));
        let error = client.next("error");
        assert_eq!(error["code"], "storage_unavailable", "{says}: {error}");
        let body = server.health_becomes(503);
        assert!(body.contains(says), "{says}: {body}");
        give();
        server.health_becomes(200);
        let offset = client.comment(&format!("c{n}-again"), "after")["offset"].as_u64().expect("an offset");
        assert!(offset > last, "what was acknowledged goes on");
        last = offset;
    }
    // What was cut does not come back: only a start can judge what is left.
    let file = std::fs::File::options().write(true).open(data.join("volley.db")).expect("opens");
    file.set_len(4_096).expect("cut");
    client.send(r#"{"comment":{"id":"cut","text":"into nowhere"}}"#);
    assert_eq!(client.next("error")["code"], "storage_unavailable");
    assert!(server.health_becomes(503).contains("was cut from"));
    std::fs::remove_dir_all(&data).expect("removed");
    assert!(server.stop(), "it ends in good order all the same");
    assert!(!data.exists(), "and makes nothing anew");
}

#[test]
fn a_deleted_lock_file_lets_no_second_server_in() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    std::fs::remove_file(scratch.data().join("volley.lock")).expect("removed");
    assert!(refusal(&scratch.data()).contains("is in use by another process"));
    assert_eq!(server.health().0, 200);
}
