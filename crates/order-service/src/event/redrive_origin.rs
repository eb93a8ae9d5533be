//! The first place of an event that was sent again.

use std::str;

use order_events::Place;
use rdkafka::message::Headers;

use super::original::OriginalHeader;

/// The header that says it, `<partition>:<offset>`; text. An update is not applied over a later one than that. Missing if
/// the redrive was forced. The last one counts: a redrive adds it behind what a client sent.
pub(crate) const HEADER: &str = "dlq-redrive-origin";

/// From the headers of a record.
pub(crate) fn of(headers: &impl Headers) -> Option<Place> {
    let last = headers.iter().filter(|header| header.key == HEADER).last()?;
    parsed(last.value?)
}

/// From the headers of a copied record.
pub(crate) fn of_copied(headers: &[OriginalHeader]) -> Option<Place> {
    let last = headers.iter().rfind(|header| header.name == HEADER)?;
    parsed(last.value.as_deref()?)
}

fn parsed(value: &[u8]) -> Option<Place> {
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    /// As a record has them and as a copy has them.
    fn both(values: &[Option<&str>]) -> [Option<Place>; 2] {
        let record = values
            .iter()
            .fold(OwnedHeaders::new().insert(Header { key: "other", value: Some("0:9") }), |all, value| {
                all.insert(Header { key: HEADER, value: *value })
            });
        let copied = values.iter().map(|value| OriginalHeader {
            name: HEADER.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        });
        [of(&record), of_copied(&copied.collect::<Vec<_>>())]
    }

    #[test]
    fn the_last_header_counts_on_a_record_and_on_its_copy() {
        let place = |offset| Some(Place { partition: 2, offset });
        assert_eq!(both(&[Some("2:5")]), [place(5); 2]);
        assert_eq!(both(&[Some("2:5"), Some("2:7")]), [place(7); 2]);
        assert_eq!(both(&[Some("2:5"), Some("here")]), [None; 2]);
        assert_eq!(both(&[Some("2:5"), None]), [None; 2]);
        assert_eq!(both(&[]), [None; 2]);
    }
}
