//! The tables. Each is described once; the statements are derived from the descriptions.
//!
//! All numbers are `bigint`: PostgreSQL has no unsigned types, and a counter is stored as the two's complement of its value.

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Int,
    Bytes,
    Text,
    Float,
    Bool,
}

impl Column {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Column::Int => "bigint",
            Column::Bytes => "bytea",
            Column::Text => "text",
            Column::Float => "double precision",
            Column::Bool => "boolean",
        }
    }
}

use Column::{Bool, Bytes, Float, Int, Text};

/// A table whose rows belong to an account. The first column identifies a row within it.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Column)],
}

/// The PostgreSQL schema that holds everything. It is never changed by `search_path`: every name is qualified.
pub(super) const NAMESPACE: &str = "blooio_exporter";
/// Raised with every change of the tables or of the histograms' buckets.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// What the marker table holds, by which the program recognises its tables.
pub(super) const PROGRAM: &str = "blooio-exporter";

pub(super) const LINE: Table = Table { name: "line", columns: &[("id", Int), ("name", Text)] };
pub(super) const DEVICE: Table = Table {
    name: "device",
    columns: &[("line", Int), ("probed_at", Int), ("answered", Bool), ("active", Bool), ("last_active", Int)],
};
pub(super) const CHAT: Table = Table {
    name: "chat",
    columns: &[
        ("key", Bytes),
        ("kind", Int),
        ("last_at", Int),
        ("last_id", Bytes),
        ("messages", Int),
        ("inbound", Int),
        ("outbound", Int),
        ("times", Int),
        ("cursor", Int),
        ("audited_at", Int),
        ("changed_since", Int),
        ("deep", Bool),
        ("explained", Int),
        ("line", Int),
        ("outage", Int),
        ("outage_since", Int),
        ("absent", Int),
        ("absent_since", Int),
        ("not_found", Int),
        ("not_found_since", Int),
        ("unshown", Bool),
    ],
};
pub(super) const MESSAGE: Table = Table {
    name: "message",
    columns: &[
        ("id", Bytes),
        ("sent_at", Int),
        ("packed", Int),
        ("open_chat", Bytes),
        ("seen_at", Int),
        ("missing_since", Int),
        ("missing_last", Int),
    ],
};
pub(super) const CONVERSATION: Table = Table {
    name: "conversation",
    columns: &[
        ("chat", Bytes),
        ("newest", Int),
        ("streak", Int),
        ("ours_at", Int),
        ("line", Int),
        ("awaits", Int),
        ("imessage_since", Int),
    ],
};
const PLACE: &[(&str, Column)] = &[("id", Bytes), ("chat", Bytes), ("sent_at", Int), ("line", Int)];
pub(super) const WAITING: Table = Table { name: "waiting", columns: PLACE };
pub(super) const LOST: Table = Table { name: "lost", columns: PLACE };
pub(super) const COUNTER: Table = Table { name: "counter", columns: &[("key", Text), ("value", Int)] };
pub(super) const HISTOGRAM: Table =
    Table { name: "histogram", columns: &[("key", Text), ("counts", Bytes), ("sum", Float)] };

/// Every table whose rows belong to an account.
pub(super) const TABLES: [&Table; 9] =
    [&LINE, &DEVICE, &CHAT, &MESSAGE, &CONVERSATION, &WAITING, &LOST, &COUNTER, &HISTOGRAM];

/// The columns of an account's progress, in the order in which they are read and written.
pub(super) const PROGRESS: [&str; 7] =
    ["baseline", "floor", "listed_at", "watermark", "last_success", "shown_at", "history"];

impl Table {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    fn key(&self) -> &'static str {
        self.columns[0].0
    }

    fn create(&self) -> String {
        let columns: String =
            self.columns.iter().map(|(name, column)| format!("{name} {}, ", column.sql())).collect();
        format!(
            "CREATE TABLE {NAMESPACE}.{} (account bigint NOT NULL, {columns}PRIMARY KEY (account, {}));",
            self.name,
            self.key()
        )
    }

    /// Inserts or replaces rows that are given as one array per column.
    pub(super) fn upsert(&self) -> String {
        let names = self.names().collect::<Vec<_>>().join(", ");
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(n, (_, column))| format!("${}::{}[]", n + 2, column.sql()))
            .collect();
        let set: Vec<String> = self.names().skip(1).map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        format!(
            "INSERT INTO {NAMESPACE}.{} (account, {names}) SELECT $1, * FROM unnest({}) AS u ON CONFLICT (account, {}) DO \
             UPDATE SET {}",
            self.name,
            arrays.join(", "),
            self.key(),
            set.join(", ")
        )
    }

    /// Deletes the rows whose keys are given as an array.
    pub(super) fn delete(&self) -> String {
        format!("DELETE FROM {NAMESPACE}.{} WHERE account = $1 AND {} = ANY($2)", self.name, self.key())
    }

    pub(super) fn delete_all(&self) -> String {
        format!("DELETE FROM {NAMESPACE}.{} WHERE account = $1", self.name)
    }

    pub(super) fn select(&self) -> String {
        let names = self.names().collect::<Vec<_>>().join(", ");
        format!("SELECT {names} FROM {NAMESPACE}.{} WHERE account = $1", self.name)
    }

    pub(super) fn types(&self) -> Vec<Column> {
        self.columns.iter().map(|(_, column)| *column).collect()
    }
}

/// Creates everything but the schema itself.
///
/// The sequence number of commits stands in the account's row and not in the lease: a renewal then never waits for a commit
/// that is under way. The unique index over the epoch makes an UPDATE of the epoch, which only a take does, conflict with the
/// `FOR KEY SHARE` of a commit; a renewal does not.
pub(super) fn create() -> String {
    let progress: String =
        PROGRESS.iter().map(|name| format!("{name} bigint NOT NULL DEFAULT 0, ")).collect();
    let tables: String = TABLES.iter().map(|table| table.create()).collect();
    format!(
        "CREATE TABLE {NAMESPACE}.state (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), program text NOT NULL,
             version bigint NOT NULL, key bytea NOT NULL);
         CREATE TABLE {NAMESPACE}.account (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
             first_start bigint NOT NULL, {progress}commit_seq bigint NOT NULL DEFAULT 0);
         CREATE TABLE {NAMESPACE}.lease (account text PRIMARY KEY, holder uuid, epoch bigint NOT NULL DEFAULT 0,
             expires timestamptz NOT NULL DEFAULT '-infinity', address text NOT NULL DEFAULT '');
         CREATE UNIQUE INDEX lease_fence ON {NAMESPACE}.lease (account, epoch);
         CREATE TABLE {NAMESPACE}.replica (id uuid PRIMARY KEY, expires timestamptz NOT NULL, address text NOT NULL);
         {tables}"
    )
}
