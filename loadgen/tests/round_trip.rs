//! The log is the recording: a replayed and exported show has the same comments, with their styles and times. They are
//! read by loadgen's own reader and by an independent one.

use loadgen::run::messages::RecordedComment;
use loadgen::run::recording::{OnBroken, parse};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use volley::app::Node;
use volley::config::{Addresses, Config, Data};
use volley::policy::text::{TextLimits, normalise};
use volley::protocol::event::Mode;

fn server() -> Node {
    let mut config = Config {
        addresses: Addresses {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Addresses::default()
        },
        drain_ms: 500,
        no_rate_limits: true,
        tick_ms: 20,
        // A new folder, because a fixed one would have the last run's show.
        data: Data::Memory,
        ..Config::default()
    };
    config.admission.connections_max = 1_000;
    Node::start(config).expect("starts")
}

/// The body of a chunked answer, which must be whole.
fn export(address: SocketAddr, room: &str, format: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("GET /v1/rooms/{room}/export?format={format} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let mut rest = &bytes[bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4..];
    let mut whole = Vec::new();
    loop {
        let at = rest.windows(2).position(|end| end == b"\r\n").expect("a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if length == 0 {
            return String::from_utf8(whole).unwrap();
        }
        whole.extend_from_slice(&rest[at + 2..at + 2 + length]);
        rest = &rest[at + 4 + length..];
    }
}

/// The style and text of a comment.
type Said = (u64, &'static str, u32, u8, String);

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Scroll => "1",
        Mode::Bottom => "4",
        Mode::Top => "5",
        Mode::Reverse => "6",
    }
}

fn of(line: &RecordedComment) -> Said {
    (line.at_ms, name(line.mode), line.color, line.size, line.text.clone())
}

/// A second reader of the format without an XML library, for files of Volley only.
fn read_plainly(xml: &str) -> Vec<Said> {
    let body = xml.strip_suffix("</i>\n").expect("closed");
    let entries = body.split("<d p=\"").skip(1);
    let mut all: Vec<Said> = entries
        .map(|entry| {
            let (p, rest) = entry.split_once("\">").expect("an attribute");
            let text = rest.strip_suffix("</d>\n").expect("a closed entry");
            assert!(!text.contains(['<', '>']), "markup in {text}");
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            let fields: Vec<&str> = p.split(',').collect();
            assert_eq!(fields.len(), 8, "{p}");
            let (seconds, thousandths) = fields[0].split_once('.').expect("a fraction");
            assert_eq!((thousandths.len(), fields[6].len()), (3, 8), "{p}");
            let at_ms = seconds.parse::<u64>().unwrap() * 1_000 + thousandths.parse::<u64>().unwrap();
            let mode = ["1", "4", "5", "6"].into_iter().find(|mode| *mode == fields[1]).expect("a mode");
            (at_ms, mode, fields[3].parse().unwrap(), fields[2].parse().unwrap(), text)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_viewer_s_own_slash_and_n_survive_the_way_there_and_back() {
    let node = server();
    let address = node.public_address();
    let said = ["and/nor", "km/n", "http://x/news", "C:\\new", "שלום/nעולם (50 ₪)!"];
    let entry = |(n, text): (usize, &&str)| format!("<d p=\"0.{n},1,25,16777215,1,0,u,2\">{text}</d>\n");
    let entries: String = said.iter().enumerate().map(entry).collect();
    let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><i><chatserver>volley</chatserver>\n{entries}</i>\n");
    let path = std::env::temp_dir().join(format!("loadgen-slashes-{}.xml", std::process::id()));
    std::fs::write(&path, xml).unwrap();
    let replay = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--url", &format!("ws://{address}"), "--room", "slashes", "--replay"])
        .arg(&path)
        .args(["--viewers", "2", "--likes", "1", "--warmup", "0.2", "--quiet"])
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let exported = parse(export(address, "slashes", "bilibili-xml").as_bytes(), OnBroken::Refuse).unwrap();
    let mut came: Vec<&str> = exported.lines.iter().map(|line| line.text.as_str()).collect();
    came.sort_unstable();
    let mut expected = said;
    expected.sort_unstable();
    assert_eq!(came, expected);
    assert_eq!(node.drain(), 0);
}

#[test]
fn a_show_that_was_replayed_is_exported_as_it_was() {
    let node = server();
    let address = node.public_address();
    for recording in ["comment", "boss"] {
        let path = format!("{}/../tests/data/{recording}.xml", env!("CARGO_MANIFEST_DIR"));
        let original = parse(&std::fs::read(&path).unwrap(), OnBroken::Refuse).unwrap();
        // The server's normalisation is documented; a text that is empty after it is refused.
        let limits = TextLimits { chars_max: 512, bytes_max: 2_048 };
        let shown = |(at_ms, mode, color, size, text): Said| {
            Some((at_ms, mode, color, size, normalise(&text, &limits).ok()?.into_owned()))
        };
        let mut said: Vec<Said> = original.lines.iter().map(of).filter_map(shown).collect();
        said.sort();
        assert!(said.len() > 900, "{recording}: {}", said.len());

        let replay = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["--url", &format!("ws://{address}"), "--room", recording, "--replay", &path])
            .args(["--viewers", "20", "--likes", "50", "--speed", "200", "--warmup", "0.2", "--quiet"])
            .output()
            .unwrap();
        assert!(replay.status.success(), "{recording}: {}", String::from_utf8_lossy(&replay.stderr));

        let xml = export(address, recording, "bilibili-xml");
        let exported = parse(xml.as_bytes(), OnBroken::Refuse).unwrap();
        let mut came: Vec<Said> = exported.lines.iter().map(of).collect();
        came.sort();
        assert_eq!(came.len(), said.len(), "{recording}");
        for (came, said) in came.iter().zip(&said) {
            assert_eq!(came, said, "{recording}");
        }
        assert_eq!(read_plainly(&xml), said, "{recording}: two readers read one file");

        // The other formats have as many.
        let lines = export(address, recording, "jsonl");
        assert_eq!(lines.lines().filter(|line| line.contains("\"comment\":{")).count(), said.len(), "{recording}");
        let ass = export(address, recording, "ass");
        assert_eq!(ass.lines().filter(|line| line.starts_with("Dialogue: ")).count(), said.len(), "{recording}");
    }
    assert_eq!(node.drain(), 0);
}
