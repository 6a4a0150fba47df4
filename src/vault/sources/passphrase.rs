//! A passphrase through Argon2id version 1.3 (RFC 9106).
//!
//! Costs come from a row of the database, so they are bounded before a byte is allocated (K-11).
use super::super::locked::LockedKey;
use super::super::random::Random;
use super::Config;
use crate::error::{Code, Error, Result, internal};
use crate::secret::Secret;
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

const SALT: usize = 32;
const MIN_CHARACTERS: usize = 15;
const MAX_BYTES: usize = 1024;

/// The cost of one guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    m_kib: u32,
    t: u32,
    p: u32,
}

impl Cost {
    /// About a second on a laptop.
    pub const FULL: Cost = Cost { m_kib: 256 * 1024, t: 3, p: 1 };
    /// The second recommendation of RFC 9106 §4: where memory is short.
    pub const SMALL: Cost = Cost { m_kib: 64 * 1024, t: 3, p: 4 };

    /// The full cost if the machine (or the container's limit) leaves four times its memory free.
    pub fn for_this_machine() -> Cost {
        let kib = |path: &str| std::fs::read_to_string(path).ok();
        let free = kib("/proc/meminfo").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        });
        let limit = kib("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
        let short = |kib: u64| kib < 4 * u64::from(Cost::FULL.m_kib);
        if free.is_some_and(short) || limit.is_some_and(|bytes| short(bytes / 1024)) {
            Cost::SMALL
        } else {
            Cost::FULL
        }
    }

    /// A cost that was read from a row: 46 MiB to 1 GiB, at most 10 passes and 8 lanes (OWASP ASVS, RFC 9106).
    pub fn bounded(m_kib: u32, t: u32, p: u32) -> Result<Cost> {
        let sound =
            (46 * 1024..=1024 * 1024).contains(&m_kib) && (1..=10).contains(&t) && (1..=8).contains(&p);
        if sound {
            Ok(Cost { m_kib, t, p })
        } else {
            Err(Error::new(Code::Integrity, "the cost of a passphrase slot is outside what is ever written"))
        }
    }
}

/// A slot's secret and settings out of a new passphrase; fails with `passphrase_weak`.
pub(crate) fn make(passphrase: &Secret, cost: Cost, random: &dyn Random) -> Result<(LockedKey, Config)> {
    passphrase.expose(check_strength)?;
    let mut salt = [0u8; SALT];
    random.fill(&mut salt)?;
    let config = Config::Passphrase { m_kib: cost.m_kib, t: cost.t, p: cost.p, salt: BASE64.encode(&salt) };
    Ok((derive(passphrase, cost, &salt)?, config))
}

/// A slot's secret out of the passphrase somebody just typed; whether it is the right one shows at unwrapping.
pub(crate) fn read(passphrase: &Secret, cost: Cost, salt: &str) -> Result<LockedKey> {
    let salt = BASE64.decode(salt.as_bytes()).ok().filter(|salt| salt.len() == SALT);
    let salt =
        salt.ok_or_else(|| Error::new(Code::Integrity, "the salt of a passphrase slot cannot be read"))?;
    derive(passphrase, cost, &salt)
}

/// Whether a new passphrase is hard enough to guess; `passphrase_weak` with the reason otherwise.
pub fn strong_enough(passphrase: &Secret) -> Result<()> {
    passphrase.expose(check_strength)
}

fn check_strength(text: &str) -> Result<()> {
    let weak = |why: &'static str| Err(Error::new(Code::PassphraseWeak, why));
    if text.chars().count() < MIN_CHARACTERS {
        return weak("the passphrase has fewer than 15 characters");
    }
    if text.len() > MAX_BYTES {
        return weak("the passphrase is longer than 1024 bytes");
    }
    if zxcvbn::zxcvbn(text, &["unsaid", "vault"]).score() < zxcvbn::Score::Three {
        return weak("the passphrase is easy to guess");
    }
    Ok(())
}

/// The text is brought to NFC first: the same words typed on another system are the same passphrase.
fn derive(passphrase: &Secret, cost: Cost, salt: &[u8]) -> Result<LockedKey> {
    let params = Params::new(cost.m_kib, cost.t, cost.p, Some(32))
        .map_err(|_| internal("an Argon2 cost is invalid"))?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    passphrase.expose(|text| {
        if text.len() > MAX_BYTES {
            return Err(Error::new(Code::PassphraseWeak, "the passphrase is longer than 1024 bytes"));
        }
        let mut normal = Zeroizing::new(String::with_capacity(4 * MAX_BYTES));
        normal.extend(text.nfc());
        LockedKey::filled(|out| {
            argon.hash_password_into(normal.as_bytes(), salt, out).map_err(|_| {
                Error::new(Code::VaultLocked, "there is not enough memory to check a passphrase")
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::random::{OsRandom, Seeded};

    fn words(n: usize) -> Secret {
        Secret::new(["orbit", "velvet", "canyon", "thistle", "marble"][..n].join(" "))
    }

    #[test]
    fn k_11_costs_out_of_bounds_are_refused_before_anything_is_allocated() {
        let began = std::time::Instant::now();
        for (m_kib, t, p) in [
            (4 * 1024 * 1024, 3, 1),
            (u32::MAX, 3, 1),
            (256 * 1024, 1000, 1),
            (256 * 1024, 3, 64),
            (1024, 3, 1),
            (46 * 1024 - 1, 3, 1),
            (64 * 1024, 0, 1),
            (64 * 1024, 1, 0),
        ] {
            assert_eq!(Cost::bounded(m_kib, t, p).unwrap_err().code, Code::Integrity);
        }
        assert!(began.elapsed().as_millis() < 50);
        assert!(
            Cost::bounded(Cost::FULL.m_kib, 3, 1).is_ok() && Cost::bounded(Cost::SMALL.m_kib, 3, 4).is_ok()
        );
    }

    #[test]
    fn short_and_guessable_passphrases_are_refused() {
        for weak in ["short", &"a".repeat(40), "passwordpassword", "qwertyuiopasdfgh"] {
            let refused = make(&Secret::new((*weak).into()), Cost::SMALL, &OsRandom).err().unwrap();
            assert_eq!(refused.code, Code::PassphraseWeak);
            assert!(!refused.message().contains(weak));
        }
    }

    #[test]
    fn the_same_words_give_the_same_key_in_either_unicode_form_and_others_do_not() {
        let (made, config) = make(&words(5), Cost::SMALL, &Seeded::new(1)).unwrap();
        let Config::Passphrase { salt, .. } = config else { panic!("another kind") };

        assert!(read(&words(5), Cost::SMALL, &salt).unwrap() == made);
        assert!(read(&words(4), Cost::SMALL, &salt).unwrap() != made);
        let composed = read(&Secret::new("caf\u{e9} caf\u{e9}".into()), Cost::SMALL, &salt).unwrap();
        assert!(
            read(&Secret::new("cafe\u{301} cafe\u{301}".into()), Cost::SMALL, &salt).unwrap() == composed
        );
    }
}
