//! Bodies of requests, within bounds. The pages take none; other routes may.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::slots::{ConnectionState, Slot};

/// What of a body is read.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes that a body may have.
    pub bytes: usize,
    /// From the end of the head to the end of the body. A byte now and then does not extend it.
    pub time: Duration,
}

/// Why a body was not read to its end. The connection must be closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// It is longer than the limit, as its head says or its bytes show.
    TooLarge,
    /// It did not end in time.
    TooSlow,
    /// Its connection ended, or its framing is broken.
    Broken,
}

/// Whether a body is longer than the limit by what its head says.
pub fn announces_more(headers: &HeaderMap, limit: usize) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.is_some_and(|length| length.parse::<u64>().map_or(true, |length| length > limit as u64))
}

/// Whether a body is encoded, such as compressed.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !is_identity(value))
}

/// Reads a body as it was sent. Meanwhile its connection may be evicted, as one whose head has not arrived.
///
/// # Errors
/// When it was not read to its end.
pub async fn receive(head: &Parts, body: Body, limits: BodyLimits) -> Result<Bytes, Incomplete> {
    let slot = head.extensions.get::<Arc<Slot>>();
    slot.into_iter().for_each(|slot| slot.set(ConnectionState::Receiving));
    let received = timeout(limits.time, collect(body, limits.bytes)).await;
    slot.into_iter().for_each(|slot| slot.set(ConnectionState::Answering));
    received.unwrap_or(Err(Incomplete::TooSlow))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Incomplete> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are of no use.
        let Ok(data) = frame.map_err(|_| Incomplete::Broken)?.into_data() else { continue };
        if data.len() > limit - read.len() {
            return Err(Incomplete::TooLarge);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_a_head_says_of_its_body_is_enough_to_reject_it() {
        for (length, verdict) in
            [("0", false), ("10", false), ("11", true), ("99999999999999999999999", true)]
        {
            assert_eq!(announces_more(&head(&[("content-length", length)]), 10), verdict, "{length}");
        }
        assert!(!announces_more(&head(&[]), 10));
        assert!(!is_encoded(&head(&[("content-encoding", "Identity")])));
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            assert!(is_encoded(&head(&[("content-encoding", encoding)])), "{encoding}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_beyond() {
        let limits = BodyLimits { bytes: 4, time: Duration::from_secs(60) };
        let (parts, ()) = http::Request::new(()).into_parts();
        for (body, verdict) in [("", Ok(0)), ("1234", Ok(4)), ("12345", Err(Incomplete::TooLarge))] {
            assert_eq!(receive(&parts, Body::from(body), limits).await.map(|b| b.len()), verdict, "{body}");
        }
    }
}
