//! A vault on disk that is opened again and again, and numbers that come out the same for the same seed.
use std::path::Path;
use std::sync::Arc;
use unsaid::app::App;
use unsaid::clock::SystemClock;
use unsaid::config::{Config, File, Origin, Places};
use unsaid::error::Result;

/// The configuration of a vault under `home`, as the test world lays it out.
pub fn config(home: &Path) -> Config {
    Config {
        places: Places {
            data: home.join("data"),
            config: home.join("config"),
            keys: home.join("keys"),
            origin: Origin::Environment,
        },
        file: File::default(),
    }
}

/// Opens the vault under `home` as another process would.
pub fn open(home: &Path) -> Result<App> {
    App::open_with(config(home), Arc::new(SystemClock), None)
}

/// SplitMix64: enough for choosing moments, offsets and values; nothing here is secret.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The value that belongs to a number: 16 to about 1,000 characters.
pub fn value_of(number: u64) -> String {
    let mut dice = Dice(number);
    let words = 1 + dice.below(60);
    (0..words).map(|_| format!("{:016x}", dice.next())).collect()
}

/// A number of the environment, for runs longer than the usual one.
pub fn count(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A seed of the environment, or a new one.
pub fn seed(variable: &str) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    count(variable, now.expect("the clock is after 1970").as_nanos() as u64)
}
