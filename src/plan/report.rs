//! A prediction as a person or a program reads it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{ByWork, Prediction, is_short};
use crate::domain::Work;

/// From this many seconds on a duration is shown in minutes, from that many in hours.
const MINUTES_FROM: f64 = 120.0;
const HOURS_FROM: f64 = 7_200.0;

impl Prediction {
    /// For people. `replicas` is how many processes share the account.
    pub fn table(&self, replicas: u64) -> String {
        let mut text = String::from("requests per second   needed   granted\n");
        for (at, work) in Work::ALL.iter().enumerate() {
            let (needed, granted) = (self.needed[at], self.granted[at]);
            let _ = writeln!(text, "  {:<18} {needed:>8.3}  {granted:>8.3}", work.as_str());
        }
        let (total, granted) = (self.total_needed(), self.granted.iter().sum::<f64>());
        let _ = writeln!(text, "  {:<18} {total:>8.3}  {granted:>8.3}  of {}", "total", self.budget);
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<22} {value}\n"));
        line("watermark lag", duration(self.freshness.watermark_lag_seconds));
        line("full listing every", duration(self.freshness.full_listing_seconds));
        line("first start", format!("every chat read after {}", duration(self.first_start.as_secs_f64())));
        line("open messages", format!("{:.0}", self.open_messages));
        line("messages held", format!("{:.0}", self.size.tracked_messages));
        let each = if replicas > 1 { format!(" in each of {replicas} replicas") } else { String::new() };
        line("memory", format!("{}{each}, at most", bytes(self.size.memory_bytes)));
        line("state", bytes(self.size.state_bytes));
        line("series", self.size.series.to_string());
        text.push('\n');
        text.push_str(&self.verdict());
        text
    }

    /// Whether the budget suffices, in words, and which one would.
    pub fn verdict(&self) -> String {
        let (total, budget) = (self.total_needed(), self.budget);
        if self.suffices() {
            let share = total / budget * 100.0;
            return format!(
                "The budget of {budget} requests per second suffices: {share:.0} % of it is needed."
            );
        }
        let late: Vec<&str> =
            Work::ALL.iter().filter(|work| self.is_late(**work)).map(|work| work.as_str()).collect();
        let late = match late.as_slice() {
            [] => String::from("work is on time on average, and late whenever traffic rises"),
            late => format!("late: {}", late.join(", ")),
        };
        let advice = match self.sufficient_budget {
            Some(budget) => format!("--api.budget={budget} would"),
            None => String::from("no budget that can be configured would; lengthen the intervals"),
        };
        format!(
            "The budget of {budget} requests per second does not suffice: {total:.2} are needed ({late}). Every \
             message is still counted once, but later; {advice}."
        )
    }

    fn is_late(&self, work: Work) -> bool {
        let at = usize::from(work.number());
        is_short(self.granted[at], self.needed[at])
    }

    /// The prediction as JSON, for programs.
    pub fn json(&self, replicas: u64) -> Value {
        json!({
            "budget_requests_per_second": self.budget,
            "suffices": self.suffices(),
            "sufficient_budget_requests_per_second": self.sufficient_budget,
            "needed_requests_per_second": by_work(&self.needed),
            "granted_requests_per_second": by_work(&self.granted),
            "total_needed_requests_per_second": self.total_needed(),
            "freshness": self.freshness,
            "first_start_seconds": self.first_start.as_secs_f64(),
            "open_messages": self.open_messages,
            "size": self.size,
            "replicas": replicas,
            "memory_bytes_of_all_replicas": self.size.memory_bytes * replicas as f64,
            "verdict": self.verdict(),
        })
    }
}

fn by_work(rates: &ByWork) -> Value {
    let entries = Work::ALL.iter().zip(rates);
    Value::Object(entries.map(|(work, rate)| (work.as_str().to_owned(), json!(rate))).collect::<Map<_, _>>())
}

fn duration(seconds: f64) -> String {
    let whole = |unit: f64| Duration::from_secs(((seconds / unit).round() * unit) as u64);
    let rounded = match seconds {
        ..MINUTES_FROM => whole(1.0),
        ..HOURS_FROM => whole(60.0),
        _ => whole(360.0),
    };
    humantime::format_duration(rounded).to_string()
}

fn bytes(bytes: f64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    if bytes < 10.0 * MIB { format!("{:.1} MiB", bytes / MIB) } else { format!("{:.0} MiB", bytes / MIB) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::options;
    use crate::plan::{Account, predict};

    fn prediction(messages_per_second: f64) -> Prediction {
        predict(&Account { chats: 500, messages_per_second, lines: 3, sms_share: 0.3 }, &options())
    }

    #[test]
    fn the_verdict_names_the_budget_that_suffices() {
        assert!(prediction(0.1).verdict().contains("suffices"));
        let late = prediction(4.0);
        let proposed = format!("--api.budget={} would", late.sufficient_budget.unwrap());
        let verdict = late.verdict();
        assert!(verdict.contains("does not suffice") && verdict.contains(&proposed), "{verdict}");
        assert!(verdict.contains("read"), "{verdict}");
        let hopeless = Prediction { sufficient_budget: None, ..late };
        assert!(hopeless.verdict().contains("no budget"), "{}", hopeless.verdict());
    }

    #[test]
    fn both_forms_have_every_class_of_work() {
        let prediction = prediction(0.1);
        let (table, json) = (prediction.table(1), prediction.json(2));
        for work in Work::ALL {
            assert!(table.contains(work.as_str()), "{table}");
            assert!(json["needed_requests_per_second"][work.as_str()].is_number(), "{json}");
        }
        assert!(prediction.table(3).contains("each of 3 replicas"));
        let memory = json["size"]["memory_bytes"].as_f64().unwrap();
        assert_eq!(json["memory_bytes_of_all_replicas"].as_f64().unwrap(), 2.0 * memory);
    }

    #[test]
    fn durations_and_sizes_are_short() {
        assert_eq!(duration(18.4), "18s");
        assert_eq!(duration(600.0), "10m");
        assert_eq!(duration(50_000.0), "13h 54m");
        assert_eq!(bytes(9.0 * 1024.0 * 1024.0), "9.0 MiB");
    }
}
