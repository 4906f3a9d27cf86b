//! Dead letters as text and as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use broadway::{
    dead_letters::{ListedLetter, ReplayReport},
    portable::to_base64,
    publisher::{Header, HeaderValue},
};
use serde_json::{Value, json};

/// How much of a payload a list shows.
pub(crate) const PREVIEW_BYTES: usize = 60;

pub(crate) const HEADING: &str =
    "ID                                CLASS      ATTEMPTS  ORIGIN  REASON  PAYLOAD";

/// One line of a list.
pub(crate) fn line(letter: &ListedLetter) -> String {
    let info = &letter.info;
    let class = info.class.map_or("-", |class| class.name());
    let attempts = info
        .attempts
        .map_or("-".to_owned(), |attempts| attempts.to_string());
    format!(
        "{:32}  {class:9}  {attempts:>8}  {}  {}  {}",
        info.id.as_deref().unwrap_or("-"),
        shown(&info.origin),
        shown(&info.reason),
        preview(letter)
    )
}

/// Everything about one dead letter.
pub(crate) fn full(letter: &ListedLetter) -> String {
    let info = &letter.info;
    let mut text = String::new();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("{name:12} {}\n", shown(&value));
        }
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let millis = |time: Option<SystemTime>| Some(format!("{} ms since 1970", millis(time?)?));
    field("id", info.id.clone());
    field("origin", Some(info.origin.clone()));
    field("found at", Some(letter.coordinates.clone()));
    field("reason", Some(info.reason.clone()));
    for source in &info.error_chain {
        field("  because", Some(source.clone()));
    }
    field("class", info.class.map(|class| class.name().to_owned()));
    field("stage", info.stage.clone());
    field("pipeline", info.pipeline.clone());
    field("attempts", number(info.attempts));
    field("deliveries", number(info.deliveries));
    field("replays", Some(info.replays.to_string()));
    field("record time", millis(info.time));
    field("failed at", millis(info.failed_at));
    field(
        "key",
        letter
            .key
            .as_ref()
            .map(|key| key.escape_ascii().to_string()),
    );
    for header in &letter.headers {
        field(
            "header",
            Some(format!("{}: {}", header.name, value_text(header))),
        );
    }
    text += &format!(
        "payload      {} bytes\n\n{}",
        letter.payload_bytes,
        body(letter)
    );
    text
}

/// One dead letter as JSON. Bytes that are not UTF-8 are base64, under a name that ends with it.
pub(crate) fn json(letter: &ListedLetter) -> Value {
    let info = &letter.info;
    let mut object = json!({
        "id": info.id,
        "origin": info.origin,
        "coordinates": letter.coordinates,
        "reason": info.reason,
        "error_chain": info.error_chain,
        "class": info.class.map(|class| class.name()),
        "stage": info.stage,
        "pipeline": info.pipeline,
        "attempts": info.attempts,
        "deliveries": info.deliveries,
        "replays": info.replays,
        "time": info.time.and_then(millis),
        "failed_at": info.failed_at.and_then(millis),
        "payload_bytes": letter.payload_bytes,
        "headers": letter.headers.iter().map(|header| json!([header.name.to_string(), value_text(header)])).collect::<Vec<_>>(),
    });
    put(&mut object, "payload", &letter.preview);
    if let Some(key) = &letter.key {
        put(&mut object, "key", key);
    }
    object
}

/// The counts of a replay as JSON.
pub(crate) fn report(report: &ReplayReport, is_dry_run: bool) -> Value {
    json!({
        "listed": report.listed,
        "matched": report.matched,
        "replayed": report.replayed,
        "failed": report.failed,
        "others": report.others,
        "first_error": report.first_error,
        "stopped": report.stopped.map(|reason| format!("{reason:?}")),
        "dry_run": is_dry_run,
    })
}

fn put(object: &mut Value, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object[name] = text.into(),
        Err(_) => object[format!("{name}_base64")] = to_base64(bytes).into(),
    }
}

fn millis(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Text without characters that could change the terminal.
fn shown(text: &str) -> String {
    let show = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(show).collect()
}

fn preview(letter: &ListedLetter) -> String {
    let more = if letter.preview.len() < letter.payload_bytes {
        "…"
    } else {
        ""
    };
    format!("{}{more}", shown(&String::from_utf8_lossy(&letter.preview)))
}

/// The payload: text as it is, with its lines; other bytes escaped.
fn body(letter: &ListedLetter) -> String {
    match std::str::from_utf8(&letter.preview) {
        Ok(text) => text.lines().map(shown).collect::<Vec<_>>().join("\n"),
        Err(_) => letter.preview.escape_ascii().to_string(),
    }
}

fn value_text(header: &Header) -> String {
    match &header.value {
        HeaderValue::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.escape_ascii().to_string(),
        },
        HeaderValue::Bool(value) => value.to_string(),
        HeaderValue::Int(value) => value.to_string(),
        HeaderValue::Float(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
