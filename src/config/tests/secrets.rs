//! Promises about secrets: wherever one is put by mistake, no message and no page repeats it.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

const CANARY: &str = "CANARY-0123456789-CANARY";

#[test]
fn a_key_is_taken_and_never_shown() {
    let file = format!("admin_key = \"{CANARY}\"");
    let first = loaded(&file).unwrap();
    assert_eq!(first.config.addresses.admin_key.reveal(), Some(CANARY));
    let printed = show::to_toml(&first);
    assert!(printed.contains("# admin_key = \"(not shown)\" # volley.toml:1\n"), "{printed}");
    assert!(!format!("{printed}{first:?}").contains("CANARY"));
    assert_eq!(loaded(&printed).unwrap().config.addresses.admin_key.reveal(), None, "a comment sets nothing");
    assert!(show::to_toml(&loaded("").unwrap()).contains("\nadmin_key = \"\" # default\n"));
}

#[test]
fn a_key_under_a_wrong_name_is_told_by_the_name_alone() {
    for (file, variable, set, expected) in [
        ("key = \"CANARY-0123456789\"", "", "", "volley.toml:1:1: key: unknown key; `volley config` lists all keys"),
        ("admin_kee = \"CANARY\"", "", "", "volley.toml:1:1: admin_kee: unknown key; did you mean `admin_key`?"),
        ("[admin]\nkey = \"CANARY\"", "", "", "found a section"),
        ("admin_key = CANARY-0123456789", "", "", "in the line of `admin_key`"),
        ("CANARY-0123456789-CANARY", "", "", "volley.toml:1:"),
        ("\"CANARY-0123456789\" = 5", "", "", "(a name that is not shown): unknown key"),
        ("room = \"CANARY\"", "", "", "room"),
        ("admin_key = \"CANARY short\"", "", "", "volley.toml:1:1: admin_key: a key has printable ASCII"),
        ("admin_key = [\"CANARY-0123456789\"]", "", "", "admin_key: expected 16 to 256 printable"),
        ("admin_key = \"CANARY-0123456789\"\nadmin_key = \"CANARY\"", "", "", "admin_key: given twice"),
        ("log.filter = \"warn,CANARY=CANARY\"", "", "", "log.filter: it is no filter: levels"),
        ("log.filter = \"x[{CANARY=\"", "", "", "log.filter: it is no filter: levels"),
        ("", "VOLLEY_KEY", "", "VOLLEY_KEY: unknown key; `volley config` lists all keys"),
        ("", "VOLLEY_ADMINKEY", "", "VOLLEY_ADMINKEY: unknown key; did you mean `VOLLEY_ADMIN_KEY`?"),
        ("", "VOLLEY_LISTEN", "", "VOLLEY_LISTEN: listen: expected an IP address"),
        ("", "", "secret=CANARY-0123456789", "--set: secret: unknown key; `volley config` lists all keys"),
        ("", "", "adminkey=CANARY-0123456789", "--set: adminkey: unknown key; did you mean `admin_key`?"),
        ("", "", "CANARY-0123456789-CANARY", "--set: expected KEY=VALUE, found no `=` in number 1 of the --set flags"),
        ("", "", "CANARY0123456789abcdef==", "--set: (a name that is not shown): unknown key"),
        ("", "", "admin_key=CANARY", "--set admin_key: admin_key: a key has 16 to 256 characters"),
    ] {
        let variables: Vec<(&str, &str)> =
            Some((variable, CANARY)).into_iter().filter(|(name, _)| !name.is_empty()).collect();
        let flags: Vec<&str> = if set.is_empty() { vec![] } else { vec!["--set", set] };
        let errors = load_all(Some(file), &variables, &flags).unwrap_err();
        assert!(errors.to_string().contains(expected), "{file}{variable}{set}: {errors}");
        assert!(!format!("{errors}{errors:?}").contains("CANARY"), "{errors:?}");
    }
}

#[test]
fn an_empty_key_is_a_script_that_lost_it_and_not_an_open_address() {
    for result in [load_all(None, &[("VOLLEY_ADMIN_KEY", "")], &[]), load_all(None, &[], &["--set", "admin_key="])] {
        assert!(
            result.unwrap_err().to_string().ends_with("expected 16 to 256 printable ASCII characters, found nothing")
        );
    }
    assert_eq!(loaded("admin_key = \"\"").unwrap().config, Config::default(), "as `volley config` prints it");
}

