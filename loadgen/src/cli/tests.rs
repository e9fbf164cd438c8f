//! Scenarios from flags, and errors for mistakes.

use super::*;

fn parse(flags: &[&str]) -> Result<Chosen, CliError> {
    let args = Args::try_parse_from(["loadgen"].iter().chain(flags)).map_err(|e| CliError::Usage(e.to_string()))?;
    args.scenario()
}

#[test]
fn no_flags_are_the_canonical_scenario() {
    let (s, recording) = parse(&[]).unwrap();
    assert!(recording.is_none());
    assert_eq!((s.server, &s.rooms, s.viewers()), (([127, 0, 0, 1], 8080).into(), &vec!["loadgen".to_owned()], 1_000));
    let canonical = Wording::of((12, 30));
    assert!(matches!(&s.groups[0].script, Script::Rate { per_s: 50.0, wording } if *wording == canonical));
    assert_eq!((s.groups[0].likes_per_s, s.measured_s, s.processes, s.addresses), (500.0, 15.0, 1, 7));
}

#[test]
fn every_mistake_names_its_flag() {
    for (flags, named) in [
        (&["--url", "wss://x"][..], "--url"),
        (&["--url", "ws://127.0.0.1:1/rooms"], "--room"),
        (&["--room", "a b"], "--room"),
        (&["--rooms", "0"], "--rooms"),
        (&["--viewers", "0"], "--viewers"),
        (&["--comments", "-1"], "--comments"),
        (&["--comments", "NaN"], "--comments"),
        (&["--seconds", "0"], "--seconds"),
        (&["--text-chars", "9..3"], "--text-chars"),
        (&["--stall", "0%"], "--stall"),
        (&["--stall", "10%", "--seconds", "20"], "--stall-seconds"),
        (&["--speed", "8"], "--replay"),
        (&["--replay", "/nowhere.xml"], "--replay"),
        (&["--processes", "300"], "--processes"),
        (&["--group", "hot=1"], "--group"),
        (&["--texts", "/nowhere.xml"], "--texts"),
        (&["--near-duplicates", "95%"], "--near-duplicates"),
        (&["--hog", "50%", "--viewers", "20", "--processes", "2"], "--hog"),
        (&["--posts", "5"], "--admin"),
        (&["--posts", "-5", "--admin", "http://127.0.0.1:1"], "--posts"),
        (&["--group", "a b=1x1"], "--room"),
        (&["--group", "a=1x1", "--viewers", "9"], "--viewers"),
        (&["--group", "a=1x1", "--group", "b=2x2", "--processes", "2"], "--group"),
        (&["--bogus"], "--bogus"),
    ] {
        let error = parse(flags).err().unwrap_or_else(|| panic!("{flags:?} was accepted"));
        assert!(matches!(&error, CliError::Usage(text) if text.contains(named)), "{flags:?}: {error}");
    }
}

#[test]
fn groups_have_rooms_viewers_and_rates_of_their_own() {
    let (s, _) = parse(&["--group", "hot=1x9,comments=5", "--group", "quiet=3x2,likes=1"]).unwrap();
    assert_eq!(s.rooms, ["loadgen-hot-0", "loadgen-quiet-0", "loadgen-quiet-1", "loadgen-quiet-2"]);
    let shapes: Vec<_> = s.groups.iter().map(|g| (g.rooms.clone(), g.viewers, g.likes_per_s)).collect();
    assert_eq!(shapes, [(0..1, 9, 0.0), (1..4, 6, 1.0)]);
    assert!(matches!(s.groups[0].script, Script::Rate { per_s: 5.0, .. }));
}

#[test]
fn a_stall_has_time_before_and_after() {
    let (s, _) = parse(&["--stall", "10%"]).unwrap();
    assert_eq!((s.measured_s, s.stall.unwrap().share), (40.0, 0.1));
}

#[test]
fn a_key_comes_from_a_file_and_is_never_repeated() {
    let path = std::env::temp_dir().join(format!("loadgen-key-{}", std::process::id()));
    std::fs::write(&path, "CANARY-0123456789\r\n").unwrap();
    let with = |flags: &[&str]| parse(&[&["--admin", "http://127.0.0.1:1"], flags].concat());
    let (s, _) = with(&["--admin-key-file", path.to_str().unwrap()]).unwrap();
    assert_eq!(s.admin_key.as_ref().map(Secret::reveal), Some("CANARY-0123456789"));
    assert!(!format!("{s:?}").contains("CANARY"));
    std::fs::write(&path, "CANARY 0123456789").unwrap();
    for flags in [
        &["--admin-key-file", path.to_str().unwrap()][..],
        &["--admin-key-file", "CANARY-0123456789"],
        &["--admin-key-file", "/dev/zero"],
        &["--admin-key", "CANARY\r\nX-Header: 1"],
        &["--url", "ws://me:CANARY@127.0.0.1:1"],
    ] {
        let error = with(flags).unwrap_err().to_string();
        assert!(!error.contains("CANARY") && error.contains(flags[0]), "{error}");
    }
    std::fs::remove_file(path).unwrap();
    for stray in [&["CANARY-0123456789"][..], &["check", "x", "CANARY-0123456789"], &["--quiet", "CANARY"]] {
        let error = Args::try_parse_from(["loadgen"].iter().chain(stray)).unwrap_err();
        let text = crate::args::without_strays(error).to_string();
        assert!(!text.contains("CANARY") && text.contains("(not shown)"), "{text}");
    }
    let error = crate::wire::admin::scrape("http://me:CANARY@127.0.0.1:1").unwrap_err();
    assert!(!error.contains("CANARY"), "{error}");
}
