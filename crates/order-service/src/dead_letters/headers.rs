//! The headers of a dead letter.
//!
//! A letter has the record's own headers, in their order, and behind them headers about the failure. Existing tools
//! show these, since they have the names of Spring for Apache Kafka's [`DeadLetterPublishingRecoverer`] (numbers are
//! big-endian bytes) and of Kafka Connect's error reporter ([KIP-298], numbers are text). Our own are text.
//!
//! [`DeadLetterPublishingRecoverer`]: https://docs.spring.io/spring-kafka/reference/kafka/annotation-error-handling.html
//! [KIP-298]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-298

use jiff::Timestamp;
use order_events::Place;
use rdkafka::message::{Header, OwnedHeaders};

use super::category::Category;
use super::letter::DeadLetter;
use crate::event::original::OriginalHeader;
use crate::event::redrive_origin;

const SPRING_TOPIC: &str = "kafka_dlt-original-topic";
const SPRING_PARTITION: &str = "kafka_dlt-original-partition";
const SPRING_OFFSET: &str = "kafka_dlt-original-offset";
const SPRING_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const SPRING_EXCEPTION: &str = "kafka_dlt-exception-fqcn";
const SPRING_MESSAGE: &str = "kafka_dlt-exception-message";
const CONNECT_TOPIC: &str = "__connect.errors.topic";
const CONNECT_PARTITION: &str = "__connect.errors.partition";
const CONNECT_OFFSET: &str = "__connect.errors.offset";
const CONNECT_MESSAGE: &str = "__connect.errors.exception.message";
pub(super) const REASON: &str = "dlq-reason";
pub(super) const CATEGORY: &str = "dlq-category";
pub(super) const RETRY_COUNT: &str = "dlq-retry-count";
pub(super) const FAILED_AT: &str = "dlq-failed-at";
const CONSUMER_GROUP: &str = "dlq-consumer-group";

/// The headers that a letter adds to those of its record, in this order.
const ADDED: [&str; 15] = [
    SPRING_TOPIC,
    SPRING_PARTITION,
    SPRING_OFFSET,
    SPRING_TIMESTAMP,
    SPRING_EXCEPTION,
    SPRING_MESSAGE,
    CONNECT_TOPIC,
    CONNECT_PARTITION,
    CONNECT_OFFSET,
    CONNECT_MESSAGE,
    REASON,
    CATEGORY,
    RETRY_COUNT,
    FAILED_AT,
    CONSUMER_GROUP,
];

/// The size in bytes of a record that is too large for its letter, which has neither its value nor its headers; text.
const OMITTED: &str = "dlq-omitted";

/// On a record that a redrive has written: how often its event was sent again; text.
pub(super) const ATTEMPT: &str = "dlq-redrive-attempt";

/// On a note in the dead letter topic: the offset of the letter that was sent again; text.
pub(super) const REDRIVE_OF: &str = "dlq-redrive-of";

impl DeadLetter {
    /// Whether a redrive has written its record.
    pub(super) fn was_sent_again(&self) -> bool {
        self.original_headers.iter().any(|header| header.name == ATTEMPT)
    }

    /// All headers of the letter, as librdkafka takes them.
    pub(crate) fn headers(&self, topic: &str, group: &str) -> OwnedHeaders {
        to_kafka(&of_letter(self, topic, group))
    }
}

/// Headers as librdkafka takes them.
pub(super) fn to_kafka(headers: &[OriginalHeader]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, header| {
        all.insert(Header { key: &header.name, value: header.value.as_deref() })
    })
}

/// All headers of a letter: the record's own, and those about its failure.
pub(super) fn of_letter(letter: &DeadLetter, topic: &str, group: &str) -> Vec<OriginalHeader> {
    let category = Category::of(letter.rejection.reason);
    let added: [Vec<u8>; ADDED.len()] = [
        topic.into(),
        letter.partition.to_be_bytes().into(),
        letter.offset.to_be_bytes().into(),
        letter.timestamp.to_be_bytes().into(),
        format!("com.ecommerce.order.{}", letter.rejection.reason.as_str()).into(),
        letter.rejection.detail.clone().into(),
        topic.into(),
        letter.partition.to_string().into(),
        letter.offset.to_string().into(),
        letter.rejection.detail.clone().into(),
        letter.rejection.reason.as_str().into(),
        category.as_str().into(),
        letter.retries.to_string().into(),
        rfc3339(letter.failed_at).into(),
        group.into(),
    ];
    let added = ADDED.iter().zip(added).map(|(name, value)| header(name, value));
    let omitted = letter.omitted.map(|size| header(OMITTED, size.to_string().into()));
    letter.original_headers.iter().cloned().chain(omitted).chain(added).collect()
}

/// The headers of a redriven record: its own, without those that letters and earlier redrives added, and with those of
/// this redrive.
pub(super) fn of_redriven(
    mut letter: Vec<OriginalHeader>,
    attempt: u32,
    origin: Option<Place>,
) -> Vec<OriginalHeader> {
    let names =
        |headers: &[OriginalHeader]| headers.iter().map(|header| header.name.clone()).collect::<Vec<_>>();
    if let Some(own) = letter.len().checked_sub(ADDED.len())
        && names(&letter[own..]) == ADDED
    {
        letter.truncate(own);
    }
    letter.retain(|header| header.name != ATTEMPT && header.name != redrive_origin::HEADER);
    letter.push(header(ATTEMPT, attempt.to_string().into()));
    letter.extend(origin.map(|place| header(redrive_origin::HEADER, place.to_string().into())));
    letter
}

