//! The log of the events lost its end after that was processed, as after a loss of power: the broker came back with an older
//! copy of partition 0. Events that were acknowledged afterwards have offsets that others had before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use end_to_end_tests::{Load, Service, World};
use rustix::process::Signal;
use tokio::task::block_in_place;

/// These are in the copy.
const BEFORE: u32 = 200;
/// Those up to here are processed as well, and lost from partition 0.
const LOST: u32 = 300;
/// Those up to here are acknowledged after that, more than were lost.
const ALL: u32 = 800;

/// Something that is no event, with a key of partition 0.
const RUBBISH: &[u8] = b"rubbish";

/// The copy of partition 0.
struct Copy(std::path::PathBuf);

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

impl Copy {
    fn of(world: &World) -> Self {
        let copy = world.folder().join("older copy");
        world.while_stopped(|| copy_folder(&world.partition_folder(&world.events()), &copy));
        Self(copy)
    }

    fn put_back(&self, world: &World) {
        world.while_stopped(|| {
            let folder = world.partition_folder(&world.events());
            fs::remove_dir_all(&folder).unwrap();
            copy_folder(&self.0, &folder);
        });
    }
}

/// How many of the first so many orders have their events in partition 0.
fn in_partition_0(world: &World, orders: u32) -> usize {
    let records = block_in_place(|| world.events().read());
    let wanted = |record: &&end_to_end_tests::Record| {
        let key = record.key.as_deref().and_then(|key| str::from_utf8(key).ok());
        let number = key.and_then(|key| key.strip_prefix("ORD-")?.parse::<u32>().ok());
        record.partition == 0 && number.is_some_and(|number| number < orders)
    };
    records.iter().filter(wanted).count()
}

/// A letter that is no event, whose place is in partition 0.
async fn write_rubbish(world: &World) -> i64 {
    for key in 0.. {
        let (partition, offset) =
            world.events().write(Some(format!("rubbish-{key}").as_bytes()), Some(RUBBISH), &[]).await;
        if partition == 0 {
            return offset;
        }
    }
    unreachable!("some key has partition 0")
}

/// How many letters each place of partition 0 has.
fn letters(world: &World) -> BTreeMap<String, usize> {
    let mut letters = BTreeMap::new();
    for letter in block_in_place(|| world.dead_letters().read()) {
        if letter.header("__connect.errors.partition").as_deref() == Some("0") {
            *letters.entry(letter.header("__connect.errors.offset").unwrap()).or_default() += 1;
        }
    }
    letters
}

/// What is wanted of an instance after all this.
async fn went_back(service: &Service, world: &World, lost: usize) {
    service.shows(ALL).await;
    let health = service.get("/health").await.json;
    let partition = &health["partitions"][0];
    let (from, to) = (partition["cut"]["from"].as_i64().unwrap(), partition["cut"]["to"].as_i64().unwrap());
    // It is known which event differs, but for those since the last checkpoint.
    assert!(to - from >= i64::try_from(lost).unwrap(), "{partition}, {lost} lost");
    assert_eq!(health["events_cut"], to - from, "{health}");
    for other in [1, 2] {
        assert_eq!(health["partitions"][other]["cut"], serde_json::Value::Null);
    }
    assert_eq!(service.metric("order_events_cut_total").await, Some((to - from) as f64));
    assert!(service.log().lines().any(|line| line.contains("ERROR") && line.contains("lost its end")));
    // What became of each event that is there now.
    let events = block_in_place(|| world.events().read());
    for event in events.iter().filter(|event| event.partition == 0) {
        let answer = service.get(&format!("/events/{}/0/{}", world.topic(), event.offset)).await;
        let wanted = if event.value.as_deref() == Some(RUBBISH) { "dead_lettered" } else { "applied" };
        assert_eq!(answer.json["outcome"], wanted, "{}: {}", event.offset, answer.text);
    }
    for number in 0..ALL {
        service.order(&format!("ORD-{number}"), |order| order["status"] == "new").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_took_the_places_of_lost_ones_are_processed() {
    let world = World::own().await;
    let load = Load::new(&world).await;
    let service = world.orders().await;
    load.creates(0..BEFORE).await;
    let rubbish = write_rubbish(&world).await;
    service.shows(BEFORE).await;
    let copy = Copy::of(&world);
    load.creates(BEFORE..LOST).await;
    service.shows(LOST).await;
    let before = in_partition_0(&world, LOST);
    service.stop().await;

    copy.put_back(&world);
    let lost = before - in_partition_0(&world, LOST);
    assert!(lost > 0);
    Load::new(&world).await.creates(LOST..ALL).await;
    let service = world.orders_starting().await;
    went_back(&service, &world, lost).await;
    assert_eq!(letters(&world).get(&rubbish.to_string()), Some(&1), "it was read again");
    service.stop().await;

    // The next start finds nothing to do, and tells it still.
    let service = world.orders().await;
    service.shows(ALL).await;
    assert_eq!(service.metric("order_events_cut_total").await, Some(0.0));
    assert_ne!(service.get("/health").await.json["events_cut"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_noticed_by_a_running_instance_that_goes_on() {
    let world = World::own().await;
    let load = Load::new(&world).await;
    let service = world.orders().await;
    load.creates(0..BEFORE).await;
    service.shows(BEFORE).await;
    let events = world.events();
    let length = fs::metadata(world.segment(&events)).unwrap().len();
    load.creates(BEFORE..LOST).await;
    service.shows(LOST).await;
    let before = in_partition_0(&world, LOST);

    // It sees the log again when that is longer than what it has processed.
    service.signal(Signal::STOP);
    world.change_segment(&events, |bytes| bytes.truncate(usize::try_from(length).unwrap()));
    let lost = before - in_partition_0(&world, LOST);
    Load::new(&world).await.creates(LOST..ALL).await;
    service.signal(Signal::CONT);
    went_back(&service, &world, lost).await;
}
