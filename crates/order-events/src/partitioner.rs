//! The partition of a key, as Java's default partitioner and librdkafka's `murmur2_random` choose it.

/// The partition of a record with this key in a topic of `partitions`: `toPositive(murmur2(key)) % partitions`
/// (`org.apache.kafka.clients.producer.internals.BuiltInPartitioner.partitionForKey`). 0 if there are none.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // Java clears the sign instead of negating the number.
    let positive = (murmur2(key) & 0x7fff_ffff).cast_signed();
    positive.checked_rem(partitions).unwrap_or_default()
}

/// The 32-bit Murmur2 of `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let (words, rest) = key.as_chunks::<4>();
    // A key is far shorter than what 32 bits count; Java's lengths have no more either.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash =
        words.iter().fold(SEED ^ length, |hash, word| hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word)));
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's `UtilsTest.testMurmur2`.
    const VECTORS: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ];

    #[test]
    fn the_hash_is_that_of_kafka() {
        for (key, hash) in VECTORS {
            assert_eq!(murmur2(key).cast_signed(), hash);
        }
    }

    #[test]
    fn a_key_has_the_partition_that_java_gives_it() {
        for (key, hash) in VECTORS {
            for partitions in [1, 3, 6, 100, i32::MAX] {
                let positive = i64::from(hash) & 0x7fff_ffff;
                assert_eq!(i64::from(partition_of(key, partitions)), positive % i64::from(partitions));
            }
        }
        assert_eq!(partition_of(b"abc", 0), 0);
    }
}
