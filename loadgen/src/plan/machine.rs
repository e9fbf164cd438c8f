//! A machine as a plan needs it: the cost of a send, and its resources.
//!
//! Does not know: shows, sockets.

use std::fmt;
use std::str::FromStr;

/// CPU time of a send by its size: straight lines between measured points.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(Vec<(f64, f64)>);

impl Curve {
    /// A curve through points (bytes, µs) with rising bytes; `None` if there is no point or bytes do not rise.
    pub fn new(points: Vec<(f64, f64)>) -> Option<Self> {
        let rises = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (rises && !points.is_empty()).then_some(Self(points))
    }

    /// CPU time of a send of `bytes` in µs: constant below the first point, with the slope of the last two points above
    /// the last.
    pub fn at(&self, bytes: f64) -> f64 {
        let (first, last) = (self.0[0], self.0[self.0.len() - 1]);
        if bytes <= first.0 || self.0.len() == 1 {
            return first.1;
        }
        let upper = self.0.iter().position(|point| point.0 >= bytes).unwrap_or(self.0.len() - 1);
        let (from, to) = (self.0[upper - 1], self.0[upper]);
        let slope = (to.1 - from.1) / (to.0 - from.0);
        // Noise may make the largest size look cheaper than the one before; that slope is not used.
        if bytes > last.0 { last.1 + (bytes - last.0) * slope.max(0.0) } else { from.1 + (bytes - from.0) * slope }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (bytes, us)) in self.0.iter().enumerate() {
            write!(f, "{}{bytes:.0}:{us:.2}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Curve {
    type Err = String;

    /// `512:4.4,4096:4.6`, or one number for all sizes.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("cannot read {text:?}; give µs, or BYTES:µs pairs with rising bytes, such as 512:4.4,4096:4.6");
        let number =
            |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).ok_or_else(wrong);
        let point = |pair: &str| match pair.split_once(':') {
            Some((bytes, us)) => Ok((number(bytes)?, number(us)?)),
            None if !text.contains(',') => Ok((1.0, number(pair)?)),
            None => Err(wrong()),
        };
        Self::new(text.split(',').map(point).collect::<Result<_, _>>()?).ok_or_else(wrong)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The machine's name, and the source of its figures.
    pub says: String,
    /// CPU time of one send to one socket.
    pub sends: Curve,
    /// CPU time per frame when eight frames of 512 bytes leave in one send; `None`: unknown.
    pub joined_us: Option<f64>,
    /// Kernel memory of one idle TCP socket.
    pub socket_bytes: f64,
    pub cores: f64,
    /// `None`: no bound.
    pub memory_bytes: Option<f64>,
    /// `None`: no bound.
    pub nic_bits_per_s: Option<f64>,
    /// Descriptors that a process may open.
    pub descriptors: f64,
}

/// Kernel memory of an idle TCP socket, if it was not measured: the socket, its file, its entry in a poll and the
/// caches' rounding. `--calibrate` finds 2.5 to 4 KiB on Linux 6.
pub const SOCKET_BYTES: f64 = 4_096.0;

/// Linux' default of `fs.nr_open`, to which a service's limit can be raised without further settings.
pub const DESCRIPTORS: f64 = 1_048_576.0;

/// The figures of a measured machine.
pub struct Preset {
    /// The value of `--machine`.
    pub name: &'static str,
    pub says: &'static str,
    points: &'static [(f64, f64)],
    joined_us: f64,
    cores: f64,
}

/// All presets. The points are bare sends of 512 bytes (`benches/fanout`), and the real server's time for a frame of
/// 3.8 KB without its own share. `--calibrate` on a different idle machine prints such points for it.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "vm",
        says: "2 virtual cores of a shared x86-64 host, Linux 6, quiet (docs/benchmarks.md)",
        points: &[(512.0, 4.39), (3_800.0, 4.50)],
        joined_us: 0.52,
        cores: 2.0,
    },
    Preset {
        name: "vm-busy",
        says: "the same kind of machine while its neighbours were busy: for a cautious plan",
        points: &[(512.0, 7.2)],
        joined_us: 0.86,
        cores: 2.0,
    },
];

impl Preset {
    /// The preset `name`.
    /// # Errors
    /// A sentence with the names of the presets.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            format!("--machine {name}: there is no such preset; give {}, --calibrate or --send-us", names.join(", "))
        })
    }

    pub fn machine(&self) -> Machine {
        Machine {
            says: format!("{}: {}", self.name, self.says),
            sends: Curve(self.points.to_vec()),
            joined_us: Some(self.joined_us),
            socket_bytes: SOCKET_BYTES,
            cores: self.cores,
            memory_bytes: None,
            nic_bits_per_s: None,
            descriptors: DESCRIPTORS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_points_and_on_by_its_last_slope() {
        let curve: Curve = "512:4,4096:5,16384:8".parse().unwrap();
        for (bytes, us) in [(1.0, 4.0), (512.0, 4.0), (2304.0, 4.5), (4096.0, 5.0), (16384.0, 8.0), (28672.0, 11.0)] {
            assert!((curve.at(bytes) - us).abs() < 1e-9, "{bytes}: {}", curve.at(bytes));
        }
        assert_eq!("4.4".parse::<Curve>().unwrap().at(1e6), 4.4);
        assert_eq!("512:5,4096:4".parse::<Curve>().unwrap().at(1e6), 4.0, "no size is free");
    }

    #[test]
    fn a_curve_comes_back_as_it_was_printed_and_nonsense_is_named() {
        let curve: Curve = "512:4.25,4096:5.5".parse().unwrap();
        assert_eq!(curve.to_string(), "512:4.25,4096:5.50");
        assert_eq!(curve.to_string().parse(), Ok(curve));
        for nonsense in
            ["", "x", "-1", "0", "NaN", "inf", "512:", ":4", "512:4,4096", "4096:4,512:5", "512:4,512:5", "1,2"]
        {
            let error = nonsense.parse::<Curve>().unwrap_err();
            assert!(error.contains(nonsense) && error.contains("512:4.4"), "{error}");
        }
    }

    #[test]
    fn every_preset_is_a_machine_and_an_unknown_one_says_which_there_are() {
        for preset in PRESETS {
            let machine = Preset::find(preset.name).unwrap().machine();
            assert!(Curve::new(machine.sends.0.clone()).is_some() && machine.cores >= 1.0, "{}", preset.name);
        }
        let error = Preset::find("cray").err().unwrap();
        assert!(error.contains("cray") && error.contains("vm") && error.contains("--calibrate"), "{error}");
    }
}
