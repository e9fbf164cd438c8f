//! Random numbers of a run from one seed, which the report names.

/// SplitMix64 (Steele, Lea, Flood 2014): small, quick, and good enough to choose moments and victims.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `from..to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// A guest's key: 32 hexadecimal digits.
    pub fn key(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_and_they_stay_in_their_range() {
        let draw = |seed| (0..100).map(move |_| Dice::new(seed).between(5, 9)).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        let mut dice = Dice::new(1);
        let all: Vec<u64> = (0..1_000).map(|_| dice.between(5, 9)).collect();
        assert!((5..9).all(|n| all.contains(&n)) && all.iter().all(|n| (5..9).contains(n)));
        assert_eq!((dice.below(0), dice.between(3, 3)), (0, 3));
    }
}
