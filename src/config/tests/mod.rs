//! Promises of the table of keys, and what the other tests share.

mod files;
mod secrets;
mod slips;
mod sources;

use super::cli::{self, Args, Command};
use super::keys::{KEYS, Value, ValueKind};
use super::*;
use crate::host::Hosts;
use std::collections::{BTreeSet, HashSet};

/// Loads a file called `volley.toml`, variables and arguments.
fn load_all(file: Option<&str>, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Loaded, ConfigErrors> {
    let mut line = vec!["volley"];
    if file.is_some() {
        line.extend(["--config", "volley.toml"]);
    }
    line.extend(arguments);
    let args = match cli::parse(line.into_iter().map(OsString::from)) {
        Ok(Command::Serve(args)) => args,
        other => panic!("not a command line to serve: {other:?}"),
    };
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(&args, variables, |path| {
        assert_eq!(path, Path::new("volley.toml"));
        Ok(file.unwrap_or_default().to_owned())
    })
}

pub(in crate::config) fn loaded(file: &str) -> Result<Loaded, ConfigErrors> {
    load_all(Some(file), &[], &[])
}

fn errors_of(file: &str) -> String {
    loaded(file).expect_err(file).to_string()
}

/// One allowed value of every key that differs from the default.
fn other_value(key: &keys::Key) -> Value {
    let default = (key.get)(&Config::default());
    match (key.kind, default) {
        (ValueKind::Address, _) => Value::Address(([10, 1, 2, 3], 7000 + key.path.len() as u16).into()),
        (ValueKind::Flag, Value::Flag(flag)) => Value::Flag(!flag),
        (ValueKind::Number { max, .. }, Value::Number(n)) => Value::Number((n + 1).min(max)),
        (ValueKind::Word(words), Value::Text(text)) => {
            Value::Text((*words.iter().find(|word| **word != text).expect("two words")).into())
        }
        (ValueKind::Secret, _) => Value::Secret(Secret::new("0123456789abcdef")),
        (ValueKind::Data, _) => Value::Text("/srv/volley".into()),
        (ValueKind::BasePath, _) => Value::Text("/chat/".into()),
        (ValueKind::Filter, _) => Value::Text("volley=debug,warn".into()),
        (ValueKind::Origins, _) => Value::Origins(
            crate::origin::Origins::read(["https://a.example", "tauri://localhost"].into_iter()).expect("origins"),
        ),
        (ValueKind::Hosts, _) => Value::Hosts(Hosts::read(["volley", "[::1]"].into_iter()).expect("hosts")),
        (kind, value) => panic!("{}: {kind} with {value}", key.path),
    }
}

/// As a variable or a flag carries it.
fn plain(value: &Value) -> String {
    match value {
        Value::Address(address) => address.to_string(),
        Value::Text(text) => text.clone(),
        Value::Origins(origins) => origins.texts().collect::<Vec<_>>().join(","),
        Value::Hosts(hosts) => hosts.texts().collect::<Vec<_>>().join(","),
        Value::Secret(secret) => secret.reveal().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn every_field_has_its_key() {
    fn leaves(prefix: &str, value: &serde_json::Value, out: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    leaves(&if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") }, value, out);
                }
            }
            _ => assert!(out.insert(prefix.to_owned())),
        }
    }
    let mut fields = BTreeSet::new();
    leaves("", &serde_json::to_value(Config::default()).unwrap(), &mut fields);
    let keys: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(fields, keys);
}

#[test]
fn no_two_keys_share_a_variable() {
    let variables: HashSet<String> = KEYS.iter().map(keys::Key::variable).collect();
    assert_eq!(variables.len(), KEYS.len());
    assert!(!variables.contains(env::FILE_VARIABLE));
}

#[test]
fn every_default_and_both_ends_of_every_range_are_taken() {
    for key in KEYS {
        let default = (key.get)(&Config::default());
        assert!(key.kind.check(default.clone()).is_ok(), "{}: the default {default} is out of range", key.path);
        if let ValueKind::Number { min, max, .. } = key.kind {
            for end in [min, max] {
                let mut config = Config::default();
                (key.set)(&mut config, Value::Number(end));
                assert_eq!((key.get)(&config), Value::Number(end), "{}", key.path);
            }
        }
    }
    assert_eq!(loaded("").unwrap().config, Config::default(), "the defaults keep the relations");
}

#[test]
fn every_key_can_be_set_by_file_by_variable_and_by_flag() {
    for key in KEYS {
        let value = other_value(key);
        let mut expected = Config::default();
        (key.set)(&mut expected, value.clone());
        let written = if key.kind == ValueKind::Secret { format!("{:?}", plain(&value)) } else { value.to_string() };
        let file = format!("{} = {written}", key.path);
        let set = format!("{}={}", key.path, plain(&value));
        let cases = [
            load_all(Some(&file), &[], &[]),
            load_all(None, &[(&key.variable(), &plain(&value))], &[]),
            load_all(None, &[], &["--set", &set]),
        ];
        for (loaded, origin) in
            cases.into_iter().zip(["volley.toml:1", &key.variable(), &format!("--set {}", key.path)])
        {
            let loaded = loaded.unwrap_or_else(|errors| panic!("{}: {errors}", key.path));
            assert_eq!(loaded.config, expected, "{} from {origin}", key.path);
            assert_eq!(loaded.sources.of(key.path).unwrap().to_string(), origin);
        }
    }
}

#[test]
fn what_volley_config_prints_is_a_file_that_means_the_same() {
    let file = "tick_ms = 50\n[admission]\norigins = [\"https://a.example\"]\n[log]\nfilter = \"volley=debug\"";
    let flags = ["--no-rate-limits", "--set", "rates.comments_per_user.burst=77"];
    let first = load_all(Some(file), &[("VOLLEY_ROOM_IDLE_S", "5m")], &flags).unwrap();
    let printed = show::to_toml(&first);
    for line in [
        "listen = \"127.0.0.1:8080\" # default",
        "tick_ms = 50 # volley.toml:1",
        "idle_s = 300 # VOLLEY_ROOM_IDLE_S",
        "no_rate_limits = true # --no-rate-limits",
        "comments_per_user.burst = 77 # --set rates.comments_per_user.burst",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no `{line}` in\n{printed}");
    }
    let again = loaded(&printed).unwrap();
    assert_eq!(again.config, first.config);
    assert!(KEYS.iter().all(|key| matches!(again.sources.of(key.path), Some(Source::File { .. }))));
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == show::to_markdown(),
        "docs/configuration.md is stale: cargo run -- config --markdown > docs/configuration.md"
    );
    for key in KEYS {
        let default = (key.get)(&Config::default());
        assert!(written.contains(&format!("| `{}` | `{default}`", key.path)), "{} is not documented", key.path);
    }
}
