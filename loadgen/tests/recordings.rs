//! Recordings: the two real shows, and every kind of broken file, refused with its line or skipped and counted.

use loadgen::run::recording::{OnBroken, Reason, Recording, parse};
use std::collections::BTreeMap;
use std::process::Command;
use volley::protocol::event::Mode;

const GOOD: &str = r#"<d p="2.5,1,25,16777215,1400000000,0,user,1">好</d>"#;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn within(body: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<i><chatid>1</chatid>\n{GOOD}\n{body}\n{GOOD}\n</i>\n")
        .into_bytes()
}

/// The body is on line 4.
fn refused(bytes: &[u8]) -> (usize, Reason) {
    let broken = parse(bytes, OnBroken::Refuse).expect_err("accepted");
    (broken.line, broken.reason)
}

fn skipped(bytes: &[u8]) -> Recording {
    parse(bytes, OnBroken::Skip).unwrap()
}

#[test]
fn both_real_shows_are_read_whole() {
    for (name, by_mode, skipped) in [
        ("comment.xml", &[(1, 1202), (4, 110), (5, 74)][..], 0),
        ("boss.xml", &[(1, 770), (4, 117), (5, 50), (7, 63)], 63),
    ] {
        let recording = parse(&file(name), OnBroken::Refuse).unwrap();
        eprintln!("{name}: {:?}, {} replayed", recording.by_mode, recording.lines.len());
        assert_eq!(recording.by_mode, by_mode.iter().copied().collect::<BTreeMap<u8, u64>>(), "{name}");
        assert_eq!(recording.skipped_modes, skipped, "{name}");
        assert_eq!(recording.lines.len() as u64 + skipped, recording.by_mode.values().sum::<u64>(), "{name}");
        assert!(recording.lines.is_sorted_by_key(|line| line.at_ms), "{name} is by time");
        assert!(recording.broken.is_empty() && recording.lines.iter().all(|line| !line.text.is_empty()));
    }
}

