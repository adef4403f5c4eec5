//! Error texts of messages to the few classes that a label may have.

use crate::domain::Reason;

/// The class of an error text. No text of the real API is published; the phrases are those of the stacks
/// that send iMessages and of carriers (inferred), and what matches none is `other`.
pub(super) fn reason(text: &str) -> Reason {
    let text: String = text.chars().take(300).collect::<String>().to_lowercase();
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if text.trim().is_empty() {
        Reason::None
    } else if any(&["attachment", "file too large", "media ", "unsupported media", "file size"]) {
        Reason::Attachment
    } else if any(&["error 22", "ids target"])
        || (text.contains("imessage")
            && any(&["not registered", "not on ", "isn't on", "not available", "not enabled", "no imessage"]))
        || any(&["not registered", "not an imessage", "not imessage"])
    {
        Reason::NotOnImessage
    } else if any(&["rate limit", "rate-limit", "too many", "throttl", "limit reached", "limit exceeded"]) {
        Reason::RateLimited
    } else if any(&["device", "mac "])
        && any(&[
            "offline",
            "unavailable",
            "not connected",
            "disconnect",
            "asleep",
            "not responding",
            "unreachable",
        ])
        || any(&["no active number", "no active device"])
    {
        Reason::DeviceOffline
    } else if any(&["timed out", "timeout", "time out", "took too long", "deadline"]) {
        Reason::Timeout
    } else if any(&[
        "reject",
        "block",
        "spam",
        "filter",
        "denied",
        "forbidden",
        "not allowed",
        "refused",
        "opted out",
        "restrict",
    ]) {
        Reason::Rejected
    } else if any(&[
        "unreachable",
        "not reachable",
        "be reached",
        "undeliver",
        "invalid number",
        "landline",
        "unknown handset",
        "does not exist",
        "no longer in service",
    ]) {
        Reason::Unreachable
    } else {
        Reason::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_become_classes() {
        for (text, class) in [
            ("", Reason::None),
            ("Recipient is not registered with iMessage (error 22)", Reason::NotOnImessage),
            ("Recipient could not be reached", Reason::Unreachable),
            ("Timed out while sending", Reason::Timeout),
            ("Message blocked by carrier", Reason::Rejected),
            ("Too many messages to +15551234567", Reason::RateLimited),
            ("Device is offline", Reason::DeviceOffline),
            ("Attachment exceeds 100 MB", Reason::Attachment),
            ("Flux capacitor", Reason::Other),
        ] {
            assert_eq!(reason(text), class, "{text}");
        }
    }
}