#[test]
fn usage_errors_repeat_flags_and_no_values() {
    let usage = |arguments: &[&str]| {
        let exit = cli::parse(["volley"].iter().chain(arguments).map(Into::into)).expect_err("no command line");
        assert_eq!(exit.code, cli::EXIT_USAGE);
        exit.text
    };
    for (arguments, expected) in [
        (&["--admin-key=CANARY-0123456789"] as &[&str], "'--admin-key'"),
        (&["--admin-key", "CANARY-0123456789"], "VOLLEY_ADMIN_KEY"),
        (&["CANARY-0123456789"], "'(not shown)'"),
        (&["config", "CANARY-0123456789"], "'(not shown)'"),
        (&["log", "CANARY-0123456789"], "'(not shown)'"),
        (&["--no-rate-limits=CANARY-0123456789"], "'(not shown)' for '--no-rate-limits'"),
        (&["--CANARY-0123456789"], "'(not shown)'"),
        (&["-CANARY-0123456789"], "'(not shown)'"),
        (&["--tick", "5", "--tick", "CANARY"], "'--tick <MS>' cannot be used multiple times"),
        (&["--listn", "CANARY"], "a similar argument exists: '--listen'"),
        (&["--set"], "'--set <KEY=VALUE>'"),
        (&["serv"], "'(not shown)'"),
    ] {
        let text = usage(arguments);
        assert!(text.contains(expected) && !text.contains("CANARY"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_key_in_the_place_of_a_path_is_not_repeated() {
    let error = |path: &str| {
        let args = Args { config: Some(path.into()), ..Args::default() };
        load(&args, std::iter::empty(), |_| Err(io::ErrorKind::NotFound.into())).unwrap_err().to_string()
    };
    assert_eq!(error("CANARY-0123456789-CANARY"), "--config: config: the file cannot be used: entity not found");
    assert_eq!(
        error("/etc/volley.toml"),
        "--config: config = /etc/volley.toml: the file cannot be used: entity not found"
    );
    let args =
        Args { config: Some("CANARY".into()), set: vec!["admin_key=CANARY-0123456789".into()], ..Args::default() };
    assert!(!format!("{:?}", Args { config: None, ..args }).contains("CANARY"));
}

/// A secret of any alphabet that such have, and long enough to be one.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["CANARY[A-Za-z0-9+/]{16,40}={0,2}", "[0-9a-f]{12}CANARY[0-9a-f]{12}", "[!#-&(-~]{8}CANARY[!#-&(-~]{8}"]
}

/// A way to give a secret wrongly: `{}` stands for it.
fn file_around() -> impl Strategy<Value = String> {
    let name = select(
        KEYS.iter().map(|key| key.path).chain(["key", "secret", "room", "rates", "a.b", "x y"]).collect::<Vec<_>>(),
    );
    let around = select(vec![
        "{name} = \"{}\"",
        "{name} = '{}'",
        "{name} = {}",
        "{name} = \"{}",
        "{name} = [\"{}\", 1]",
        "{name} = [\"{}\"",
        "{name} = {{ key = \"{}\" }}",
        "{name} = {{ key = \"{}\"",
        "{name} = \"\"\"\n{}\n\"\"\" 5",
        "[{name}]\nkey = \"{}\"",
        "[[{name}]]\nkey = \"{}\"",
        "[{name}.{}]\nx = 1",
        "[{}]\nx = 1",
        "{name}.{} = 5",
        "\"{}\" = 5",
        "{} = 5",
        "{}",
        "{name} = 5 {}",
        "{name} = \"\\{}\"",
        "{name}: {}",
        "export {name}={}",
    ]);
    (name, around).prop_map(|(name, around)| around.replace("{name}", name))
}

proptest! {
    #[test]
    fn no_way_to_give_a_secret_wrongly_repeats_it(
        secret in secret(),
        file in file_around(),
        variable in select(KEYS.iter().map(keys::Key::variable).chain(["VOLLEY_KEY".into(), "VOLLEY_ADMINKEY".into()]).collect::<Vec<_>>()),
        set in select(KEYS.iter().map(|key| key.path).chain(["key", "secret", ""]).collect::<Vec<_>>()),
        flag in select(vec!["--listen", "--admin", "--durability", "--tick", "--shards", "--drain", "--log-format", "--config"]),
        wrapped in select(vec!["{}", "\"{}\"", " {}", "{}\r", "https://u:{}@a.example", "{},{}", "{}="]),
    ) {
        let given = wrapped.replace("{}", &secret);
        let args = |line: Vec<String>| match cli::parse(std::iter::once("volley".to_owned()).chain(line).map(Into::into)) {
            Ok(Command::Serve(args)) => Ok(args),
            Err(exit) => Err(exit.text),
            Ok(other) => Err(format!("{other:?}")),
        };
        let cases = [
            (vec![], Some(file.replace("{}", &secret)), None),
            (vec![], None, Some((variable, given.clone()))),
            (vec!["--set".into(), format!("{set}={given}")], None, None),
            (vec!["--set".into(), given.clone()], None, None),
            (vec![flag.into(), given.clone()], None, None),
            (vec![given.clone()], None, None),
            (vec![format!("--admin-key={given}")], None, None),
            (vec!["--no-rate-limits".into(), given.clone()], None, None),
            (vec!["config".into(), given], None, None),
        ];
        for (line, file, variable) in cases {
            let line = if file.is_some() { vec!["--config".into(), "volley.toml".into()] } else { line };
            let shown = match args(line.clone()) {
                Err(text) => text,
                Ok(args) => {
                    let variables = variable.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
                    let read = |_: &Path| file.clone().ok_or_else(|| io::ErrorKind::NotFound.into());
                    match load(&args, variables, read) {
                        // It was right there: a key is hidden, and what else it may be is what the operator wants to see.
                        Ok(loaded) => {
                            let debug = format!("{:?}", loaded.config.addresses.admin_key);
                            prop_assert!(!debug.contains("CANARY"));
                            continue;
                        }
                        Err(errors) => format!("{errors}\n{errors:?}"),
                    }
                }
            };
            prop_assert!(!shown.contains("CANARY"), "{line:?} {file:?} {variable:?} is answered {shown}");
        }
    }
}
