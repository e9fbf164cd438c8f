//! Requests to the server's admin address: a scrape of its metrics page, and a post of an event.
//!
//! Does not know: which metrics or events exist.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Samples by name, summed over their labels; a histogram's buckets as `NAME_bucket<=BOUND`.
pub type Scrape = BTreeMap<String, f64>;

/// The largest metrics page that is read.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// Reads `http://HOST:PORT/metrics` (a path in `url` is ignored).
///
/// # Errors
/// A sentence for people.
pub fn scrape(url: &str) -> Result<Scrape, String> {
    let host = url.strip_prefix("http://").unwrap_or(url).split('/').next().unwrap_or_default();
    // The part before an @ may be a password.
    let shown = host.rsplit('@').next().unwrap_or_default();
    let fail =
        |what: String| format!("cannot read http://{shown}/metrics: {what}. Is --admin the server's admin address?");
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
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let bound = labels.split_once("le=\"").and_then(|(_, rest)| rest.split('"').next());
        let name = bound.map_or_else(|| name.to_owned(), |bound| format!("{name}<={bound}"));
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name).or_default() += value;
        }
    }
    sums
}

/// The growth of each counter (`…_total`, `…_sum`, `…_count`); counters that did not grow are left out.
pub fn growth(start: &Scrape, end: &Scrape) -> Scrape {
    let is_counter =
        |name: &str| ["_total", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)) || name.contains("<=");
    let grown = |(name, value): (&String, &f64)| (name.clone(), value - start.get(name).copied().unwrap_or(0.0));
    end.iter().filter(|(name, _)| is_counter(name)).map(grown).filter(|(_, by)| *by != 0.0).collect()
}

/// Posts `body` to `http://HOST:PORT` + `path`; returns the status and the answer's body.
///
/// # Errors
/// A short cause, by which failures are counted.
pub fn post(url: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String), String> {
    let host = url.strip_prefix("http://").unwrap_or(url).split('/').next().unwrap_or_default();
    let mut addresses = host.to_socket_addrs().map_err(|e| e.to_string())?;
    let address = addresses.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3)).map_err(|e| cause(&e))?;
    let mut request = format!("POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut answer = String::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.take(PAGE_BYTES_MAX).read_to_string(&mut answer))
        .map_err(|e| cause(&e))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no HTTP status")?;
    Ok((status, body.to_owned()))
}

/// The first offset in an answer to a post of events.
pub fn posted_offset(answer: &str) -> Option<u64> {
    let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
    answer.get("events")?.get(0)?.get("offset")?.as_u64()
}

fn cause(error: &std::io::Error) -> String {
    error.kind().to_string()
}

/// The smallest bound of a histogram with at least `share` of the new samples below it; infinite if they exceed all
/// bounds.
pub fn quantile_bound(grown: &Scrape, histogram: &str, share: f64) -> Option<f64> {
    let all = grown.get(&format!("{histogram}_count")).copied().filter(|count| *count > 0.0)?;
    let prefix = format!("{histogram}_bucket<=");
    let buckets = grown.iter().filter_map(|(name, n)| Some((name.strip_prefix(&prefix)?.parse::<f64>().ok()?, *n)));
    let enough = buckets.filter(|(_, n)| *n >= share * all).map(|(bound, _)| bound);
    Some(enough.fold(f64::INFINITY, f64::min))
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
    fn a_quantile_is_the_bound_of_its_bucket() {
        let page = |low: u32, mid: u32, all: u32| {
            format!(
                "t_seconds_bucket{{le=\"0.01\"}} {low}\nt_seconds_bucket{{le=\"0.1\"}} {mid}\nt_seconds_bucket{{le=\"+Inf\"}} {all}\nt_seconds_sum 9\nt_seconds_count {all}\n"
            )
        };
        let grown = growth(&parse(&page(50, 60, 70)), &parse(&page(140, 159, 170)));
        let bounds = [0.9, 0.95, 0.999].map(|share| quantile_bound(&grown, "t_seconds", share));
        assert_eq!(bounds, [Some(0.01), Some(0.1), Some(f64::INFINITY)]);
        assert_eq!(quantile_bound(&grown, "nothing", 0.5), None);
    }

    #[test]
    fn an_answer_names_the_offset() {
        let answer = r#"{"epoch":"0000000000000001","events":[{"offset":12},{"offset":13}]}"#;
        assert_eq!(posted_offset(answer), Some(12));
        assert_eq!(posted_offset(r#"{"error":{"code":"overloaded"}}"#), None);
    }

    #[test]
    fn a_page_that_is_not_there_is_an_error_that_says_so() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(scrape(&format!("http://127.0.0.1:{port}")).unwrap_err().contains("--admin"));
    }
}
