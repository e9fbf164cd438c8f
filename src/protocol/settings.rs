//! A room's settings: what its owner changes while the show runs. Each change is an event of the log.

use super::user::Role;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How alike comments have to be to become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    Off,
    Equal,
    /// Texts with one skeleton: width, case, repetitions, punctuation and trailing emoji do not count.
    #[default]
    Near,
}

/// How much an event matters. The guaranteed ones are never shed, merged or starved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Guaranteed,
    Normal,
    /// Shown when there is room.
    Low,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    Comment,
    Like,
    Vote,
}

/// Events whose class a room may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classed {
    Guest,
    /// Comments of people with an account.
    Viewer,
    /// Comments of the show's special guests.
    Vip,
    Moderator,
    Host,
    Gift,
    Custom,
    Enter,
}

impl From<Role> for Classed {
    fn from(role: Role) -> Self {
        match role {
            Role::Guest => Self::Guest,
            Role::Viewer => Self::Viewer,
            Role::Vip => Self::Vip,
            Role::Moderator => Self::Moderator,
            Role::Host => Self::Host,
        }
    }
}

impl Classed {
    /// The class that it has unless the room says otherwise.
    pub const fn default_class(self) -> Class {
        match self {
            Self::Guest | Self::Viewer | Self::Vip => Class::Normal,
            Self::Moderator | Self::Host | Self::Gift | Self::Custom => Class::Guaranteed,
            Self::Enter => Class::Low,
        }
    }
}

/// A room's settings in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSettings {
    /// Comments shown a second, 1 to 1,000; `None`: all of them.
    pub budget: Option<u32>,
    /// The tick in milliseconds, 5 to 2,000.
    pub tick_ms: u64,
    /// Milliseconds between two comments of one user, up to an hour; 0: no slow mode. Not for VIPs and above.
    pub slow_ms: u64,
    pub merge: Merge,
    pub allowed: BTreeSet<Allowed>,
    /// Characters of a comment, 1 to 512.
    pub text_max: u16,
    /// Only moderators and the host may comment.
    pub mute_all: bool,
    /// Classes that differ from [`Classed::default_class`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Classed, Class>,
    /// How many more comments of theirs count as if they were none, for a question: 0 to 10.
    #[serde(default)]
    pub question_bonus: u8,
    /// The same for a comment with one of `words`.
    #[serde(default)]
    pub word_bonus: u8,
    /// Up to 32 words of up to 32 characters: product names and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Arc<str>>,
}

impl RoomSettings {
    /// What a room begins with: `budget` and `tick_ms` are the configuration's.
    pub fn new(budget: Option<u32>, tick_ms: u64) -> Self {
        Self {
            budget,
            tick_ms,
            slow_ms: 0,
            merge: Merge::default(),
            allowed: BTreeSet::from([Allowed::Comment, Allowed::Like, Allowed::Vote]),
            text_max: 512,
            mute_all: false,
            classes: BTreeMap::new(),
            question_bonus: 2,
            word_bonus: 2,
            words: Vec::new(),
        }
    }

    /// Every comment is shown by itself: for measurements.
    pub fn unlimited(tick_ms: u64) -> Self {
        Self { merge: Merge::Off, ..Self::new(None, tick_ms) }
    }

    /// The class of such an event in this room.
    pub fn class(&self, of: Classed) -> Class {
        self.classes.get(&of).copied().unwrap_or(of.default_class())
    }

    /// Takes over what `patch` says.
    pub fn change(&mut self, patch: &SettingsPatch) {
        let patch = patch.clone();
        if let Some(budget) = patch.budget {
            self.budget = (budget > 0).then_some(budget);
        }
        self.tick_ms = patch.tick_ms.unwrap_or(self.tick_ms);
        self.slow_ms = patch.slow_ms.unwrap_or(self.slow_ms);
        self.merge = patch.merge.unwrap_or(self.merge);
        self.text_max = patch.text_max.unwrap_or(self.text_max);
        self.mute_all = patch.mute_all.unwrap_or(self.mute_all);
        self.question_bonus = patch.question_bonus.unwrap_or(self.question_bonus);
        self.word_bonus = patch.word_bonus.unwrap_or(self.word_bonus);
        if let Some(allowed) = patch.allowed {
            self.allowed = allowed;
        }
        if let Some(words) = patch.words {
            self.words = words;
        }
        self.classes.extend(patch.classes);
    }
}

/// A change of settings: what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    /// See [`RoomSettings::budget`]; 0: all comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<BTreeSet<Allowed>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_max: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute_all: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Classed, Class>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question_bonus: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_bonus: Option<u8>,
    /// See [`RoomSettings::words`]; replaces the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Arc<str>>>,
}
