//! The date of an HTTP header, for every time that a system's clock can say.
//!
//! Hyper asks for it whenever it works on a connection, even if it is told to write no `Date`. The published crate panics
//! before 1970 and after 9999, so that a machine whose clock was never set would answer no request. Only what hyper calls is
//! here.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: the format has four digits for the year.
const SECONDS_MAX: u64 = 253_402_300_799;

const SECONDS_PER_DAY: u64 = 86_400;
const DAYS_PER_ERA: u64 = 146_097;
/// From 0000-03-01, when the first era begins, to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// A time in whole seconds, from 1970 to 9999. What lies outside becomes the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    seconds: u64,
}

impl From<SystemTime> for HttpDate {
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { seconds: seconds.min(SECONDS_MAX) }
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
        let (days, second) = (self.seconds / SECONDS_PER_DAY, self.seconds % SECONDS_PER_DAY);
        // Years that begin in March have their odd day at the end; 400 of them are an era.
        let from_era = days + DAYS_BEFORE_1970;
        let (era, day) = (from_era / DAYS_PER_ERA, from_era % DAYS_PER_ERA);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        // Five months have 153 days, each time.
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let year = 400 * era + year + u64::from(month >= 10);
        write!(
            f,
            "{}, {day_of_month:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            WEEKDAYS[(days % 7) as usize],
            MONTHS[month as usize],
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(seconds: u64) -> String {
        HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    }

    #[test]
    fn known_dates_are_written_as_the_standard_does() {
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_399), "Mon, 28 Feb 2000 23:59:59 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(text(SECONDS_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..=SECONDS_MAX / SECONDS_PER_DAY {
            let expected = format!("{}, {day:02} {} {year:04} 00:00:00 GMT", DAYS[days as usize % 7], MONTHS[month]);
            assert_eq!(text(days * SECONDS_PER_DAY), expected);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month == 12 {
                (month, year) = (0, year + 1);
            }
        }
    }

    #[test]
    fn no_time_is_a_panic() {
        let times = [u64::MAX / 2, 1 << 40, SECONDS_MAX + 1, 1].map(Duration::from_secs);
        for time in times {
            if let Some(late) = UNIX_EPOCH.checked_add(time) {
                assert_eq!(HttpDate::from(late).to_string().len(), 29);
            }
            if let Some(early) = UNIX_EPOCH.checked_sub(time) {
                assert_eq!(HttpDate::from(early).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
            }
        }
    }
}
