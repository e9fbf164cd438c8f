//! Promises about the sources: which wins, and how each names its mistakes.

use super::*;
use std::io::ErrorKind;

#[test]
fn a_stronger_source_wins_and_says_so() {
    let file = "tick_ms = 50\nshards = 3\n[room]\nidle_s = 7";
    let loaded = load_all(Some(file), &[("VOLLEY_TICK_MS", "60"), ("VOLLEY_SHARDS", "4")], &["--tick", "70"]).unwrap();
    assert_eq!((loaded.config.tick_ms, loaded.config.shards, loaded.config.room.idle_s), (70, 4, 7));
    let origin = |path| loaded.sources.of(path).unwrap().to_string();
    assert_eq!(origin("tick_ms"), "--tick");
    assert_eq!(origin("shards"), "VOLLEY_SHARDS");
    assert_eq!(origin("room.idle_s"), "volley.toml:4");
    assert_eq!(origin("listen"), "default");
    assert_eq!(loaded.sources.of("no.such.key"), None);
}

#[test]
fn every_named_flag_sets_its_key() {
    let flags = "--listen [::1]:1 --admin 127.0.0.1:2 --data memory --tick 5 --shards 6 --drain 7s --no-rate-limits \
                 --log-format json --log debug";
    let config = load_all(None, &[], &flags.split(' ').collect::<Vec<_>>()).unwrap().config;
    assert_eq!((config.addresses.listen.to_string().as_str(), config.addresses.admin.port()), ("[::1]:1", 2));
    assert_eq!((config.tick_ms, config.shards, config.drain_ms, config.no_rate_limits), (5, 6, 7_000, true));
    assert_eq!(config.log, LogConfig { format: LogFormat::Json, filter: "debug".into() });
}

#[test]
fn all_mistakes_of_all_sources_come_at_once() {
    let errors = load_all(
        Some("tick_ms = 0\nnonsense = 1"),
        &[("VOLLEY_SHARD", "2"), ("VOLLEY_SHARDS", "many"), ("VOLLEY_CONNECTION_IDLE_MS", "-5")],
        &["--tick", "fast", "--set", "room.idle_s=0", "--set", "room.idles=1", "--set", "novalue", "--set", "=5"],
    )
    .unwrap_err();
    assert_eq!(
        errors.to_string().lines().collect::<Vec<_>>(),
        [
            "volley.toml:1:1: tick_ms = 0: out of range; allowed is 5 ms to 2000 ms",
            "volley.toml:2:1: nonsense: unknown key; `volley config` lists all keys",
            "VOLLEY_CONNECTION_IDLE_MS: connection.idle_ms = -5: out of range; allowed is 200 ms to 86400000 ms",
            "VOLLEY_SHARD: unknown key; did you mean `VOLLEY_SHARDS`?",
            "VOLLEY_SHARDS: shards = many: expected a whole number, found a text",
            "--tick: tick_ms = fast: expected a whole number of milliseconds, or one with a unit such as \"10s\", found a \
             text",
            "--set room.idle_s: room.idle_s = 0: out of range; allowed is 1 s to 31536000 s",
            "--set: room.idles: unknown key; did you mean `room.idle_s`?",
            "--set: expected KEY=VALUE, found no `=` in number 3 of the --set flags",
            "--set: unknown key; `volley config` lists all keys",
        ]
    );
}

#[test]
fn two_flags_for_one_key_are_a_mistake_not_a_race() {
    let errors = load_all(None, &[], &["--tick", "50", "--set", "tick_ms=60"]).unwrap_err();
    assert_eq!(errors.to_string(), "--set tick_ms: tick_ms = 60: given twice (also by `--tick`); keep one");
}

#[test]
fn an_unreadable_file_is_named() {
    let args = Args { config: Some("gone.toml".into()), ..Args::default() };
    let errors = load(&args, std::iter::empty(), |_| Err(io::Error::new(ErrorKind::NotFound, "no such file")));
    assert_eq!(errors.unwrap_err().to_string(), "--config: config = gone.toml: the file cannot be used: no such file");
}

#[test]
fn a_variable_names_the_file_and_the_flag_is_stronger() {
    let read = |args: Args| {
        let variables = [("VOLLEY_CONFIG".into(), "env.toml".into())];
        let mut used = std::cell::RefCell::new(PathBuf::new());
        load(&args, variables.into_iter(), |path| {
            *used.borrow_mut() = path.into();
            Ok("tick_ms = 33".into())
        })
        .unwrap();
        std::mem::take(used.get_mut())
    };
    assert_eq!(read(Args::default()), Path::new("env.toml"));
    assert_eq!(read(Args { config: Some("flag.toml".into()), ..Args::default() }), Path::new("flag.toml"));
}

#[test]
fn variables_of_a_kubernetes_service_called_volley_are_let_pass() {
    let links = [
        ("VOLLEY_SERVICE_HOST", "10.0.0.1"),
        ("VOLLEY_SERVICE_PORT", "8080"),
        ("VOLLEY_SERVICE_PORT_HTTP", "8080"),
        ("VOLLEY_PORT", "tcp://10.0.0.1:8080"),
        ("VOLLEY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("VOLLEY_PORT_8080_TCP_PROTO", "tcp"),
        ("VOLLEY_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ("VOLLEY_ADMIN_PORT_8081_TCP_ADDR", "10.0.0.2"),
    ];
    assert_eq!(load_all(None, &links, &[]).unwrap().config, Config::default());
    let error = load_all(None, &[("VOLLEY_PORT", "8080")], &[]).unwrap_err();
    assert_eq!(error.to_string(), "VOLLEY_PORT: unknown key; `volley config` lists all keys");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_an_error_not_a_panic() {
    use std::os::unix::ffi::OsStringExt;
    let bad = OsString::from_vec(vec![b'5', 0xff]);
    let variables = [(OsString::from("VOLLEY_TICK_MS"), bad.clone()), (OsString::from_vec(vec![0xfe]), bad)];
    let errors = load(&Args::default(), variables.into_iter(), |_| unreachable!("no file is named")).unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(errors.to_string().ends_with("found bytes that are not UTF-8"), "{errors}");
}

#[test]
fn usage_errors_exit_64_and_help_exits_0() {
    let parse =
        |arguments: &[&str]| cli::parse(std::iter::once("volley").chain(arguments.iter().copied()).map(Into::into));
    for (arguments, code) in [
        (&["--help"] as &[&str], 0),
        (&["--version"], 0),
        (&["config", "--help"], 0),
        (&["--listn", "127.0.0.1:1"], 64),
        (&["serv"], 64),
        (&["--tick"], 64),
        (&["--tick", "5", "--tick", "6"], 64),
        (&["--markdown"], 64),
    ] {
        let exit = parse(arguments).expect_err("an exit");
        assert_eq!(exit.code, code, "{arguments:?}: {}", exit.text);
        assert!(!exit.text.is_empty());
    }
    assert_eq!(parse(&[]), Ok(Command::Serve(Args::default())));
    assert_eq!(parse(&["serve"]), Ok(Command::Serve(Args::default())));
    assert_eq!(parse(&["config", "--markdown"]), Ok(Command::DocumentConfig));
    let args = Args { tick: Some("50".into()), ..Args::default() };
    assert_eq!(parse(&["--tick", "50", "config"]), Ok(Command::ShowConfig(args.clone())));
    assert_eq!(parse(&["config", "--tick", "50"]), Ok(Command::ShowConfig(args)));
}
