//! Signatures of webhook deliveries. Pure: the clock and the secrets are arguments.
//!
//! The header is `X-Blooio-Signature: t=<unix seconds>,v1=<hex>`, and `v1` is HMAC-SHA256 over the literal `t`, a dot and
//! the raw body (DOC). Several `v1` values may appear (DOC). One client spells the header `Blooio-Signature` (OBS). A
//! signature of the body alone is not accepted: it could be replayed for ever.

use ring::hmac;
use subtle::{Choice, ConstantTimeEq};

use crate::secret::Secret;

/// Names of the header, in the order in which they are looked for. The second counts only where the first is absent.
pub const HEADERS: [&str; 2] = ["x-blooio-signature", "blooio-signature"];
/// Seconds by which a signature's time may differ from ours, in both directions (DOC).
pub const TOLERANCE: i64 = 300;
/// Most `v1` values of one header that are compared. Blooio sends one, and two while a secret rotates.
pub const MAX_SIGNATURES: usize = 8;
/// Longest header that is read, in bytes.
pub const MAX_HEADER_BYTES: usize = 2048;

/// Bytes of an HMAC-SHA256.
const TAG_BYTES: usize = 32;
/// Most digits of a time. One more and it would not fit into 64 bits; unix seconds have ten.
const MAX_TIME_DIGITS: usize = 18;

/// Why a delivery is not believed. The client is told neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// No header, one that cannot be read, or no `v1` that any secret gives.
    Signature,
    /// It was signed more than [`TOLERANCE`] ago, or ahead of our clock.
    Timestamp,
}

/// A header that was read: the literal `t`, its value, and what may be signatures.
#[derive(Debug, PartialEq, Eq)]
struct Parsed<'a> {
    literal: &'a [u8],
    seconds: i64,
    signatures: Vec<[u8; TAG_BYTES]>,
}

/// Checks a delivery: the header's form, its time, and then each of its signatures against each secret, in constant time.
///
/// `headers` are the values of the header that was found (see [`HEADERS`]); more than one is ambiguous, and rejected.
/// `now` is in unix seconds.
///
/// # Errors
/// Why it is not believed.
pub fn verify(headers: &[&[u8]], body: &[u8], now: i64, secrets: &[Secret]) -> Result<(), Untrusted> {
    let [header] = headers else { return Err(Untrusted::Signature) };
    let parsed = parse(header)?;
    // The difference of any two times of up to 18 digits fits.
    if parsed.seconds.abs_diff(now) > TOLERANCE.unsigned_abs() {
        return Err(Untrusted::Timestamp);
    }
    let mut found = Choice::from(0);
    for secret in secrets.iter().filter(|secret| !secret.expose().is_empty()) {
        let tag = sign(secret, parsed.literal, body);
        for signature in &parsed.signatures {
            found |= tag.as_ref().ct_eq(signature.as_slice());
        }
    }
    if bool::from(found) { Ok(()) } else { Err(Untrusted::Signature) }
}

/// HMAC-SHA256 of the literal time, a dot and the body.
fn sign(secret: &Secret, literal: &[u8], body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()));
    context.update(literal);
    context.update(b".");
    context.update(body);
    context.sign()
}

fn parse(header: &[u8]) -> Result<Parsed<'_>, Untrusted> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(Untrusted::Signature);
    }
    let (mut literal, mut signatures) = (None, Vec::new());
    for element in header.split(|byte| *byte == b',') {
        let element = trim(element);
        if let Some(value) = element.strip_prefix(b"t=") {
            if literal.replace(value).is_some() {
                return Err(Untrusted::Signature);
            }
        } else if let Some(value) = element.strip_prefix(b"v1=") {
            if signatures.len() == MAX_SIGNATURES {
                return Err(Untrusted::Signature);
            }
            signatures.extend(tag(value));
        }
        // Anything else may be a scheme to come.
    }
    let literal = literal.ok_or(Untrusted::Signature)?;
    Ok(Parsed { literal, seconds: seconds(literal)?, signatures })
}

