//! Which form of the metrics page a client gets, from its `Accept` and `Accept-Encoding`.
//!
//! Never a 406: a client that asks for nothing we have gets plain text, which every scraper of the last ten years reads.

use std::cmp::Reverse;

use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};
use http::{HeaderMap, HeaderValue};

/// The form of the metrics page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format, version 0.0.4; the fallback.
    Text,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type` that goes with this form.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// One member of a list header: what is named, and how much it is wanted in thousandths.
struct Wish<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: u16,
}

impl<'a> Wish<'a> {
    /// `None` for a member that is malformed; it then counts as not sent.
    fn parse(member: &'a str) -> Option<Self> {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let mut wish = Self { name, parameters: Vec::new(), quality: 1000 };
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            if key.trim().eq_ignore_ascii_case("q") {
                let quality = value.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q))?;
                wish.quality = (quality * 1000.0).round() as u16;
            } else {
                wish.parameters.push((key.trim(), value));
            }
        }
        Some(wish)
    }

    fn names(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// True when the version asked for is `version`, or when none is.
    fn takes_version(&self, version: &str) -> bool {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("version"))
            .is_none_or(|(_, value)| *value == version)
    }
}

/// The members of a header that may be sent in several lines.
fn wishes(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<Wish<'_>> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Wish::parse)
        .collect()
}

/// The form to send. OpenMetrics only when it is named, in a version we speak, and wanted at least as much as text; a
/// wildcard means text. Of two wanted equally, the one named more precisely wins, then the one named first.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let wishes = wishes(headers, ACCEPT);
    // For each form, what decides: quality first, then precision (3 for a full name), then the place in the list.
    let open_metrics = wishes
        .iter()
        .enumerate()
        .filter(|(_, wish)| wish.names("application/openmetrics-text") && wish.takes_version("1.0.0"))
        .map(|(at, wish)| (wish.quality, 3, Reverse(at)))
        .max();
    let text = wishes
        .iter()
        .enumerate()
        .filter_map(|(at, wish)| {
            let precision = match () {
                () if wish.names("text/plain") && wish.takes_version("0.0.4") => 3,
                () if wish.names("text/*") => 2,
                () if wish.names("*/*") => 1,
                () => return None,
            };
            Some((precision, wish.quality, Reverse(at)))
        })
        // The most precise member speaks for the form, even where it says less than a wildcard does.
        .max()
        .map(|(precision, quality, at)| (quality, precision, at));
    match open_metrics {
        Some(wanted) if wanted.0 > 0 && Some(wanted) > text => Format::OpenMetrics,
        _ => Format::Text,
    }
}

/// Whether the client takes gzip and does not prefer the page as it is.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let wishes = wishes(headers, ACCEPT_ENCODING);
    let quality_of = |names: &[&str]| {
        wishes.iter().filter(|wish| names.iter().any(|name| wish.names(name))).map(|wish| wish.quality).max()
    };
    let gzip = quality_of(&["gzip", "x-gzip"]).or_else(|| quality_of(&["*"])).unwrap_or(0);
    gzip > 0 && gzip >= quality_of(&["identity"]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn accept_table() {
        use Format::{OpenMetrics, Text};
        let table: &[(&[&str], Format)] = &[
            (&[], Text),
            (&["*/*"], Text),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Text),
            (&["text/plain"], Text),
            (&["application/json"], Text),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["application/openmetrics-text; version=1.0.0; charset=utf-8"], OpenMetrics),
            (&["Application/OpenMetrics-Text;Version=\"1.0.0\""], OpenMetrics),
            // A version we do not speak is not ours to send.
            (&["application/openmetrics-text;version=0.0.1"], Text),
            (&["application/openmetrics-text;version=2.0.0,text/plain;q=0.1"], Text),
            // As Prometheus 2 asks.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                OpenMetrics,
            ),
            // As Prometheus 3 asks, without and with the binary format.
            (
                &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                   application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;\
                   escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"],
                OpenMetrics,
            ),
            (
                &[
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                   q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,\
                   */*;q=0.1",
                ],
                OpenMetrics,
            ),
            // As Prometheus asks when told to scrape text first.
            (
                &[
                    "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.2",
                ],
                Text,
            ),
            (&["application/openmetrics-text;q=0,*/*"], Text),
            (&["application/openmetrics-text;q=0"], Text),
            (&["text/plain;q=0,*/*;q=1,application/openmetrics-text;q=0.1"], OpenMetrics),
            // Equal wishes: the more precise, then the first.
            (&["*/*,application/openmetrics-text"], OpenMetrics),
            (&["text/plain,application/openmetrics-text"], Text),
            (&["application/openmetrics-text,text/plain"], OpenMetrics),
            // Several lines are one list.
            (&["text/plain;q=0.3", "application/openmetrics-text;q=0.4"], OpenMetrics),
            // Malformed members count as not sent.
            (&["application/openmetrics-text;q=2"], Text),
            (&["application/openmetrics-text;q=abc"], Text),
            (&["application/openmetrics-text;q=NaN"], Text),
            (&[";;;,,,=,q=1;", "application/openmetrics-text"], OpenMetrics),
        ];
        for (values, wanted) in table {
            assert_eq!(format(&headers("accept", values)), *wanted, "{values:?}");
        }
    }

    #[test]
    fn accept_encoding_table() {
        let table: &[(&[&str], bool)] = &[
            (&[], false),
            (&["gzip"], true),
            (&["GZIP"], true),
            (&["x-gzip"], true),
            (&["deflate, gzip;q=0.5, br"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000, *"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["identity"], false),
            (&["identity;q=0.5, gzip;q=0.4"], false),
            (&["identity;q=0.5, gzip;q=0.5"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=x"], false),
            (&["gzipped"], false),
        ];
        for (values, wanted) in table {
            assert_eq!(takes_gzip(&headers("accept-encoding", values)), *wanted, "{values:?}");
        }
    }
}
