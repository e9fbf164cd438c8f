//! The board that a newcomer sees, built from the log alone.

use super::*;
use crate::protocol::ids::{Hex64, Offset};
use crate::protocol::kind::{Ballot, Level, PollClose, Post, Unpin, Votes};
use crate::protocol::settings::SettingsPatch;
use proptest::prelude::*;

/// A board and its log.
struct Show {
    board: Board,
    last: Offset,
    now_ms: u64,
}

fn settings() -> RoomSettings {
    RoomSettings::new(Some(60), 100)
}

fn id(text: &str) -> ClientId {
    ClientId::new(text).unwrap()
}

impl Show {
    fn new() -> Self {
        Self { board: Board::new(settings()), last: 0, now_ms: 1_000 }
    }

    fn event(&mut self, event: Event) {
        self.last += 1;
        self.board.apply(&Record { offset: self.last, at_ms: self.now_ms, digest: Hex64(0), event });
    }

    fn post(&mut self, kind: Kind) {
        self.event(Event::Post(Box::new(Post { key: None, kind })));
    }

    fn open(&mut self, poll: &str) {
        self.post(Kind::Poll(Poll { id: id(poll), question: "?".into(), options: vec!["a".into(), "b".into()] }));
    }

    fn vote(&mut self, poll: &str, user: &str, option: u8) {
        self.event(Event::Votes(Votes { poll: id(poll), ballots: vec![Ballot { user: user.into(), option }] }));
    }

    fn close(&mut self, poll: &str) {
        self.post(Kind::PollClose(PollClose { id: id(poll) }));
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.board.fill(&mut snapshot, self.now_ms);
        snapshot
    }

    fn told(&mut self) -> Vec<(String, Vec<u64>, bool)> {
        assert_eq!(self.board.has_moved(), !self.board.clone().take_tallies().is_empty());
        let tallies = self.board.take_tallies();
        tallies.into_iter().map(|tally| (tally.id.as_str().to_owned(), tally.votes, tally.open)).collect()
    }
}

fn pin(text: &str) -> Kind {
    Kind::Pin(Pin { text: text.into(), user: None })
}

fn custom(name: &str, n: u64, sticky: bool) -> Kind {
    Kind::Custom(Custom { name: name.into(), data: serde_json::json!(n).into(), sticky })
}

fn announcement(text: &str, until: Option<u64>) -> Kind {
    Kind::Announcement(Announcement { text: text.into(), level: Level::Info, until })
}

#[test]
fn the_last_pin_stands_until_it_is_taken_down() {
    let mut show = Show::new();
    assert_eq!(show.snapshot().pinned, None);
    show.post(pin("one"));
    show.post(pin("two"));
    assert_eq!(&*show.snapshot().pinned.unwrap().text, "two");
    show.post(Kind::Unpin(Unpin {}));
    assert_eq!(show.snapshot().pinned, None);
}