/// Digits without a sign or leading zeros: a time has one spelling.
fn seconds(literal: &[u8]) -> Result<i64, Untrusted> {
    let is_number = literal.iter().all(u8::is_ascii_digit) && !literal.is_empty();
    if !is_number || literal.starts_with(b"0") {
        return Err(Untrusted::Signature);
    }
    if literal.len() > MAX_TIME_DIGITS {
        return Err(Untrusted::Timestamp);
    }
    Ok(literal.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// The bytes that a hexadecimal value of the right length stands for, in either case.
fn tag(value: &[u8]) -> Option<[u8; TAG_BYTES]> {
    let (pairs, []) = value.as_chunks::<2>() else { return None };
    if pairs.len() != TAG_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; TAG_BYTES];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Without the blanks that may surround an element of a list.
fn trim(element: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = element.iter().position(|byte| !is_blank(byte)).unwrap_or(element.len());
    let end = element.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &element[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by an independent library, and recomputed.
    const SECRET: &str = "whsec_example_secret";
    const T: i64 = 1_700_000_000;
    const BODY: &[u8] =
        br#"{"event":"message.received","message_id":"m_123","text":"Hi there!","sender":"+15555550123"}"#;
    const V1: &str = "a031050aeb41a7ef072aefefdece109e8ca7db26d85348b8b64a911dac4e2987";

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new((*text).to_owned())).collect()
    }

    fn check(header: &str, body: &[u8]) -> Result<(), Untrusted> {
        verify(&[header.as_bytes()], body, T, &secrets(&[SECRET]))
    }

    /// The signature of a body at a time that is written as given.
    fn signed(secret: &str, literal: &str, body: &[u8]) -> String {
        let tag = sign(&Secret::new(secret.to_owned()), literal.as_bytes(), body);
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_published_vector_is_accepted() {
        assert_eq!(check(&format!("t={T},v1={V1}"), BODY), Ok(()));
    }

    #[test]
    fn every_changed_byte_of_body_or_signature_is_noticed() {
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(check(&format!("t={T},v1={V1}"), &body), Err(Untrusted::Signature), "byte {at}");
        }
        for at in 0..V1.len() {
            let mut v1 = V1.as_bytes().to_vec();
            v1[at] = if v1[at] == b'0' { b'1' } else { b'0' };
            let v1 = String::from_utf8(v1).unwrap();
            assert_eq!(check(&format!("t={T},v1={v1}"), BODY), Err(Untrusted::Signature), "digit {at}");
        }
        for body in [
            &[b" ", BODY].concat(),
            &[BODY, b" "].concat(),
            &[BODY, b"\r\n"].concat(),
            &[BODY, b"\0"].concat(),
        ] {
            assert_eq!(check(&format!("t={T},v1={V1}"), body), Err(Untrusted::Signature));
        }
        assert_eq!(check(&format!("t={T},v1={V1}"), b""), Err(Untrusted::Signature));
        // The dot between time and body cannot be moved: `t` and the first byte of the body change places.
        let v1 = signed(SECRET, "1700000000", b"1.x");
        assert_eq!(check(&format!("t=1700000000,v1={v1}"), b"1.x"), Ok(()));
        assert_eq!(
            verify(
                &[format!("t=17000000001,v1={v1}").as_bytes()],
                b".x",
                17_000_000_001,
                &secrets(&[SECRET])
            ),
            Err(Untrusted::Signature)
        );
        // A signature of the body alone has no time.
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), BODY);
        let plain: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        for header in
            [plain.clone(), format!("v1={plain}"), format!("t={T},v1={plain}"), format!("sha256={plain}")]
        {
            assert_eq!(check(&header, BODY), Err(Untrusted::Signature), "{header}");
        }
    }

    #[test]
    fn every_form_of_the_header_has_its_verdict() {
        use Untrusted::{Signature, Timestamp};
        let upper = V1.to_uppercase();
        let other = "00".repeat(32);
        let many = |count: usize| format!("t={T},{}v1={V1}", format!("v1={other},").repeat(count));
        for (header, verdict) in [
            // What Blooio may send.
            (format!("t={T},v1={V1}"), Ok(())),
            (format!("v1={V1},t={T}"), Ok(())),
            (format!(" t={T} , v1={V1} "), Ok(())),
            (format!("t={T},v0=00,v1={V1},v2=anything"), Ok(())),
            (format!("t={T},v1={upper}"), Ok(())),
            // Several signatures: one good one is enough, wherever it stands.
            (format!("t={T},v1={other},v1={V1}"), Ok(())),
            (format!("t={T},v1={V1},v1={other}"), Ok(())),
            (format!("t={T},v1=,v1=abc,v1={V1}"), Ok(())),
            (format!("t={T},v1={other},v1={other}"), Err(Signature)),
            (many(MAX_SIGNATURES - 1), Ok(())),
            (many(MAX_SIGNATURES), Err(Signature)),
            // Signatures that are none.
            (format!("t={T},v1={}", &V1[..63]), Err(Signature)),
            (format!("t={T},v1={V1}0"), Err(Signature)),
            (format!("t={T},v1={V1}00"), Err(Signature)),
            (format!("t={T},v1={}", &V1[..62]), Err(Signature)),
            (format!("t={T},v1=0x{}", &V1[2..]), Err(Signature)),
            (format!("t={T},v1=+{}", &V1[1..]), Err(Signature)),
            (format!("t={T},v1=\"{V1}\""), Err(Signature)),
            (format!("t={T},v1="), Err(Signature)),
            (format!("t={T}"), Err(Signature)),
            (format!("t={T};v1={V1}"), Err(Signature)),
            (format!("T={T},V1={V1}"), Err(Signature)),
            (format!("t={T},v1={V1}\r\n"), Err(Signature)),
            (format!("t={T}\r\n,v1={V1}"), Err(Signature)),
            (format!("\u{feff}t={T},v1={V1}"), Err(Signature)),
            // Times that are none.
            (format!("v1={V1}"), Err(Signature)),
            (format!("t=,v1={V1}"), Err(Signature)),
            (format!("t=+{T},v1={V1}"), Err(Signature)),
            (format!("t=-{T},v1={V1}"), Err(Signature)),
            (format!("t=0{T},v1={V1}"), Err(Signature)),
            (format!("t={T}.0,v1={V1}"), Err(Signature)),
            (format!("t={T}e0,v1={V1}"), Err(Signature)),
            (format!("t= {T},v1={V1}"), Err(Signature)),
            (format!("t={T},t={T},v1={V1}"), Err(Signature)),
            (format!("t=0,t={T},v1={V1}"), Err(Signature)),
            // Times far away.
            (format!("t=17000000000000000000,v1={V1}"), Err(Timestamp)),
            (format!("t=99999999999999999999,v1={V1}"), Err(Timestamp)),
            (format!("t=999999999999999999,v1={V1}"), Err(Timestamp)),
            (format!("t={T}000,v1={V1}"), Err(Timestamp)),
            ("t=1,v1=".to_owned(), Err(Timestamp)),
            (String::new(), Err(Signature)),
            (",,,,".to_owned(), Err(Signature)),
            (format!("t={T},v1={V1},{}", "x".repeat(MAX_HEADER_BYTES)), Err(Signature)),
        ] {
            assert_eq!(check(&header, BODY), verdict, "{header:?}");
        }
    }

    #[test]
    fn a_time_with_leading_zeros_is_rejected_even_if_that_is_what_was_signed() {
        for literal in ["01700000000", "+1700000000", "1700000000 "] {
            let v1 = signed(SECRET, literal, BODY);
            assert_eq!(check(&format!("t={literal}x,v1={v1}"), BODY), Err(Untrusted::Signature));
            if !literal.ends_with(' ') {
                assert_eq!(
                    check(&format!("t={literal},v1={v1}"), BODY),
                    Err(Untrusted::Signature),
                    "{literal}"
                );
            }
        }
    }

    #[test]
    fn the_window_is_open_for_five_minutes_in_both_directions() {
        let header = format!("t={T},v1={V1}");
        for (now, verdict) in [
            (T - 301, Err(Untrusted::Timestamp)),
            (T - 300, Ok(())),
            (T + 300, Ok(())),
            (T + 301, Err(Untrusted::Timestamp)),
            (0, Err(Untrusted::Timestamp)),
            (i64::MIN, Err(Untrusted::Timestamp)),
            (i64::MAX, Err(Untrusted::Timestamp)),
        ] {
            assert_eq!(verify(&[header.as_bytes()], BODY, now, &secrets(&[SECRET])), verdict, "{now}");
        }
    }

    #[test]
    fn either_secret_serves_while_they_rotate_and_an_empty_one_never() {
        let verdict = |texts: &[&str], v1: &str| {
            verify(&[format!("t={T},v1={v1}").as_bytes()], BODY, T, &secrets(texts))
        };
        let new = signed("whsec_new", &T.to_string(), BODY);
        assert_eq!(verdict(&[SECRET, "whsec_new"], V1), Ok(()));
        assert_eq!(verdict(&[SECRET, "whsec_new"], &new), Ok(()));
        assert_eq!(verdict(&["whsec_new"], V1), Err(Untrusted::Signature));
        assert_eq!(verdict(&[], V1), Err(Untrusted::Signature));
        let empty = signed("", &T.to_string(), BODY);
        assert_eq!(verdict(&[""], &empty), Err(Untrusted::Signature));
        assert_eq!(verdict(&["", SECRET], &empty), Err(Untrusted::Signature));
        assert_eq!(verdict(&["", SECRET], V1), Ok(()));
    }

    #[test]
    fn a_header_given_twice_is_ambiguous() {
        let header = format!("t={T},v1={V1}");
        let header = header.as_bytes();
        assert_eq!(verify(&[], BODY, T, &secrets(&[SECRET])), Err(Untrusted::Signature));
        assert_eq!(verify(&[header, header], BODY, T, &secrets(&[SECRET])), Err(Untrusted::Signature));
    }
}
