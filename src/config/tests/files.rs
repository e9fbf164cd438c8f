//! Promises about the file: every mistake is answered, and none is fatal to the reader.

use super::*;
use proptest::prelude::*;
use std::io::ErrorKind;

#[test]
fn bad_files_are_answered_with_place_key_value_and_reason() {
    let cases: &[(&str, &str)] = &[
        ("tik_ms = 5", "volley.toml:1:1: tik_ms: unknown key; did you mean `tick_ms`?"),
        ("\n[room]\n  idel_s = 300", "volley.toml:3:3: room.idel_s: unknown key; did you mean `room.idle_s`?"),
        (
            "connections_max = 5",
            "volley.toml:1:1: connections_max: unknown key; did you mean `admission.connections_max`?",
        ),
        ("[rooms]\nidle_s = 1", "volley.toml:1:2: rooms: unknown key; did you mean `room`?"),
        ("cookies = true", "volley.toml:1:1: cookies: unknown key; `volley config` lists all keys"),
        ("room = 5", "volley.toml:1:1: room: expected a section, found a single value"),
        ("\"\" = 5", "volley.toml:1:1: \"\": unknown key; `volley config` lists all keys"),
        (
            "\"room.idle_s\" = 5\nroom.idle_s = 6",
            "volley.toml:1:1: \"room.idle_s\": unknown key; did you mean `room.idle_s`?",
        ),
        ("\"a\\nb\".c = 5", "volley.toml:1:1: (a name that is not shown): unknown key; `volley config` lists all keys"),
        (
            "[tick_ms]\nx = 1",
            "volley.toml:1:2: tick_ms: expected a whole number of milliseconds, or one with a unit such as \
             \"10s\", found a section",
        ),
        (
            "tick_ms = \"100\"",
            "volley.toml:1:1: tick_ms = \"100\": expected a whole number of milliseconds, or one with a unit such as \
             \"10s\", found a text",
        ),
        ("shards = true", "volley.toml:1:1: shards = true: expected a whole number, found true or false"),
        ("shards = 1.5", "volley.toml:1:1: shards = 1.5: expected a whole number, found a fraction"),
        ("no_rate_limits = 1", "volley.toml:1:1: no_rate_limits = 1: expected true or false, found a number"),
        ("tick_ms = 0", "volley.toml:1:1: tick_ms = 0: out of range; allowed is 5 ms to 2000 ms"),
        ("tick_ms = -100", "volley.toml:1:1: tick_ms = -100: out of range; allowed is 5 ms to 2000 ms"),
        ("tick_ms = 2001", "volley.toml:1:1: tick_ms = 2001: out of range; allowed is 5 ms to 2000 ms"),
        (
            "tick_ms = 99999999999999999999999999999999999999999999",
            "volley.toml:1:1: tick_ms = 99999999999999999999999999999999999999999999: out of range; allowed is 5 ms to \
             2000 ms",
        ),
        (
            "connection.ring_frames = 0",
            "volley.toml:1:12: connection.ring_frames = 0: out of range; allowed is 1 to 4096",
        ),
        (
            "room.frame_events_max = 0",
            "volley.toml:1:6: room.frame_events_max = 0: out of range; allowed is 1 to 100000",
        ),
        (
            "room.log_bytes_max = \"9999999999GB\"",
            "volley.toml:1:6: room.log_bytes_max = \"9999999999GB\": out of range; allowed is 64 KiB to 1024 GiB",
        ),
        (
            "room.log_bytes_max = \"99999999999999999999PB\"",
            "volley.toml:1:6: room.log_bytes_max = \"99999999999999999999PB\": out of range; allowed is 64 KiB to 1024 GiB",
        ),
        (
            "room.idle_s = \"1500ms\"",
            "volley.toml:1:6: room.idle_s = \"1500ms\": expected a whole number of seconds, or one with a unit such as \
             \"5m\", found a part of a second",
        ),
        (
            "drain_ms = \"10 parsecs\"",
            "volley.toml:1:1: drain_ms: expected a whole number of milliseconds, or one with a unit such \
             as \"10s\", found an unknown unit",
        ),
        (
            "listen = \"localhost:8080\"",
            "volley.toml:1:1: listen = \"localhost:8080\": expected an IP address with port, such as \"127.0.0.1:8080\" or \
             \"[::]:8080\", found a name with a port",
        ),
        ("data = \"\"", "volley.toml:1:1: data = \"\": expected a directory, or \"memory\", found nothing"),
        (
            "log.format = \"xml\"",
            "volley.toml:1:5: log.format = \"xml\": expected \"text\" or \"json\", found something else",
        ),
        (
            "tick_ms = 50\ntick_ms = 60",
            "volley.toml:2:1: tick_ms: given twice (a key or a section may stand once in a file); keep one",
        ),
        (
            "[room]\nidle_s = 1\n[room]\nidle_s = 2",
            "volley.toml:3:2: room: given twice (a key or a section may stand once in a file); keep one\n\
             volley.toml:4:1: idle_s: given twice (a key or a section may stand once in a file); keep one",
        ),
        (
            "connection.ping_ms = 60_000",
            "volley.toml:1:12: connection.ping_ms = 60000: connection.idle_ms must be longer than connection.ping_ms; \
             connection.idle_ms is 60000 (default)",
        ),
        (
            "admission.text_bytes_max = \"8KiB\"",
            "volley.toml:1:11: admission.text_bytes_max = 8192: admission.text_bytes_max must be at most \
             admission.message_bytes_max; admission.message_bytes_max is 4096 (default)",
        ),
        (
            "rates.likes_per_user = { per_s = 10, burst = 99 }",
            "volley.toml:1:38: rates.likes_per_user.burst = 99: rates.likes_per_user.burst must be at least \
             admission.like_count_max; admission.like_count_max is 100 (default)",
        ),
        (
            "admin = \"0.0.0.0:8080\"",
            "volley.toml:1:1: admin = \"0.0.0.0:8080\": admin must be another address or port than listen; listen is \
             \"127.0.0.1:8080\" (default)",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(errors_of(file), *expected, "{file}");
    }
}

#[test]
fn a_broken_file_names_the_line_and_hides_no_other_mistake() {
    let errors = errors_of("tick_ms = 1\nshards = = 2\nroom.idle_s = 0\n");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines[0].starts_with("volley.toml:2:") && lines[0].contains("not TOML"), "{errors}");
    assert!(lines[0].ends_with("in the line of `shards`"), "{errors}");
    assert!(lines.iter().any(|line| line.starts_with("volley.toml:1:1: tick_ms = 1: out of range")), "{errors}");
    assert!(lines.iter().any(|line| line.starts_with("volley.toml:3:6: room.idle_s = 0: out of range")), "{errors}");
}