/// The headers of a letter or note that was read back.
pub(super) struct LetterHeaders<'a>(pub &'a [OriginalHeader]);

impl LetterHeaders<'_> {
    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rfind(|header| header.name == name)?.value.as_deref()
    }

    /// The last header of this name, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.bytes(name)?).ok()
    }

    /// A number that is written as text.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// The topic of the original record; our letters, Spring's and Connect's have it.
    pub(super) fn topic(&self) -> Option<&str> {
        self.text(SPRING_TOPIC).or_else(|| self.text(CONNECT_TOPIC))
    }

    /// The partition of the original record.
    pub(super) fn partition(&self) -> Option<i32> {
        let spring = self.bytes(SPRING_PARTITION).and_then(|bytes| bytes.try_into().ok());
        spring.map(i32::from_be_bytes).or_else(|| self.number(CONNECT_PARTITION))
    }

    /// The offset of the original record.
    pub(super) fn offset(&self) -> Option<i64> {
        let spring = self.bytes(SPRING_OFFSET).and_then(|bytes| bytes.try_into().ok());
        spring.map(i64::from_be_bytes).or_else(|| self.number(CONNECT_OFFSET))
    }

    /// What was wrong.
    pub(super) fn message(&self) -> Option<&str> {
        self.text(SPRING_MESSAGE).or_else(|| self.text(CONNECT_MESSAGE))
    }

    /// When the record was given up, in milliseconds since 1970.
    pub(super) fn failed_at(&self) -> Option<i64> {
        Some(self.text(FAILED_AT)?.parse::<Timestamp>().ok()?.as_millisecond())
    }

    /// Where the event was before its first redrive.
    pub(super) fn origin(&self) -> Option<Place> {
        redrive_origin::of_copied(self.0)
    }
}

/// A header with a value.
pub(super) fn header(name: &str, value: Vec<u8>) -> OriginalHeader {
    OriginalHeader { name: name.to_owned(), value: Some(value) }
}

/// Milliseconds since 1970 as RFC 3339.
pub(super) fn rfc3339(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use order_events::Reason;

    use super::*;
    use crate::dead_letters::sample;

    fn letter(original_headers: Vec<OriginalHeader>) -> DeadLetter {
        DeadLetter { original_headers, retries: 3, ..sample::letter(Reason::ProcessingFailed) }
    }

    #[test]
    fn a_letter_tells_its_failure_in_the_words_of_spring_of_connect_and_of_ours() {
        let own = header("own", vec![0, 0xff]);
        let headers = of_letter(&letter(vec![own]), "order-events", "group");
        let expected: [(&str, &[u8]); 16] = [
            ("own", &[0, 0xff]),
            ("kafka_dlt-original-topic", b"order-events"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 2]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 2]),
            ("kafka_dlt-original-timestamp", &1_700_000_000_000_i64.to_be_bytes()),
            ("kafka_dlt-exception-fqcn", b"com.ecommerce.order.processing_failed"),
            ("kafka_dlt-exception-message", b"why"),
            ("__connect.errors.topic", b"order-events"),
            ("__connect.errors.partition", b"2"),
            ("__connect.errors.offset", b"258"),
            ("__connect.errors.exception.message", b"why"),
            ("dlq-reason", b"processing_failed"),
            ("dlq-category", b"RETRY_THEN_DLQ"),
            ("dlq-retry-count", b"3"),
            ("dlq-failed-at", b"2023-11-14T22:13:37Z"),
            ("dlq-consumer-group", b"group"),
        ];
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|header| (header.name.as_str(), header.value.as_deref().unwrap())).collect();
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_redrive_strips_what_was_added_and_nothing_else() {
        // A record that had headers of these names itself.
        let own = vec![header(REASON, b"its own".to_vec()), header("other", b"1".to_vec())];
        let first = of_redriven(
            of_letter(&letter(own.clone()), "t", "g"),
            1,
            Some(Place { partition: 2, offset: 258 }),
        );
        let marks = |attempt: &[u8], origin: &[u8]| {
            vec![header(ATTEMPT, attempt.to_vec()), header(redrive_origin::HEADER, origin.to_vec())]
        };
        assert_eq!(first, [own.clone(), marks(b"1", b"2:258")].concat());
        // Dead again, and sent again.
        let read = of_letter(&letter(first), "t", "g");
        assert_eq!(LetterHeaders(&read).origin(), Some(Place { partition: 2, offset: 258 }));
        let second = of_redriven(read, 2, None);
        assert_eq!(second, [own, vec![header(ATTEMPT, b"2".to_vec())]].concat());
    }

    #[test]
    fn letters_of_other_tools_are_understood() {
        let spring =
            [header(SPRING_PARTITION, vec![0, 0, 0, 1]), header(SPRING_OFFSET, 7_i64.to_be_bytes().into())];
        assert_eq!((LetterHeaders(&spring).partition(), LetterHeaders(&spring).offset()), (Some(1), Some(7)));
        let connect = [header(CONNECT_PARTITION, b"1".to_vec()), header(CONNECT_OFFSET, b"7".to_vec())];
        assert_eq!(
            (LetterHeaders(&connect).partition(), LetterHeaders(&connect).offset()),
            (Some(1), Some(7))
        );
        let odd = [header(SPRING_PARTITION, vec![1]), header(CONNECT_OFFSET, b"x".to_vec())];
        assert_eq!((LetterHeaders(&odd).partition(), LetterHeaders(&odd).offset()), (None, None));
    }
}
