//! Moving the replicas of a partition to other brokers, and its leader from one replica to another.
//!
//! The first replica of a partition is the preferred leader: the wanted broker is put in front of the others
//! (AlterPartitionReassignments), and then elected (ElectLeaders). librdkafka has neither request for Rust, and Kafka's
//! own tools are not among the programs that Maven fetches, so both are written here by hand
//! (<https://kafka.apache.org/protocol>).

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::metadata::MetadataPartition;

use super::probe::{Admin, client};
use crate::wait;

/// How long all of it may take. A broker that was away leads again once it has caught up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer may take.
const QUESTION: Duration = Duration::from_secs(5);
const ALTER_PARTITION_REASSIGNMENTS: (i16, i16) = (45, 0);
const ELECT_LEADERS: (i16, i16) = (43, 2);
/// The time that the broker may take, in ms.
const TIMEOUT: [u8; 4] = 5_000_i32.to_be_bytes();
/// Behind each structure of the newer versions of a request.
const NO_TAGGED_FIELDS: [u8; 1] = [0];

/// Lets the broker `to` lead a partition of which it has a replica. A broker that listens at `port` is asked.
pub(crate) fn move_leader(port: u16, topic: &str, partition: i32, to: i32) -> Result<(), String> {
    let client = client(port).map_err(|error| error.to_string())?;
    let (_, replicas) = look(&client, topic, partition)?;
    if !replicas.contains(&to) {
        return Err(format!("its replicas are on {replicas:?}"));
    }
    let others = replicas.into_iter().filter(|replica| *replica != to);
    let order: Vec<i32> = [to].into_iter().chain(others).collect();
    ask(port, ALTER_PARTITION_REASSIGNMENTS, &reassignment(topic, partition, &order))?;
    wait_until(
        |leader, _| leader == to,
        || {
            // Only a replica in sync is elected, and that may take a moment.
            ask(port, ELECT_LEADERS, &election(topic, partition))?;
            look(&client, topic, partition)
        },
    )
}

/// Puts the replicas of a partition on these brokers, the preferred leader first.
pub(crate) fn place(port: u16, topic: &str, partition: i32, brokers: &[i32]) -> Result<(), String> {
    let client = client(port).map_err(|error| error.to_string())?;
    ask(port, ALTER_PARTITION_REASSIGNMENTS, &reassignment(topic, partition, brokers))?;
    let sorted = |brokers: &[i32]| {
        let mut brokers = brokers.to_vec();
        brokers.sort_unstable();
        brokers
    };
    // Until the new ones are in sync, the old ones are replicas, too.
    wait_until(|_, replicas| sorted(replicas) == sorted(brokers), || look(&client, topic, partition))
}

/// Waits until the leader and the replicas are as they should be; or returns their last state.
fn wait_until(
    is_done: impl Fn(i32, &[i32]) -> bool,
    look: impl Fn() -> Result<(i32, Vec<i32>), String>,
) -> Result<(), String> {
    let mut last_seen = String::new();
    let done = wait::until(PATIENCE, || match look() {
        Ok((leader, replicas)) if is_done(leader, &replicas) => Some(()),
        Ok((leader, replicas)) => {
            let after = PATIENCE.as_secs();
            last_seen =
                format!("after {after} s broker {leader} leads, and the replicas are on {replicas:?}");
            None
        }
        Err(reason) => {
            last_seen = reason;
            None
        }
    });
    done.ok_or(last_seen)
}

/// The leader of a partition and its replicas, the preferred leader first.
fn look(client: &Admin, topic: &str, partition: i32) -> Result<(i32, Vec<i32>), String> {
    let metadata = client.inner().fetch_metadata(Some(topic), QUESTION).map_err(|error| error.to_string())?;
    let of_topic = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let found = of_topic.into_iter().find(|found| found.id() == partition);
    let describe = |found: &MetadataPartition| (found.leader(), found.replicas().to_vec());
    found.map(describe).ok_or_else(|| "there is no such partition".to_owned())
}

/// Asks once. What became of it is seen in the metadata.
fn ask(port: u16, api: (i16, i16), body: &[u8]) -> Result<(), String> {
    let exchange = || -> io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(QUESTION))?;
        connection.write_all(&request(api, body)?)?;
        // A request that the broker cannot read ends the connection.
        connection.read_exact(&mut [0; 4])
    };
    exchange().map_err(|error| format!("the broker at port {port} did not answer: {error}"))
}

/// Length, API and its version, correlation id, a client without a name.
fn request((api, version): (i16, i16), body: &[u8]) -> io::Result<Vec<u8>> {
    let header =
        [&api.to_be_bytes()[..], &version.to_be_bytes(), &[0; 4], &(-1_i16).to_be_bytes(), &NO_TAGGED_FIELDS];
    let request = [&header.concat(), body].concat();
    let length = i32::try_from(request.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &request].concat())
}

fn reassignment(topic: &str, partition: i32, replicas: &[i32]) -> Vec<u8> {
    let replicas: Vec<_> = replicas.iter().map(|replica| replica.to_be_bytes()).collect();
    let partition = [&partition.to_be_bytes()[..], &array(&replicas), &NO_TAGGED_FIELDS].concat();
    let topic = [text(topic), array(&[partition]), NO_TAGGED_FIELDS.to_vec()].concat();
    [&TIMEOUT[..], &array(&[topic]), &NO_TAGGED_FIELDS].concat()
}

fn election(topic: &str, partition: i32) -> Vec<u8> {
    const PREFERRED: [u8; 1] = [0];
    let topic = [text(topic), array(&[partition.to_be_bytes()]), NO_TAGGED_FIELDS.to_vec()].concat();
    [&PREFERRED[..], &array(&[topic]), &TIMEOUT, &NO_TAGGED_FIELDS].concat()
}

fn array(items: &[impl AsRef<[u8]>]) -> Vec<u8> {
    items.iter().fold(length(items.len()), |bytes, item| [&bytes, item.as_ref()].concat())
}

fn text(text: &str) -> Vec<u8> {
    [&length(text.len()), text.as_bytes()].concat()
}

/// A length is written plus one, seven bits a byte, the lowest first; all bytes but the last have the highest bit.
fn length(length: usize) -> Vec<u8> {
    let mut rest = length + 1;
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_seven_bits_a_byte() {
        assert_eq!(length(0), [1]);
        assert_eq!(length(126), [127]);
        assert_eq!(length(127), [0x80, 1]);
        assert_eq!(length(249), [0xfa, 1]);
    }

    #[test]
    fn requests_are_written_field_by_field() {
        let election = election("ab", 3);
        assert_eq!(election, [0, 2, 3, b'a', b'b', 2, 0, 0, 0, 3, 0, 0, 0, 0x13, 0x88, 0]);
        let reassignment = reassignment("a", 1, &[2, 3]);
        let expected = [0, 0, 0x13, 0x88, 2, 2, b'a', 2, 0, 0, 0, 1, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(reassignment, expected);
        let request = request(ELECT_LEADERS, &[7]).unwrap();
        assert_eq!(request, [0, 0, 0, 12, 0, 43, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0, 7]);
    }
}
