//! The places in an `Order-Position`.

use crate::checker::Place;

/// The `Order-Position` of an answer.
pub(super) fn position(answer: &reqwest::Response) -> Option<String> {
    let position = answer.headers().get("order-position")?;
    Some(position.to_str().expect("a position is text").to_owned())
}

/// Its places.
pub(super) fn places(position: &str) -> Vec<Place> {
    let place = |place: &str| {
        let (partition, offset) = place.split_once(':').expect("partition:offset");
        (partition.parse().unwrap(), offset.parse().unwrap())
    };
    position.split(',').map(|one| place(one.trim())).collect()
}

/// Whether an answer with the position `now` is as new as `asked`, as far as both speak of the same partitions.
pub(super) fn is_as_new(now: &str, asked: &str) -> bool {
    let now = places(now);
    let is_reached = |(partition, offset): Place| {
        now.iter().filter(|place| place.0 == partition).all(|place| place.1 >= offset)
    };
    places(asked).into_iter().all(is_reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_new_as_what_was_asked_for_in_each_partition_that_both_name() {
        assert!(is_as_new("0:7", "0:7,1:5"));
        assert!(is_as_new("0:8,1:5,2:0", "1:5"));
        assert!(!is_as_new("0:8,1:4", "0:7,1:5"));
    }
}
