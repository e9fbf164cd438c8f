//! The files of a data directory, as the system sees them: their owners, links, and what happens when they disappear.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use support::http;
use support::program::{Program, SERVE, Scratch, log, refusal};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode is set");
}

#[test]
fn only_the_servers_user_can_read_the_comments() {
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
    // Rights as an earlier version or a careless restore left them.
    files(&|path| set_mode(path, 0o644));
    set_mode(&scratch.data(), 0o755);
    let server = Program::start(&scratch.data());
    server.join("show").comment("c2", "still");
    are_private();
    server.kill();
    // A directory with other files may belong to other programs, so its rights stay.
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

/// Creates something at a path.
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
    // The directory itself may be a link, for example to a mounted disk.
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
    // Data that was cut off is lost; only a start can check the rest.
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
fn a_file_with_a_second_name_is_refused_and_that_one_stays_as_it_is() {
    let scratch = Scratch::new();
    let data = scratch.data();
    drop(Program::start(&data));
    let letter = scratch.0.join("letter");
    for name in ["volley.lock", "volley.heads", "volley.db"] {
        let aside = scratch.0.join("aside");
        std::fs::rename(data.join(name), &aside).expect("moved");
        std::fs::copy(&aside, &letter).expect("copied");
        std::fs::hard_link(&letter, data.join(name)).expect("linked");
        let before = std::fs::read(&letter).expect("read");
        let message = refusal(&data);
        assert!(message.contains(&format!("{name} is a file with a second name")), "{message}");
        assert!(message.contains("copy it and put the copy in its place"), "{message}");
        assert_eq!(std::fs::read(&letter).expect("read"), before, "{name}");
        std::fs::remove_file(data.join(name)).expect("removed");
        std::fs::rename(&aside, data.join(name)).expect("moved back");
    }
    // A second name that an interrupted start left while putting a damaged database aside is accepted.
    std::fs::hard_link(data.join("volley.db"), data.join("volley.db.damaged-1")).expect("linked");
    drop(Program::start(&data));
}

#[test]
fn the_rights_of_files_do_not_depend_on_the_umask() {
    let scratch = Scratch::new();
    for umask in ["000", "777"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask} && exec \"$@\""), "sh", env!("CARGO_BIN_EXE_volley")]);
        command.args(SERVE).arg("--data").arg(scratch.data()).env_clear().stdin(Stdio::null());
        let server = Program::of(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        server.join("show").comment("c1", "between us");
        assert_eq!(mode(&scratch.data()), 0o700, "{umask}");
        for name in ["volley.db", "volley.db-wal", "volley.db-shm", "volley.heads", "volley.lock"] {
            assert_eq!(mode(&scratch.data().join(name)), 0o600, "{name} with {umask}");
        }
        server.kill();
        std::fs::remove_dir_all(scratch.data()).expect("removed");
    }
}

#[test]
fn databases_that_were_put_aside_become_private_too() {
    let scratch = Scratch::new();
    drop(Program::start(&scratch.data()));
    let aside = ["volley.db.damaged-1", "volley.db.damaged-1-wal"].map(|name| scratch.data().join(name));
    for path in &aside {
        std::fs::write(path, "what people said").expect("written");
        set_mode(path, 0o644);
    }
    let other = scratch.0.join("letter");
    std::fs::write(&other, "").expect("written");
    set_mode(&other, 0o644);
    symlink(&other, scratch.data().join("volley.db.damaged-2")).expect("linked");
    drop(Program::start(&scratch.data()));
    assert_eq!(aside.each_ref().map(|path| mode(path)), [0o600, 0o600]);
    assert_eq!(mode(&other), 0o644, "no link is followed");
}

#[test]
fn a_link_that_leads_nowhere_is_no_data_directory() {
    let scratch = Scratch::new();
    symlink(scratch.0.join("mnt/disk"), scratch.data()).expect("linked");
    let message = refusal(&scratch.data());
    assert!(message.contains("is a symbolic link to a missing directory; mount the missing disk"), "{message}");
    assert_eq!(log(&["log"], &scratch.data()).0, 1);
}

#[test]
fn looking_at_a_log_writes_through_no_link() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    server.join("show").comment("c1", "kept");
    server.kill();
    let other = scratch.0.join("letter");
    std::fs::write(&other, "precious").expect("written");
    for name in ["volley.db-shm", "volley.db-wal"] {
        let aside = scratch.0.join("aside");
        std::fs::rename(scratch.data().join(name), &aside).expect("moved");
        symlink(&other, scratch.data().join(name)).expect("linked");
        for arguments in [&["log"] as &[&str], &["log", "verify"]] {
            let (code, text) = log(arguments, &scratch.data());
            assert!(code == 1 && text.contains(&format!("{name} is a link")), "{text}");
        }
        assert_eq!(std::fs::read_to_string(&other).expect("read"), "precious");
        std::fs::remove_file(scratch.data().join(name)).expect("removed");
        std::fs::rename(&aside, scratch.data().join(name)).expect("moved back");
    }
    assert_eq!(log(&["log", "verify"], &scratch.data()).0, 0);
}

#[test]
fn a_write_ahead_log_that_is_cut_stops_acknowledgements() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    let mut client = server.join("show");
    client.comment("c1", "kept");
    let wal = std::fs::File::options().write(true).open(scratch.data().join("volley.db-wal")).expect("opens");
    wal.set_len(0).expect("cut");
    client.send(r#"{"comment":{"id":"cut","text":"behind a hole"}}"#);
    let answer = loop {
        let message = client.read().expect("an open connection");
        if message.get("ack").or(message.get("error")).is_some() {
            break message;
        }
    };
    assert_eq!(answer["error"]["code"], "storage_unavailable", "{answer}");
    assert!(server.health_becomes(503).contains("volley.db-wal was cut from"));
}

#[test]
fn a_pipe_in_the_place_of_the_database_stops_no_reader() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    server.join("show").comment("c1", "kept");
    let database = scratch.data().join("volley.db");
    std::fs::rename(&database, scratch.0.join("aside")).expect("moved");
    assert!(Command::new("mkfifo").arg(&database).status().expect("runs").success());
    server.health_becomes(503);
    // More readers than there are connections to the original file.
    let ask = || {
        let path = "/v1/rooms/show/events?limit=1";
        http(server.public, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.public)).0
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        for answer in asked {
            let status = answer.join().expect("an answer in time");
            assert!([200, 503].contains(&status), "{status}");
        }
    });
}

#[test]
fn a_deleted_lock_file_lets_no_second_server_in() {
    let scratch = Scratch::new();
    let server = Program::start(&scratch.data());
    std::fs::remove_file(scratch.data().join("volley.lock")).expect("removed");
    assert!(refusal(&scratch.data()).contains("is in use by another process"));
    assert_eq!(server.health().0, 200);
}
