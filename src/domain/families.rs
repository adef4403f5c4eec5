//! Every counter and histogram of the product, each described once: its name, labels, meaning and key in the state
//! file. A new one is a declaration here and a call of [`Totals::add`] or [`Totals::observe`].
//!
//! [`Totals::add`]: super::Totals::add
//! [`Totals::observe`]: super::Totals::observe

use std::borrow::Cow;

use super::conversation::{Author, Position};
use super::ids::LineId;
use super::message::{Protocol, Reason, Status};
use super::tally::{Cause, SweepResult, Unannounced};
use super::vocabulary::{Code, Endpoint, Field, Rejection, Work};

/// The type of a family, as `# TYPE` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, across restarts too (the `process_*` ones excepted).
    Counter,
    /// A value of the moment, which may fall.
    Gauge,
    /// Classic buckets, a sum and a count.
    Histogram,
}

/// A metric family: its samples share name, type and labels.
#[derive(Debug)]
pub struct Family {
    /// Its name, without the `_total` of a counter.
    pub name: &'static str,
    /// Whether it is a counter, a gauge or a histogram.
    pub kind: Kind,
    /// Names of its labels, in the page's order.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence or two.
    pub help: &'static str,
}

impl Family {
    /// The name that its samples carry and that queries use; histograms add their suffixes to it.
    pub fn sample_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}

/// The group of families on the page that a counter or histogram stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Messages and what became of them.
    Messages,
    /// Who writes to whom, and who answers.
    Conversations,
    /// Device probes, and whether lines are active.
    Devices,
    /// The API as seen by us.
    Api,
    /// How the collection itself is doing.
    Collection,
    /// The feed of webhook events.
    Webhooks,
}

impl Group {
    /// Its counters, in the order of the page.
    pub fn counters(self) -> impl Iterator<Item = &'static Family> {
        self.of(Counter::FAMILIES)
    }

    /// Its histograms, in the order of the page.
    pub fn histograms(self) -> impl Iterator<Item = &'static Family> {
        self.of(HistogramKey::FAMILIES)
    }

    fn of(self, families: &'static [(Group, &'static Family)]) -> impl Iterator<Item = &'static Family> {
        families.iter().filter(move |(group, _)| *group == self).map(|(_, family)| *family)
    }
}

/// The value of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelValue {
    /// A line, which is shown by its name.
    Line(LineId),
    /// A word that is shown as it is.
    Word(Cow<'static, str>),
}

/// A type whose values are values of a label.
trait Label: Copy {
    /// The value as a label.
    fn value(self) -> LabelValue;
    /// The value of a word of the state file; `None` for one that no version wrote.
    fn parse(word: &str) -> Option<Self>;
}

impl Label for LineId {
    fn value(self) -> LabelValue {
        LabelValue::Line(self)
    }
    fn parse(word: &str) -> Option<LineId> {
        word.parse().ok().map(LineId)
    }
}

impl Label for Code {
    fn value(self) -> LabelValue {
        LabelValue::Word(Cow::Owned(self.label()))
    }
    fn parse(word: &str) -> Option<Code> {
        Code::from_label(word)
    }
}

macro_rules! labels {
    ($($type:ident),+) => {
        $(impl Label for $type {
            fn value(self) -> LabelValue {
                LabelValue::Word(Cow::Borrowed(self.as_str()))
            }
            fn parse(word: &str) -> Option<$type> {
                $type::from_label(word)
            }
        })+
    };
}

labels!(
    Author,
    Position,
    Protocol,
    Reason,
    Status,
    Cause,
    SweepResult,
    Endpoint,
    Field,
    Rejection,
    Work,
    Unannounced
);

