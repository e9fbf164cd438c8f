use super::*;
use crate::protocol::settings::Merge;
use crate::room::tests::comment;

fn settings(budget: Option<u32>, merge: Merge) -> Arc<RoomSettings> {
    Arc::new(RoomSettings { merge, ..RoomSettings::new(budget, 100) })
}

/// Applies one log time of comments (user, text). Returns their fates.
fn say(selection: &mut Selection, at_ms: u64, settings: &Arc<RoomSettings>, said: &[(&str, &str)]) -> Vec<Fate> {
    selection.open(at_ms, settings);
    for (place, (who, what)) in said.iter().enumerate() {
        selection.comment(at_ms * 1_000 + place as u64 + 1, &comment(who, what));
    }
    let count = selection.close();
    selection.closed().rev().take(count).rev().map(|(_, note)| note.fate).collect()
}

#[test]
fn the_first_of_a_log_time_are_shown_and_the_rest_is_counted() {
    let (mut selection, settings) = (Selection::new(2), settings(None, Merge::Off));
    let fates = say(&mut selection, 1, &settings, &[("u", "x"); 5]);
    assert_eq!(fates, [Fate::Shown, Fate::Shown, Fate::Shed, Fate::Shed, Fate::Shed]);
    let told = selection.take(0);
    assert_eq!(told.events.iter().map(|event| event.offset).collect::<Vec<_>>(), [1_001, 1_002]);
    assert_eq!(told.shed, [(ShedClass::Normal, 3)].into());
    assert_eq!(selection.take(0), FrameContent::default(), "a new frame begins empty");
}

#[test]
fn equal_comments_are_one_and_grow_in_later_frames() {
    let (mut selection, settings) = (Selection::new(99), settings(Some(60), Merge::Near));
    let said =
        [("a", "还有吗"), ("b", "还有吗？"), ("c", "多少钱"), ("d", "还有吗!!"), ("b", "还有吗"), ("e", "还有吗")];
    let fates = say(&mut selection, 1, &settings, &said);
    let into = Fate::Merged { into: 1_001 };
    assert_eq!(fates, [Fate::Shown, into, Fate::Shown, into, into, into]);
    let told = selection.take(0);
    let first = told.events[0].as_comment().unwrap();
    assert_eq!((told.events.len(), first.times, first.names.len()), (2, 5, 3));
    assert_eq!(first.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["name of b", "name of d", "name of e"]);
    assert_eq!(told.merged, [(ShedClass::Normal, 4)].into());

    say(&mut selection, 101, &settings, &[("f", "还有吗"), ("g", "还有吗")]);
    let told = selection.take(1_006);
    assert_eq!(told.events.len(), 1);
    assert!(
        matches!(&told.events[0].what, What::Raise(raise) if (raise.offset, raise.by, raise.times) == (1_001, 2, 7))
    );

    let later = say(&mut selection, WINDOW_MS, &settings, &[("h", "还有吗")]);
    assert_eq!(later, [Fate::Shown], "another window begins anew");
}

#[test]
fn only_equal_texts_are_one_if_the_room_says_so() {
    let (mut selection, settings) = (Selection::new(99), settings(None, Merge::Equal));
    let fates = say(&mut selection, 1, &settings, &[("a", "666"), ("b", "6666"), ("c", "666")]);
    assert_eq!(fates, [Fate::Shown, Fate::Shown, Fate::Merged { into: 1_001 }]);
}

#[test]
fn everybodys_first_comes_before_anybodys_second() {
    let (mut selection, settings) = (Selection::new(99), settings(Some(20), Merge::Off));
    let mut said = vec![("loud", "a"); 12];
    said.extend([("b", "x"), ("c", "y"), ("d", "z")]);
    let fates = say(&mut selection, 1, &settings, &said);
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Shown).count(), 10, "half a second at once");
    assert_eq!(fates[12..], [Fate::Shown; 3]);
    let fates = say(&mut selection, 2_000, &settings, &said);
    assert_eq!(fates[12..], [Fate::Shown; 3], "and again");
}

#[test]
fn a_first_time_speaker_and_a_question_come_earlier() {
    let settings = settings(Some(2), Merge::Off);
    let one = |special: &Comment| {
        let mut selection = Selection::new(99);
        selection.open(1, &settings);
        selection.comment(1, &comment("a", "x"));
        selection.comment(2, special);
        selection.close();
        let fates: Vec<_> = selection.closed().map(|(_, note)| note.fate).collect();
        fates
    };
    assert_eq!(one(&comment("b", "y")), [Fate::Shown, Fate::Shed]);
    assert_eq!(one(&comment("b", "几点？")), [Fate::Shed, Fate::Shown]);
    assert_eq!(one(&Comment { first: true, ..comment("b", "y") }), [Fate::Shed, Fate::Shown]);
}

#[test]
fn a_loud_person_cannot_silence_a_phrase() {
    let (mut selection, settings) = (Selection::new(99), settings(Some(2), Merge::Near));
    say(&mut selection, 1, &settings, &[("loud", "1"), ("loud", "2")]);
    let fates = say(&mut selection, 1_000, &settings, &[("loud", "买它"), ("x", "来了"), ("a", "买它"), ("b", "买它")]);
    assert_eq!(fates[0], Fate::Shown, "others say it too, more than say the other");
}

#[test]
fn the_hosts_words_are_joined_but_never_swallowed() {
    let (mut selection, settings) = (Selection::new(99), settings(Some(60), Merge::Near));
    let host = |offset| {
        let mut said = comment("host", "开始了");
        said.user.role = Role::Host;
        (offset, said)
    };
    say(&mut selection, 1, &settings, &[("a", "开始了")]);
    selection.open(2, &settings);
    let (offset, said) = host(2_001);
    selection.comment(offset, &said);
    selection.close();
    assert_eq!(selection.closed().last().unwrap().1.fate, Fate::Shown);
    let told = selection.take(0);
    assert!(told.events.iter().all(|event| event.as_comment().unwrap().times == 1));
}

#[test]
fn a_deleted_comment_is_counted_and_gets_no_equal_ones() {
    let (mut selection, settings) = (Selection::new(99), settings(Some(60), Merge::Near));
    selection.open(1, &settings);
    selection.comment(1, &Comment { deleted: true, ..comment("a", "") });
    selection.comment(2, &Comment { deleted: true, ..comment("b", "") });
    selection.close();
    for rendition in Rendition::ALL {
        let told = selection.tell(rendition, 0);
        assert_eq!((told.events.len(), told.shed), (0, [(ShedClass::Normal, 2)].into()), "{rendition:?}");
    }
}

#[test]
fn a_recycled_list_never_replaces_a_begun_one() {
    let (mut selection, settings) = (Selection::new(2), settings(None, Merge::Off));
    say(&mut selection, 1, &settings, &[("u", "x")]);
    selection.recycle(Vec::with_capacity(100));
    assert_eq!(selection.take(0).events.len(), 1);
}
