//! Answers of a broker that is not up to date.

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const DESCRIBE_CONFIGS: i16 = 32;

/// The error code of an offset that is not in the log.
const OFFSET_OUT_OF_RANGE: [u8; 2] = 1_i16.to_be_bytes();

/// The error code of a broker that does not lead the partition.
const NOT_LEADER: [u8; 2] = 6_i16.to_be_bytes();

/// An answer of a broker that takes itself for the leader, and whose log is shorter than the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stale {
    /// What is to be fetched is not in the log.
    Fetch,
    /// It gives no records, as while the leader moves. librdkafka asks again after half a second.
    Leader,
    /// The log ends at offset 0.
    End,
    /// The topic has no `cleanup.policy`, as on a broker that is starting.
    Policy,
}

impl Stale {
    pub(super) fn api(self) -> i16 {
        match self {
            Self::Fetch | Self::Leader => FETCH,
            Self::End => LIST_OFFSETS,
            Self::Policy => DESCRIBE_CONFIGS,
        }
    }

    /// Changes the first partition of an answer, or the first topic. Returns whether there was one.
    pub(super) fn set(self, answer: &mut [u8]) -> bool {
        // Behind the correlation id, its tagged fields and the throttle time.
        let mut at = 4 + 1 + 4;
        match self {
            Self::Fetch | Self::Leader => {
                // An error code and the session's id; then the topics. A topic's id has 16 bytes.
                at += 2 + 4;
                if count(answer, &mut at) == 0 {
                    return false;
                }
                at += 16;
                if count(answer, &mut at) == 0 {
                    return false;
                }
                // Behind the partition's number.
                at += 4;
                let code = if self == Self::Leader { NOT_LEADER } else { OFFSET_OUT_OF_RANGE };
                answer[at..at + 2].copy_from_slice(&code);
            }
            Self::End => {
                if count(answer, &mut at) == 0 {
                    return false;
                }
                at += count(answer, &mut at);
                if count(answer, &mut at) == 0 {
                    return false;
                }
                // Behind the partition's number, its error code and the timestamp.
                at += 4 + 2 + 8;
                answer[at..at + 8].copy_from_slice(&0_i64.to_be_bytes());
            }
            Self::Policy => {
                let (policy, other) = (b"cleanup.policy", b"cleanup.______");
                let found = answer.windows(policy.len()).position(|name| name == policy);
                let Some(at) = found else { return false };
                answer[at..at + other.len()].copy_from_slice(other);
            }
        }
        true
    }
}

/// The length of a compact array or text, which is written with one added.
fn count(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value - 1;
        }
    }
}
