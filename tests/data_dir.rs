//! The data directory of a real process: what it keeps, and its errors.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use support::program::{Program, SERVE, Scratch, log, refusal, volley};

#[test]
fn a_killed_server_restarts_with_every_acknowledged_comment_and_the_same_epoch() {
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
fn an_unusable_directory_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    std::fs::write(&file, "a letter").expect("written");
    assert!(refusal(&file).contains("is not a directory; give --data another path"));
    assert!(refusal(&file.join("data")).contains("its parent does not exist"));
    assert!(refusal(&scratch.0.join("mnt/disk/data")).contains("mount the missing disk"));
    // Not even root can create directories there.
    assert!(refusal(Path::new("/sys/kernel/volley-data")).contains("cannot create it in the data directory"));
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
    for (bytes, expected) in
        [(&newer[..], "has format 200"), (&whole[..50], "is not a Volley log"), (b"", "is not a Volley log")]
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