/// Declares an enum with a variant for each family and a field for each of its labels, and everything that follows
/// from that.
///
/// The quoted word is the key in the state file, which never changes: the variant's word, then a word for each label,
/// in the order of the fields. What is `shared` has no family of its own: its values are summed over accounts.
macro_rules! families {
    (
        $(#[$meta:meta])*
        $enum:ident $kind:ident
        shared { $($(#[$doc:meta])* $shared:ident $shared_word:literal;)* }
        $($group:ident {
            $($static:ident $variant:ident $word:literal $name:literal $({ $($label:ident: $type:ty),+ })? $help:literal;)+
        })+
    ) => {
        $($(
            #[doc = $help]
            pub static $static: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &["account" $($(, stringify!($label))+)?],
                help: $help,
            };
        )+)+

        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $($(
                #[doc = $help]
                $variant $({
                    $(#[doc = concat!("The label `", stringify!($label), "`.")] $label: $type),+
                })?,
            )+)+
            $($(#[$doc])* $shared,)*
        }

        impl $enum {
            /// Every family, with its group, in the order of the page.
            const FAMILIES: &'static [(Group, &'static Family)] =
                &[$($((Group::$group, &$static)),+),+];

            /// The family that the series is of, where it is of one account's.
            pub fn family(self) -> Option<&'static Family> {
                match self {
                    $($($enum::$variant { .. } => Some(&$static),)+)+
                    $($enum::$shared => None,)*
                }
            }

            /// The word that stands for the family in the state file.
            pub const fn word(self) -> &'static str {
                match self {
                    $($($enum::$variant { .. } => $word,)+)+
                    $($enum::$shared => $shared_word,)*
                }
            }

            /// The values of its labels, `account` excepted, in the order of the family's labels.
            pub fn labels(self) -> Vec<LabelValue> {
                match self {
                    $($($enum::$variant $({ $($label),+ })? => vec![$($(Label::value($label)),+)?],)+)+
                    $($enum::$shared => Vec::new(),)*
                }
            }

            /// The series that words of the state file stand for; `None` for words that no version wrote.
            pub fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<$enum> {
                let parsed = match words.next()? {
                    $($(
                        $word => $enum::$variant $({ $($label: <$type as Label>::parse(words.next()?)?),+ })?,
                    )+)+
                    $($shared_word => $enum::$shared,)*
                    _ => return None,
                };
                words.next().is_none().then_some(parsed)
            }

            /// The line that the series is of, where it is of one.
            pub fn line(self) -> Option<LineId> {
                match self.labels().first() {
                    Some(LabelValue::Line(line)) => Some(*line),
                    _ => None,
                }
            }
        }
    };
}

families! {
    /// One counter series of an account.
    Counter Counter
    shared {
        /// Counted under `overflow` because the account has too many lines.
        OverflowingLine "overflowing_line";
        /// Counted under `overflow` because the API answered with too many distinct statuses.
        OverflowingCode "overflowing_code";
    }
    Messages {
        INBOUND Inbound "inbound" "blooio_inbound_messages" { line: LineId, protocol: Protocol }
            "Inbound messages, each counted once, when first observed.";
        OUTBOUND Outbound "outbound" "blooio_outbound_messages" { line: LineId }
            "Outbound messages that Blooio accepted, each counted once, when first observed.";
        SENT Sent "sent" "blooio_outbound_sent_messages" { line: LineId, protocol: Protocol }
            "Outbound messages first known to be handed over (sent or delivered), under the protocol known then.";
        DELIVERED Delivered "delivered" "blooio_outbound_delivered_messages" { line: LineId, protocol: Protocol }
            "Outbound messages that ended delivered.";
        FAILED Failed "failed" "blooio_outbound_failed_messages" { line: LineId, protocol: Protocol, reason: Reason }
            "Outbound messages that ended failed, by the class of their error text.";
        CANCELLED Cancelled "cancelled" "blooio_outbound_cancelled_messages" { line: LineId }
            "Outbound messages that ended cancelled.";
        UNCONFIRMED Unconfirmed "unconfirmed" "blooio_outbound_unconfirmed_messages" { line: LineId, protocol: Protocol, status: Status }
            "Outbound messages given up: still without an end at the horizon, or gone from the API. The status is the last one seen.";
        FALLBACK Fallback "fallback" "blooio_outbound_fallback_messages" { line: LineId, protocol: Protocol }
            "Outbound messages first known to travel by sms, rcs or non-imessage instead of iMessage.";
        CLOCK_SKEW ClockSkew "clock_skew" "blooio_clock_skew_messages"
            "Deliveries whose latency was negative: observed as 0.";
        REGRESSIONS Regressions "regressions" "blooio_status_regressions"
            "Messages that the API showed leaving an end state; the first end stands.";
    }
    Conversations {
        CONVERSATIONS_STARTED ConversationsStarted "conversations_started" "blooio_conversations_started" { line: LineId, by: Author }
            "First messages of chats that are newer than the first start, by their author; groups are in no family of conversations.";
        CONVERSATIONS_ANSWERED ConversationsAnswered "conversations_answered" "blooio_conversations_answered"  { line: LineId }
            "First messages of contacts in chats that we started, once per chat, on the line that started it.";
        UNANSWERED_MESSAGES UnansweredMessages "unanswered_messages" "blooio_outbound_unanswered_messages" { line: LineId, position: Position }
            "Outbound messages by their position: 1 + our turns since the contact last wrote. Messages that follow our previous one within --conversation.turn share its position.";
        LOST_IMESSAGE LostImessage "lost_imessage" "blooio_outbound_lost_imessage_messages" { line: LineId }
            "Outbound messages that fell back, or failed as not_on_imessage, in a chat in which an earlier one was delivered by iMessage.";
        UNPLACED UnplacedMessages "unplaced_messages" "blooio_conversation_unplaced_messages"
            "Messages that appeared when later ones of their chat had their places already: in no family of conversations.";
    }
    Devices {
        PROBES Probes "probes" "blooio_device_probes" { line: LineId, code: Code }
            "Device probes by outcome: 502 is a failed round trip to the device, 503 no active number.";
    }
    Api {
        REQUESTS Requests "requests" "blooio_api_requests" { endpoint: Endpoint, code: Code }
            "Attempts of requests, retries and pages included; code is the HTTP status, or timeout, connection or body where there was no usable response.";
        THROTTLED Throttled "throttled" "blooio_api_throttled_seconds" { cause: Cause }
            "Time spent waiting before requests, for the budget or because the API asked for a pause.";
        WORK_REQUESTS WorkRequests "work" "blooio_api_work_requests" { work: Work }
            "The same attempts as blooio_api_requests_total, by what they were for: where the budget goes.";
    }
    Collection {
        SWEEPS Sweeps "sweeps" "blooio_collection_sweeps" { result: SweepResult }
            "Sweeps by result: partial ones could not read, or not in time, everything that the list named.";
        LATE Late "late" "blooio_collection_late_messages"
            "Messages counted although their time_sent lay before the watermark.";
        REJECTED Rejected "rejected" "blooio_collection_rejected_items" { endpoint: Endpoint, reason: Rejection }
            "Single items that could not be used; the rest of their page was.";
        UNKNOWN_VALUES UnknownValues "unknown_values" "blooio_collection_unknown_values" { field: Field }
            "Values outside the known enums.";
    }
    Webhooks {
        MISSED Missed "missed" "blooio_webhook_missed_messages" { kind: Unannounced }
            "Messages (received or handed over) and ends (delivered or failed) that polling found and no webhook event announced, counted 16 minutes later, when Blooio has stopped sending it again: one that a retry brings is late, not missed. Any event about a message announces it. Messages sent before the start of the process are not judged.";
    }
}

families! {
    /// One histogram of an account.
    HistogramKey Histogram
    shared {
        /// How long durable commits took.
        CommitDuration "commit_duration";
    }
    Messages {
        LATENCY Latency "latency" "blooio_delivery_latency_seconds" { line: LineId, protocol: Protocol }
            "From time_sent to time_delivered of outbound messages that ended delivered; includes the wait in Blooio's queue.";
    }
    Conversations {
        REPLY_DELAY ReplyDelay "reply_delay" "blooio_reply_delay_seconds" { line: LineId }
            "From our newest message, on whose line it counts, to the contact's next one.";
    }
    Devices {
        PROBE_DURATION ProbeDuration "probe_duration" "blooio_device_probe_duration_seconds"
            "Duration of a device probe.";
    }
    Api {
        REQUEST_DURATION RequestDuration "request_duration" "blooio_api_request_duration_seconds" { endpoint: Endpoint }
            "Duration of a request until its body is read.";
    }
    Collection {
        SWEEP_DURATION SweepDuration "sweep_duration" "blooio_collection_duration_seconds"
            "Duration of a sweep, from its list until everything that the list named is read.";
        DELAY Delay "delay" "blooio_collection_delay_seconds"
            "From time_sent (time_delivered for deliveries) to the commit that counted it: how fresh the page is.";
    }
    Webhooks {
        LAG Lag "webhook_lag" "blooio_webhook_lag_seconds"
            "From time_sent of received messages, and time_delivered of deliveries, to the arrival of the webhook event that announced it.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_as_many_names_of_labels_as_values() {
        let counter = Counter::Inbound { line: LineId(1), protocol: Protocol::Sms };
        assert_eq!(counter.family().map(|family| family.labels), Some(&["account", "line", "protocol"][..]));
        assert_eq!(counter.labels().len(), 2);
    }

    #[test]
    fn a_series_is_found_again_by_its_words_in_the_state_file() {
        let (line, protocol) = (LineId(7), Protocol::Rcs);
        let series = [
            (Counter::Inbound { line, protocol }, "7"),
            (Counter::Probes { line, code: Code::Status(502) }, "7"),
            (Counter::Requests { endpoint: Endpoint::GetChat, code: Code::Timeout }, "get_chat"),
            (Counter::WorkRequests { work: Work::Audit }, "audit"),
            (Counter::Late, ""),
        ];
        for (counter, first) in series {
            let labels = counter.labels().into_iter().map(|label| match label {
                LabelValue::Line(line) => line.0.to_string(),
                LabelValue::Word(word) => word.into_owned(),
            });
            let words: Vec<String> = std::iter::once(counter.word().to_owned()).chain(labels).collect();
            assert_eq!(words.get(1).map_or("", String::as_str), first);
            let parsed = |words: &[String]| Counter::parse(words.iter().map(String::as_str));
            assert_eq!(parsed(&words), Some(counter));
            assert_eq!(parsed(&words[..words.len() - 1]), None, "a word is missing");
            assert_eq!(parsed(&[&words[..], &["more".to_owned()]].concat()), None);
        }
        assert_eq!(Counter::parse(["work", "leisure"].into_iter()), None);
        assert_eq!(Counter::parse(["probes", "x", "200"].into_iter()), None);
    }

    #[test]
    fn only_samples_of_counters_have_a_suffix_of_their_own() {
        assert_eq!(LATE.sample_name(), "blooio_collection_late_messages_total");
        assert_eq!(DELAY.sample_name(), "blooio_collection_delay_seconds");
    }

    #[test]
    fn each_family_stands_in_one_group_of_the_page() {
        use Group::{Api, Collection, Conversations, Devices, Messages, Webhooks};
        let name = |family: &'static Family| family.name;
        assert_eq!(Messages.histograms().map(name).collect::<Vec<_>>(), [LATENCY.name]);
        assert_eq!(Devices.counters().map(name).collect::<Vec<_>>(), [PROBES.name]);
        let groups = [Messages, Conversations, Devices, Api, Collection, Webhooks];
        let mut names: Vec<&str> =
            groups.iter().flat_map(|group| group.counters().chain(group.histograms())).map(name).collect();
        assert_eq!(names.len(), Counter::FAMILIES.len() + HistogramKey::FAMILIES.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::FAMILIES.len() + HistogramKey::FAMILIES.len());
    }
}
