//! Strings as small numbers, and a fast hash for numbers.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with small numbers as keys.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// A hash for keys made of small numbers: multiply and fold, the way Fibonacci hashing does. No attacker chooses
/// offsets and numbers of strings, so the hash needs no secret.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name(u32);

impl Name {
    pub const NONE: Self = Self(0);
}

#[derive(Debug)]
pub struct Names {
    numbers: HashMap<Box<str>, Name>,
    texts: Vec<Box<str>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { numbers: HashMap::new(), texts: vec!["-".into()] }
    }
}

impl Names {
    /// The number of `text`.
    pub fn put(&mut self, text: &str) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        let name = Name(u32::try_from(self.texts.len()).expect("fewer than 2^32 strings fit into memory"));
        self.numbers.insert(text.into(), name);
        self.texts.push(text.into());
        name
    }

    /// The number of a string that may be absent.
    pub fn put_some(&mut self, text: Option<&str>) -> Name {
        text.map_or(Name::NONE, |text| self.put(text))
    }

    pub fn get(&self, name: Name) -> &str {
        &self.texts[name.0 as usize]
    }
}

/// A time in seconds, for messages.
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0 as f64 / 1e9)
    }
}
