//! The dead letter topic of older versions, see `tests/golden/README.md`.

use order_events::{OrderEvent, Payload, Place, Reason, UpdateOrderPayload};
use rdkafka::Message;
use rdkafka::message::Headers;

use super::category::Category;
use super::headers::{header, of_redriven};
use super::letter::DeadLetter;
use super::note::RedriveNote;
use super::sample;
use super::stored_letter::StoredLetter;
use crate::event::key::EventKey;
use crate::event::original::OriginalHeader;
use crate::event::outcome::Rejection;
use crate::event::record;
use crate::golden::{Codecs, Line, lines, shown};

const TOPIC: &str = "order-events";

fn event() -> OrderEvent {
    let payload = Payload::Update(UpdateOrderPayload { status: "confirmed".into() });
    let event_type = payload.event_type();
    let timestamp = "2026-11-27T01:02:03.456Z".to_owned();
    OrderEvent { event_type, order_id: "ORD-1003".to_owned(), timestamp, payload }
}

fn letter(reason: Reason, detail: &str, value: Option<Vec<u8>>) -> DeadLetter {
    DeadLetter {
        offset: 3_000_000_000,
        key: Some(b"ORD-1003".to_vec()),
        value,
        original_headers: vec![
            header("ce_id", b"u-1".to_vec()),
            OriginalHeader { name: "none".into(), value: None },
        ],
        rejection: Rejection::new(reason, detail),
        ..sample::letter(reason)
    }
}

fn stored(dlq_offset: i64, reason: Reason, message: &str, value: Option<&[u8]>) -> StoredLetter {
    StoredLetter {
        dlq_offset,
        order_id: Some("ORD-1003".into()),
        reason: Some(reason),
        category: Some(Category::NoRetryDlq),
        message: message.into(),
        retry_count: 0,
        failed_at: 1_700_000_017_000,
        topic: Some(TOPIC.into()),
        partition: Some(2),
        offset: Some(3_000_000_000),
        event: Some(EventKey::of("u-1")),
        value: value.map(Box::from),
        attempts: 0,
        origin: None,
    }
}

/// What was written, and what must be read.
fn set_1(event: &[u8]) -> Vec<(&'static str, DeadLetter, StoredLetter)> {
    let early = letter(Reason::UnknownOrder, "no CREATE", Some(event.to_vec()));
    let rubbish = DeadLetter {
        key: None,
        original_headers: Vec::new(),
        ..letter(Reason::Undecodable, "é漢", Some(b"rubbish".to_vec()))
    };
    let failed = DeadLetter {
        retries: 3,
        original_headers: vec![
            header("ce_id", b"u-1".to_vec()),
            header("dlq-redrive-attempt", b"2".to_vec()),
            header("dlq-redrive-origin", b"2:17".to_vec()),
        ],
        ..letter(Reason::ProcessingFailed, "it failed", Some(event.to_vec()))
    };
    let large = DeadLetter {
        omitted: Some(3_900_001),
        original_headers: Vec::new(),
        ..letter(Reason::InvalidEvent, "too large", None)
    };
    vec![
        ("an update without its order", early, stored(0, Reason::UnknownOrder, "no CREATE", Some(event))),
        (
            "no event, without a key",
            rubbish,
            StoredLetter {
                order_id: None,
                event: None,
                ..stored(1, Reason::Undecodable, "é漢", Some(b"rubbish"))
            },
        ),
        (
            "one that was sent again twice",
            failed,
            StoredLetter {
                category: Some(Category::RetryThenDlq),
                retry_count: 3,
                attempts: 2,
                origin: Some(Place { partition: 2, offset: 17 }),
                ..stored(2, Reason::ProcessingFailed, "it failed", Some(event))
            },
        ),
        (
            "one that is too large",
            large,
            StoredLetter { event: None, ..stored(3, Reason::InvalidEvent, "too large", None) },
        ),
    ]
}

fn note_of_set_1() -> RedriveNote {
    RedriveNote { attempt: 3, by: Some("ada".into()), forced: true, ..sample::note(2, 3_000_000_007) }
}

fn line(about: &str, key: Option<&[u8]>, value: Option<&[u8]>, headers: &impl Headers) -> Line {
    let headers: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    Line::new(about, key, value, &headers)
}

#[test]
fn every_letter_of_set_1_is_read_and_sent_again_as_its_record_was() {
    let codecs = Codecs::events("1");
    let mut bytes = Vec::new();
    codecs.then.encode(&event(), &mut bytes).unwrap();
    let samples = set_1(&bytes);
    let today = samples.iter().map(|(about, letter, _)| {
        line(about, letter.key.as_deref(), letter.value.as_deref(), &letter.headers(TOPIC, "order-service"))
    });
    let lines = lines("1", "letters.jsonl", &today.collect::<Vec<_>>());
    assert_eq!(lines.len(), samples.len());
    for ((line, offset), (about, letter, stored)) in lines.iter().zip(0..).zip(samples) {
        let record = line.record("dlq", offset);
        assert_eq!(StoredLetter::of(&record), stored, "{about}");
        assert_eq!(RedriveNote::of(&record), None, "{about}");
        let again = of_redriven(record::headers(&record), 3, stored.origin);
        let own = letter.original_headers.iter().filter(|header| !header.name.starts_with("dlq-redrive-"));
        let omitted = letter.omitted.map(|size| header("dlq-omitted", size.to_string().into()));
        let origin = stored.origin.map(|place| header("dlq-redrive-origin", place.to_string().into()));
        let attempt = header("dlq-redrive-attempt", b"3".to_vec());
        let expected: Vec<_> = own.cloned().chain(omitted).chain([attempt]).chain(origin).collect();
        assert_eq!(again, expected, "{about}");
        if record.payload() == Some(bytes.as_slice()) {
            let read = codecs.today.decode(record.payload()).unwrap();
            assert_eq!(shown(&read), shown(&event()), "{about}");
        }
    }
}

#[test]
fn the_note_of_set_1_is_read() {
    let note = note_of_set_1();
    let value = serde_json::to_vec(&note).unwrap();
    let headers = super::headers::to_kafka(&note.headers());
    let today = line("a redrive", Some(b"ORD-1003"), Some(&value), &headers);
    let lines = lines("1", "notes.jsonl", &[today]);
    let [line] = lines.as_slice() else { panic!("one note") };
    assert_eq!(RedriveNote::of(&line.record("dlq", 9)), Some(note));
}
