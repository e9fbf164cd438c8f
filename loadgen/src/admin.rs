//! The server's own figures: one scrape of its metrics page.
//!
//! Does not know: which metrics exist; whoever asks picks by name.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Counters by name, summed over their labels.
pub type Scrape = BTreeMap<String, f64>;

/// Largest metrics page that is read.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// Reads `http://HOST:PORT/metrics` (a path in `url` is ignored).
///
/// # Errors
/// A sentence for people.
pub fn scrape(url: &str) -> Result<Scrape, String> {
    let host = url.strip_prefix("http://").unwrap_or(url).split('/').next().unwrap_or_default();
    let fail =
        |what: String| format!("cannot read http://{host}/metrics: {what}. Is --admin the server's admin address?");
    let address =
        host.to_socket_addrs().map_err(|e| fail(e.to_string()))?.next().ok_or_else(|| fail("no address".into()))?;
    let timeout = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&address, timeout).map_err(|e| fail(e.to_string()))?;
    let page = (|| {
        stream.set_read_timeout(Some(timeout))?;
        // HTTP/1.0: the answer is neither chunked nor kept open.
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
        let mut page = String::new();
        stream.take(PAGE_BYTES_MAX).read_to_string(&mut page)?;
        Ok::<_, std::io::Error>(page)
    })()
    .map_err(|e| fail(e.to_string()))?;
    let (head, body) = page.split_once("\r\n\r\n").ok_or_else(|| fail("no HTTP answer".into()))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(parse(body)),
        status => Err(fail(format!("HTTP {}", status.unwrap_or("?")))),
    }
}

/// Sums the samples of each name in a page of the Prometheus text format.
fn parse(page: &str) -> Scrape {
    let mut sums = Scrape::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, _labels) = series.split_once('{').unwrap_or((series, ""));
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    sums
}

/// How much each counter (`…_total`, `…_sum`, `…_count`) grew; those that did not are left out.
pub fn growth(start: &Scrape, end: &Scrape) -> Scrape {
    let is_counter = |name: &str| ["_total", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix));
    let grown = |(name, value): (&String, &f64)| (name.clone(), value - start.get(name).copied().unwrap_or(0.0));
    end.iter().filter(|(name, _)| is_counter(name)).map(grown).filter(|(_, by)| *by != 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_labels_and_gauges_left_out() {
        let start = parse("# HELP a_total x\na_total{k=\"x y\"} 1\na_total{k=\"z\"} 2\ng 5\nb_total 7\n");
        let end = parse("a_total{k=\"x y\"} 4\na_total{k=\"z\"} 4\ng 9\nb_total 7\nc_sum 0.5\n");
        let expected = [("a_total".to_owned(), 5.0), ("c_sum".to_owned(), 0.5)];
        assert_eq!(growth(&start, &end), expected.into_iter().collect());
    }

    #[test]
    fn a_page_that_is_not_there_is_an_error_that_says_so() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(scrape(&format!("http://127.0.0.1:{port}")).unwrap_err().contains("--admin"));
    }
}