#[test]
fn a_recording_given_as_file_is_refused() {
    let path = std::env::temp_dir().join(format!("volley-recording-{}", std::process::id()));
    std::fs::write(&path, "x".repeat(65 << 10)).unwrap();
    let error = disk::read_bounded(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge);
}

#[test]
fn messages_stay_one_short_line_whatever_the_value() {
    let value = format!("\u{1b}[2J\n{}", "x".repeat(10_000));
    let error = load_all(None, &[("VOLLEY_DATA", &value)], &[]).unwrap_err().to_string();
    assert!(!error.contains(['\u{1b}', '\n']) && error.len() < 300, "{error}");
    let many: String = (0..5_000).map(|n| format!("nonsense{n} = 1\n")).collect();
    let error = errors_of(&many);
    assert_eq!(error.lines().count(), 51);
    assert!(error.ends_with("… and 4950 more"));
}

#[test]
fn origins_are_read_as_the_gateway_reads_them() {
    let origins = |list: &str| loaded(&format!("admission.origins = {list}"));
    let read =
        origins(r#"["capacitor://localhost", "HTTPS://Shop.Example:443/", "https://shop.example", "*"]"#).unwrap();
    let texts: Vec<String> = read.config.admission.origins.texts().collect();
    assert_eq!(texts, ["*", "capacitor://localhost", "https://shop.example"]);
    let error = origins(r#"["https://a.example", "https://me:hunter2@shop.example/live"]"#).unwrap_err().to_string();
    assert_eq!(error, "volley.toml:1:11: admission.origins: item 2: it has a user name; write https://shop.example");
}

#[test]
fn a_filter_may_have_spaces_after_its_commas_and_any_characters() {
    let cases: &[(&str, Option<&str>)] = &[
        ("warn, volley=debug", Some("warn,volley=debug")),
        (" info , volley ,", Some("info,volley")),
        ("warn,    商店=debug", Some("warn,商店=debug")),
        (" , ", None),
        (" 店=店", None),
    ];
    for (given, expected) in cases {
        let filter = loaded(&format!("log.filter = \"{given}\"")).ok().map(|loaded| loaded.config.log.filter);
        assert_eq!(filter.as_deref(), *expected, "{given:?}");
    }
}

#[test]
fn deep_nesting_is_an_error_not_a_stack_overflow() {
    let arrays = format!("tick_ms = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("x = {}1{}", "{a = ".repeat(50_000), "}".repeat(50_000));
    let dotted = format!("{} = 1", vec!["a"; 50_000].join("."));
    let header = format!("[{}]", vec!["a"; 50_000].join("."));
    for file in [arrays, tables, dotted, header] {
        assert!(loaded(&file).is_err());
    }
}

/// Text that gets further into the readers than pure noise.
fn toml_like() -> impl Strategy<Value = String> {
    let name = prop::sample::select(
        KEYS.iter().map(|key| key.path).chain(["room", "rates", "x", "\"\"", "a.b"]).collect::<Vec<_>>(),
    );
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "\"[0-9]{0,30}[a-zA-Z]{0,4}\"",
        "[\\[\\]{}\"'=.,0-9a-zA-Z_#\\-:/ ]{0,12}",
        Just("[\"https://a.example\", 1]".to_owned()),
        any::<String>(),
    ];
    let line = prop_oneof![
        (name, value).prop_map(|(name, value)| format!("{name} = {value}")),
        "\\[{1,2}[a-z._]{0,12}\\]{1,2}",
        any::<String>(),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_file_variable_or_flag_makes_it_panic(
        file in toml_like(),
        variable in (prop::sample::select(KEYS.iter().map(keys::Key::variable).collect::<Vec<_>>()), any::<String>()),
        setting in "[a-z._]{0,20}=?.{0,20}",
    ) {
        let args = Args { config: Some("f".into()), set: vec![setting], ..Args::default() };
        let variables = [(OsString::from(variable.0), OsString::from(variable.1))];
        match load(&args, variables.into_iter(), |_| Ok(file.clone())) {
            Ok(loaded) => prop_assert!(super::loaded(&show::to_toml(&loaded)).is_ok()),
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                prop_assert!(errors.to_string().lines().count() <= errors.0.len().min(51));
            }
        }
    }
}
