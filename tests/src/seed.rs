//! Chance that can be had again.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// The seed of a test: that of the environment variable `SEED`, else a new one. It is printed, and a test that
/// fails shows what it printed.
#[expect(clippy::print_stdout, reason = "the test's runner shows it if the test fails")]
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seed = given.unwrap_or_else(|| rand::rng().random());
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    println!("SEED={seed} {test}");
    seed
}

/// A source of chance of its own for each part of a test: what one part draws does not change another's.
pub fn chance(seed: u64, part: u64) -> ChaCha8Rng {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    chance.set_stream(part);
    chance
}

/// How many rounds a test of random moments has: the first number, or the second in `make test-long`.
pub fn rounds(usual: usize, long: usize) -> usize {
    if std::env::var_os("TEST_LONG").is_some() { long } else { usual }
}
