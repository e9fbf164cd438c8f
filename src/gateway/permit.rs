//! Limits connections, in total and per address; each holds a [`Permit`] from accept to close.

use crate::config::Config;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// The counters. Cheap to clone.
#[derive(Clone)]
pub struct Permits {
    shared: Arc<PermitCounts>,
}

struct PermitCounts {
    total_max: usize,
    per_address_max: Option<usize>,
    counts: Mutex<Counts>,
}

/// Has at most one entry per connection, so `total_max` bounds it.
#[derive(Default)]
struct Counts {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The address has reached its limit.
    Address,
    /// The total limit is reached.
    Total,
}

impl Permits {
    /// The configured limits. `connections_max` is the total that the descriptors allow, if the configuration sets none.
    /// Without rate limits, one address may have the total.
    pub fn configured(config: &Config, connections_max: usize) -> Self {
        let total_max = match config.admission.connections_max {
            0 => connections_max,
            configured => configured.min(connections_max),
        };
        let per_address_max = (!config.no_rate_limits).then_some(config.admission.connections_per_address_max);
        Self::new(total_max, per_address_max)
    }

    /// At most `total_max` connections, and at most `per_address_max` of one address.
    pub fn new(total_max: usize, per_address_max: Option<usize>) -> Self {
        Self { shared: Arc::new(PermitCounts { total_max, per_address_max, counts: Mutex::default() }) }
    }

    /// Counts one connection of `address`.
    ///
    /// # Errors
    /// [`Full`] when one more would be too many.
    pub fn take(&self, address: IpAddr) -> Result<Permit, Full> {
        let holder = holder(address);
        let mut counts = self.shared.counts.lock();
        if counts.total >= self.shared.total_max {
            return Err(Full::Total);
        }
        let Counts { total, addresses } = &mut *counts;
        let held = addresses.entry(holder).or_insert(0);
        if self.shared.per_address_max.is_some_and(|max| *held >= max) {
            if *held == 0 {
                addresses.remove(&holder);
            }
            return Err(Full::Address);
        }
        *held += 1;
        *total += 1;
        Ok(Permit { shared: self.shared.clone(), holder })
    }

    /// Connections that hold a permit.
    pub fn held(&self) -> usize {
        self.shared.counts.lock().total
    }
}

/// The address that is counted. An IPv6 customer has a whole /64 and could use a different address of it for every
/// connection; an IPv4-mapped address counts as the IPv4 one.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

/// One counted connection; dropping it gives the place back.
pub struct Permit {
    shared: Arc<PermitCounts>,
    holder: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        counts.total -= 1;
        if let Some(held) = counts.addresses.get_mut(&self.holder) {
            *held -= 1;
            if *held == 0 {
                counts.addresses.remove(&self.holder);
            }
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_place_back_when_a_permit_is_dropped() {
        let permits = Permits::new(10, Some(2));
        let (first, _second) = (permits.take(ip("127.0.0.1")).unwrap(), permits.take(ip("127.0.0.1")).unwrap());
        assert_eq!(permits.take(ip("127.0.0.1")).unwrap_err(), Full::Address);
        assert!(permits.take(ip("127.0.0.2")).is_ok(), "another address is not concerned");
        drop(first);
        assert!(permits.take(ip("127.0.0.1")).is_ok());
    }

    #[test]
    fn the_total_holds_over_all_addresses() {
        let permits = Permits::new(2, None);
        let held = [permits.take(ip("127.0.0.1")).unwrap(), permits.take(ip("127.0.0.2")).unwrap()];
        assert_eq!(permits.take(ip("127.0.0.3")).unwrap_err(), Full::Total);
        drop(held);
        assert_eq!(permits.held(), 0);
        assert!(permits.shared.counts.lock().addresses.is_empty(), "nothing remembers who has gone");
    }

    #[test]
    fn the_configuration_and_the_descriptors_both_bound_the_total() {
        let config = |connections_max, no_rate_limits| {
            let mut config = Config { no_rate_limits, ..Config::default() };
            config.admission.connections_max = connections_max;
            let permits = Permits::configured(&config, 1_000);
            (permits.shared.total_max, permits.shared.per_address_max)
        };
        assert_eq!(config(0, false), (1_000, Some(200)));
        assert_eq!(config(10, true), (10, None));
        assert_eq!(config(5_000, true), (1_000, None));
    }

    #[test]
    fn another_address_of_the_same_network_or_notation_is_no_way_around() {
        let permits = Permits::new(10, Some(1));
        let _v6 = permits.take(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(permits.take(ip("2001:db8:1:2:ffff::9")).unwrap_err(), Full::Address);
        assert!(permits.take(ip("2001:db8:1:3::1")).is_ok());
        let _v4 = permits.take(ip("192.0.2.1")).unwrap();
        assert_eq!(permits.take(ip("::ffff:192.0.2.1")).unwrap_err(), Full::Address);
    }
}