#[test]
fn an_entry_is_read_as_it_was_said() {
    let body = r#"<d p="1.0004,5,18,255,1,0,u,2,9" extra="x">a &lt;b&gt; &amp;amp; &#x4e2d;&#25991; &quot;&apos;<![CDATA[<raw>]]></d>
<d p="0,6,36,0,1,0,u,3">r</d><d p="3,4,25,1,1,0,u,4"/><d p="4,8,25,1,1,0,u,5">script</d><d p="5,1,200,1,1,0,u,6">big</d>"#;
    let recording = parse(&within(body), OnBroken::Refuse).unwrap();
    let line = |text: &str| recording.lines.iter().find(|l| l.text == text).unwrap_or_else(|| panic!("no {text}"));
    let said = line(r#"a <b> &amp; 中文 "'<raw>"#);
    assert_eq!((said.at_ms, said.mode, said.size, said.color), (1_000, Mode::Top, 18, 255));
    assert_eq!((recording.lines[0].text.as_str(), recording.lines[0].mode), ("r", Mode::Reverse), "sorted by time");
    assert_eq!((line("").mode, recording.empty, recording.skipped_modes), (Mode::Bottom, 1, 1));
    assert_eq!((line("big").size, recording.sizes_clamped), (64, 1));
}

/// The texts of a file from that server, in order.
fn texts(server: &str, said: &[&str]) -> Vec<String> {
    let entry = |(n, text): (usize, &&str)| format!("<d p=\"{n},1,25,16777215,1,0,u,2\">{text}</d>");
    let entries: String = said.iter().enumerate().map(entry).collect();
    let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><i>{server}<chatid>1</chatid>{entries}</i>");
    parse(xml.as_bytes(), OnBroken::Refuse).unwrap().lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn a_break_that_an_old_recording_spells_is_a_break() {
    let said = [
        "一/n二",
        "谢谢/n",
        "a\\nb",
        "<![CDATA[一/n]]>二",
        "&#47;n",
        "http://x/news",
        "see example.org/new/n",
        "plain",
    ];
    let shown = ["一\n二", "谢谢\n", "a\nb", "一\n二", "\n", "http://x/news", "see example.org/new/n", "plain"];
    for server in ["<chatserver>chat.bilibili.tv</chatserver>", "", "<chatserver/>", "<other>volley</other>"] {
        assert_eq!(texts(server, &said), shown, "{server}");
    }
    let show = parse(&file("comment.xml"), OnBroken::Refuse).unwrap();
    assert!(!show.lines.iter().any(|line| line.text.contains("/n")));
    assert_eq!(show.lines.iter().filter(|line| line.text.contains('\n')).count(), 51);
    assert_eq!((show.empty, show.too_long), (0, 0));
}

#[test]
fn a_file_that_volley_wrote_spells_no_breaks() {
    let said = ["and/nor", "w/n", "http://x/news", "/n", "C:\\new", "\\n"];
    assert_eq!(texts("<chatserver>volley</chatserver>", &said), said);
    assert_eq!(texts("<source>k-v</source><chatserver> volley\n</chatserver>", &said), said);
    assert_eq!(texts("<chatserver>volley.example.org</chatserver>", &["and/nor"]), ["and\nor"]);
    assert_eq!(texts("<chatserver>chat.bilibili.com</chatserver><chatserver>volley</chatserver>", &["a/n"]), ["a\n"]);
}

#[test]
fn long_texts_are_counted_as_the_server_refuses_them() {
    let long = |n: usize| format!(r#"<d p="1,1,25,1,1,0,u,2">{}</d>"#, "字".repeat(n));
    assert_eq!(parse(&within(&long(512)), OnBroken::Refuse).unwrap().too_long, 0);
    assert_eq!(parse(&within(&long(513)), OnBroken::Refuse).unwrap().too_long, 1);
}

#[test]
fn each_broken_entry_is_refused_with_its_line_or_skipped() {
    let p = |p: &str| format!("<d p=\"{p}\">x</d>");
    let text = |text: &str| format!("<d p=\"1,1,25,1,1,0,u,2\">{text}</d>");
    for (body, reason) in [
        (p("1,1,25,1,1,0,u"), Reason::TooFewFields),
        (p(""), Reason::TooFewFields),
        (p("NaN,1,25,1,1,0,u,2"), Reason::Time),
        (p("-0.5,1,25,1,1,0,u,2"), Reason::Time),
        (p("inf,1,25,1,1,0,u,2"), Reason::Time),
        (p("1e300,1,25,1,1,0,u,2"), Reason::Time),
        (p("soon,1,25,1,1,0,u,2"), Reason::Time),
        (p("1,scroll,25,1,1,0,u,2"), Reason::ModeNumber),
        (p("1,1,0,1,1,0,u,2"), Reason::Size),
        (p("1,1,1000,1,1,0,u,2"), Reason::Size),
        (p("1,1,25,-1,1,0,u,2"), Reason::Color),
        (p("1,1,25,16777216,1,0,u,2"), Reason::Color),
        (p("1,1,25,1,yesterday,0,u,2"), Reason::Date),
        (p("1,1,25,1,1,x,u,2"), Reason::Pool),
        (p("1,1,25,1,1,0,,2"), Reason::Identity),
        ("<d>x</d>".into(), Reason::Attributes),
        ("<d q=\"1\">x</d>".into(), Reason::Attributes),
        ("<d p='1,1,25,1,1,0,u,2' p='1,1,25,1,1,0,u,2'>x</d>".into(), Reason::Attributes),
        ("<d p=1,1,25,1,1,0,u,2>x</d>".into(), Reason::Attributes),
        (text("a <b>bold</b> c"), Reason::Markup),
        (text("<script>alert(1)</script>"), Reason::Markup),
        (text("<!-- no -->"), Reason::Markup),
        (text("<br/>"), Reason::Markup),
        (text("&nbsp;"), Reason::BadEntity),
        (text("fish & chips"), Reason::BadEntity),
        (text("&#0;"), Reason::BadEntity),
        (text("&#x1F;"), Reason::BadEntity),
        (text("&#xD800;"), Reason::BadEntity),
        ("<d p=\"1,1,25,1,1,0,u,2\">never closed".into(), Reason::Unclosed),
        ("</d>".into(), Reason::StrayEnd),
        ("<!DOCTYPE i [<!ENTITY a \"aaaa\">]>".into(), Reason::Doctype),
        ("<d p=\"1,1,25,1,1,0,u,2>no quote</d>".into(), Reason::Syntax),
        ("<d p=\"1,1,25,1,1,0,u,2\"".into(), Reason::Syntax),
    ] {
        let bytes = within(&body);
        assert_eq!(refused(&bytes), (4, reason), "{body}");
        let recording = skipped(&bytes);
        assert_eq!(recording.broken, BTreeMap::from([(reason, 1)]), "{body}");
        assert_eq!(recording.lines.len(), 2, "{body}: its neighbours are whole");
    }
}

#[test]
fn bytes_that_are_not_utf_8_break_only_their_entry() {
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xff", b"\xe4\xb8"] {
        let mut bytes = within("@");
        let at = bytes.iter().position(|b| *b == b'@').unwrap();
        let mut entry = b"<d p=\"1,1,25,1,1,0,u,2\">".to_vec();
        entry.extend_from_slice(bad);
        entry.extend_from_slice(b"</d>");
        bytes.splice(at..=at, entry);
        assert_eq!(refused(&bytes), (4, Reason::InvalidUtf8));
        let recording = skipped(&bytes);
        assert_eq!((recording.lines.len(), recording.broken.values().sum::<u64>()), (2, 1));
    }
}

#[test]
fn an_entity_bomb_is_never_expanded() {
    let mut bomb = String::from("<?xml version=\"1.0\"?>\n<!DOCTYPE i [\n<!ENTITY a \"0123456789\">\n");
    for (name, of) in ('b'..='j').zip('a'..) {
        bomb.push_str(&format!("<!ENTITY {name} \"{}\">\n", format!("&{of};").repeat(10)));
    }
    bomb.push_str(&format!("]>\n<i>\n{GOOD}\n<d p=\"1,1,25,1,1,0,u,2\">&j;</d>\n</i>"));
    assert_eq!(refused(bomb.as_bytes()).1, Reason::Doctype);
    let recording = skipped(bomb.as_bytes());
    assert_eq!(recording.broken, BTreeMap::from([(Reason::Doctype, 1), (Reason::BadEntity, 1)]));
    assert_eq!(recording.lines.len(), 1);
}

#[test]
fn a_file_that_is_not_a_recording_is_refused_with_every_flag() {
    for (bytes, reason) in [
        (&b""[..], Reason::NotARecording),
        (b"hello", Reason::NotARecording),
        (b"{\"a\":1}", Reason::NotARecording),
        (b"<html><d p=\"1,1,25,1,1,0,u,2\">x</d></html>", Reason::NotARecording),
        (b"<i></i>", Reason::NoEntries),
    ] {
        for on_broken in [OnBroken::Refuse, OnBroken::Skip] {
            assert_eq!(parse(bytes, on_broken).unwrap_err().reason, reason, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused_and_its_whole_entries_can_be_had() {
    let whole = file("comment.xml");
    let cut = &whole[..whole.len() / 2];
    let broken = parse(cut, OnBroken::Refuse).unwrap_err();
    assert!(broken.line > 500, "{broken}");
    let recording = skipped(cut);
    assert!(
        recording.lines.len() > 500 && recording.broken.contains_key(&Reason::UnclosedRoot),
        "{:?}",
        recording.broken
    );
    // Cut at any byte: no panic, and never more comments than there are.
    for end in (0..whole.len()).step_by(997) {
        let recording = parse(&whole[..end], OnBroken::Skip);
        assert!(recording.is_ok_and(|r| r.lines.len() <= 1_386) || end < 300, "cut at {end}");
    }
}

#[test]
fn a_broken_recording_ends_the_program_with_65_and_the_line() {
    let path = std::env::temp_dir().join(format!("loadgen-broken-{}.xml", std::process::id()));
    std::fs::write(&path, within("<d p=\"NaN,1,25,1,1,0,u,2\">x</d>")).unwrap();
    let run = |flags: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_loadgen")).arg("--replay").arg(&path).args(flags).output().unwrap()
    };
    let refused = run(&[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(65), "{said}");
    assert!(said.contains("line 4") && said.contains("time") && said.contains("--broken skip"), "{said}");
    // With skipped entries, the program connects to the server, and no server listens on port 1.
    let skipped = run(&["--broken", "skip", "--url", "ws://127.0.0.1:1"]);
    let said = String::from_utf8(skipped.stderr).unwrap();
    assert_eq!(skipped.status.code(), Some(1), "{said}");
    assert!(said.contains("Start the server with") && said.contains("cargo run --release"), "{said}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_wrong_flag_ends_the_program_with_64() {
    for flags in [&["--bogus"][..], &["--viewers", "0"], &["--url", "wss://127.0.0.1"], &["--stall", "200%"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags:?}");
    }
}