#[test]
fn of_each_sticky_type_the_newest_stands_and_types_are_bounded() {
    let mut show = Show::new();
    show.post(custom("shop.product", 1, true));
    show.post(custom("shop.coupon", 2, true));
    show.post(custom("shop.product", 3, true));
    show.post(custom("shop.order", 4, false));
    let seen = |show: &Show| show.snapshot().sticky.iter().map(|c| c.data.as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(seen(&show), [2, 3]);
    for n in 0..STICKY_MAX as u64 - 1 {
        show.post(custom(&format!("many.{n}"), 100 + n, true));
    }
    assert_eq!((seen(&show).len(), seen(&show)[0]), (STICKY_MAX, 3), "the coupon's newest was the oldest");
}

#[test]
fn announcements_stand_until_their_time_is_over_and_are_bounded() {
    let mut show = Show::new();
    show.post(announcement("at once", None));
    show.post(announcement("over already", Some(show.now_ms)));
    for n in 0..12 {
        show.post(announcement(&n.to_string(), Some(2_000 + n)));
    }
    let seen = |show: &Show| show.snapshot().announcements.iter().map(|a| a.text.to_string()).collect::<Vec<_>>();
    assert_eq!(seen(&show), ["4", "5", "6", "7", "8", "9", "10", "11"]);
    show.now_ms = 2_009;
    show.event(Event::Likes { add: 1 });
    assert_eq!(seen(&show), ["10", "11"], "the time passes");
}

#[test]
fn settings_in_the_snapshot_are_those_to_come() {
    let mut show = Show::new();
    show.post(Kind::Settings(SettingsPatch { slow_ms: Some(5_000), ..SettingsPatch::default() }));
    assert_eq!(show.snapshot().settings.unwrap().slow_ms, 5_000);
    assert_eq!(show.board.timeline().at(show.now_ms).slow_ms, 0, "not yet in this log time");
    assert_eq!(show.board.timeline().at(show.now_ms + 1).slow_ms, 5_000);
}

#[test]
fn a_poll_counts_each_users_first_vote_while_it_is_open() {
    let mut show = Show::new();
    show.vote("p1", "early", 0);
    show.open("p1");
    for (user, option) in [("a", 0), ("b", 1), ("a", 1), ("c", 1), ("d", 7)] {
        show.vote("p1", user, option);
    }
    show.vote("p2", "e", 0);
    let snapshot = show.snapshot();
    assert_eq!(snapshot.poll.unwrap().id, id("p1"));
    assert_eq!(snapshot.tally.unwrap(), Tally { id: id("p1"), votes: vec![1, 2], open: true });
    assert_eq!((show.board.voted("a"), show.board.voted("early")), (Voted::At(3), Voted::New));
    show.close("p2");
    assert!(show.board.has_open_poll(), "the close of a different poll");
    show.close("p1");
    assert!(show.board.open_poll(&id("p1")).is_none());
    show.vote("p1", "late", 0);
    assert_eq!(show.told(), [("p1".to_owned(), vec![1, 2], false)]);
    assert!(show.snapshot().poll.is_none());
}

#[test]
fn tallies_are_told_when_they_moved_and_only_then() {
    let mut show = Show::new();
    assert!(show.told().is_empty());
    show.open("p1");
    assert_eq!(show.told(), [("p1".to_owned(), vec![0, 0], true)]);
    show.event(Event::Likes { add: 1 });
    assert!(show.told().is_empty());
    show.vote("p1", "a", 0);
    show.vote("p1", "a", 0);
    assert_eq!(show.told(), [("p1".to_owned(), vec![1, 0], true)]);
    show.vote("p1", "a", 1);
    assert!(show.told().is_empty(), "a second vote moves nothing");
    show.vote("p1", "b", 1);
    show.open("p2");
    assert_eq!(show.told(), [("p1".to_owned(), vec![1, 1], false), ("p2".to_owned(), vec![0, 0], true)]);
}

#[test]
fn opening_another_poll_closes_the_first() {
    let mut show = Show::new();
    show.open("p");
    show.vote("p", "a", 0);
    show.open("p");
    assert_eq!(show.board.voted("a"), Voted::New, "a new poll, a new vote");
    assert_eq!(show.snapshot().tally.unwrap().votes, [0, 0]);
}

#[test]
fn a_polls_id_is_known_when_the_poll_is_over_also_from_the_base_of_an_earlier_version() {
    let mut show = Show::new();
    (0..ENDED_MAX + 9).for_each(|n| show.open(&format!("p{n}")));
    show.close(&format!("p{}", ENDED_MAX + 8));
    let had = |board: &Board, n: usize| board.had_poll(&id(&format!("p{n}")));
    let all = 0..ENDED_MAX + 9;
    assert!(all.clone().all(|n| had(&show.board, n)) && !had(&show.board, ENDED_MAX + 9));
    let mut json = serde_json::to_value(show.board.save()).unwrap();
    let restore = |json: &serde_json::Value| Board::restore(settings(), serde_json::from_value(json.clone()).unwrap());
    assert!(all.clone().all(|n| had(&restore(&json), n)), "a base keeps them");
    json.as_object_mut().unwrap().remove("used_polls").unwrap();
    assert!(all.skip(9).all(|n| had(&restore(&json), n)), "of those whose tallies are kept, the ids are known too");
}

#[test]
fn a_forgotten_poll_ends_by_itself_before_what_comes_then() {
    let mut show = Show::new();
    show.open("p");
    show.now_ms += OPEN_MS_MAX - 1;
    show.vote("p", "a", 0);
    assert!(show.board.has_open_poll());
    show.now_ms += 1;
    show.vote("p", "b", 0);
    assert!(!show.board.has_open_poll());
    assert_eq!(show.told(), [("p".to_owned(), vec![1, 0], false)]);
}

/// Any event for a board, from a number and a time.
fn happen(show: &mut Show, what: u8, n: u64) {
    match what {
        0 => show.post(pin(&n.to_string())),
        1 => show.post(Kind::Unpin(Unpin {})),
        2 => show.post(custom(&format!("t.{}", n % 20), n, !n.is_multiple_of(3))),
        3 => show.post(announcement(&n.to_string(), (!n.is_multiple_of(4)).then_some(show.now_ms + n * 7))),
        4 => show.post(Kind::Settings(SettingsPatch { budget: Some(n as u32), ..SettingsPatch::default() })),
        5 => show.open(&format!("p{}", n % 2)),
        6 => show.close(&format!("p{}", n % 2)),
        _ => show.vote(&format!("p{}", n % 2), &format!("u{}", n % 9), (n % 3) as u8),
    }
}

proptest! {
    /// A base may be taken wherever no poll is open. A board restored from it is equal to one that read everything.
    #[test]
    fn a_board_restored_from_any_base_equals_one_that_read_everything(
        events in prop::collection::vec((0_u8..10, 0_u64..60, 0_u64..50), 1..80)
    ) {
        let mut whole = Show::new();
        let mut from_bases = Show::new();
        for (what, n, later_ms) in events {
            for show in [&mut whole, &mut from_bases] {
                show.now_ms += later_ms;
                happen(show, what, n);
                show.board.take_tallies();
                show.board.take_dropped();
            }
            if !from_bases.board.has_open_poll() {
                let json = serde_json::to_vec(&from_bases.board.save()).unwrap();
                from_bases.board = Board::restore(settings(), serde_json::from_slice(&json).unwrap());
            }
            prop_assert_eq!(&whole.board, &from_bases.board);
            prop_assert_eq!(whole.snapshot(), from_bases.snapshot());
        }
    }
}

#[test]
fn the_largest_board_fits_into_a_base() {
    let mut show = Show::new();
    let long = "长".repeat(512);
    let user = crate::protocol::user::User {
        id: "u".repeat(128).into(),
        name: "名".repeat(64).into(),
        role: Default::default(),
    };
    for n in 0..USED_POLLS_MAX {
        show.open(&n.to_string());
    }
    show.close(&(USED_POLLS_MAX - 1).to_string());
    show.board.take_dropped();
    for n in 0..200_u64 {
        show.now_ms += 1;
        let words = (0..32).map(|_| "词".repeat(32).into()).collect();
        show.post(Kind::Settings(SettingsPatch { words: Some(words), ..SettingsPatch::default() }));
        show.post(Kind::Pin(Pin { text: long.as_str().into(), user: Some(user.clone()) }));
        show.post(announcement(&long, Some(u64::MAX)));
        let data = serde_json::json!("\u{1}".repeat(170)).into(); // Six bytes of JSON each.
        show.post(Kind::Custom(Custom { name: format!("{:0>60}.{n}", 0).into(), data, sticky: true }));
        let poll = id(&format!("{n:\"<64}")); // Each quote is two bytes of JSON.
        let options = vec!["a".into(); 10];
        show.post(Kind::Poll(Poll { id: poll.clone(), question: "?".into(), options }));
        show.post(Kind::PollClose(PollClose { id: poll }));
    }
    let standing = (STICKY_MAX + ANNOUNCEMENTS_MAX + ENDED_MAX) as u64;
    let Dropped { announcements, sticky, tallies } = show.board.take_dropped();
    assert_eq!(announcements + sticky + tallies + standing, 3 * 200 + ENDED_MAX as u64, "what went is counted");
    assert_eq!(show.board.take_dropped(), Dropped::default());
    let bytes = serde_json::to_vec(&show.board.save()).unwrap().len();
    assert!(bytes + 1_024 <= crate::limits::BASE_BYTES_MAX, "{bytes} bytes");
    assert!(bytes * 2 > crate::limits::BASE_BYTES_MAX, "the bound is much larger than needed: {bytes} bytes");
}
