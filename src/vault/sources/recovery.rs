//! The recovery code: 256 random bits on paper, in Crockford's base32, with a checksum against slips.
//!
//! Fourteen groups of four characters: 52 of key, 4 of checksum. Case, spaces and hyphens do not count, and
//! O reads as 0, I and L as 1.
use super::super::locked::{KEY, LockedKey};
use super::super::random::Random;
use crate::error::{Result, invalid};
use crate::secret::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BODY: usize = 52;
const CODE: usize = 56;
const GROUP: usize = 4;

/// A fresh slot secret and the code that says it, to be shown once, on a terminal, to a person.
pub(crate) fn make(random: &dyn Random) -> Result<(LockedKey, Secret)> {
    let key = LockedKey::filled(|out| random.fill(out))?;
    let code = key.expose(write);
    Ok((key, code))
}

fn write(key: &[u8; KEY]) -> Secret {
    let digits = digits(key);
    let mut text = String::with_capacity(CODE + CODE / GROUP);
    for (at, digit) in digits.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(*digit)]));
    }
    Secret::new(text)
}

/// The slot secret of a code that somebody typed.
///
/// Fails with `invalid_input` on a wrong length, a character that is no digit, or a checksum that does not match.
pub(crate) fn read(code: &Secret) -> Result<LockedKey> {
    code.expose(|text| {
        let mut typed = Zeroizing::new([0u8; CODE]);
        let mut count = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}')) {
            let digit =
                digit(c).ok_or_else(|| invalid("the recovery code has a character that is never in one"))?;
            let place = typed.get_mut(count).ok_or_else(|| invalid("the recovery code is too long"))?;
            *place = digit;
            count += 1;
        }
        if count < CODE {
            return Err(invalid("the recovery code is too short: it has 14 groups of 4 characters"));
        }
        let key = LockedKey::filled(|out| {
            for (at, digit) in typed[..BODY].iter().enumerate() {
                for bit in 0..5 {
                    let (index, set) = (at * 5 + bit, digit >> (4 - bit) & 1);
                    if index < KEY * 8 {
                        out[index / 8] |= set << (7 - index % 8);
                    }
                }
            }
            Ok(())
        })?;
        if key.expose(|k| digits(k).as_slice() == typed.as_slice()) {
            Ok(key)
        } else {
            Err(invalid("the recovery code has a typing error: its checksum does not match"))
        }
    })
}

fn digit(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    };
    ALPHABET.iter().position(|a| char::from(*a) == c).map(|at| at as u8)
}

/// 256 bits and 4 zero bits as 52 digits, then 20 bits of SHA-256 over the key as 4 digits.
fn digits(key: &[u8; KEY]) -> Zeroizing<[u8; CODE]> {
    let sum = Sha256::new().chain_update(b"cv1/recovery/").chain_update(key).finalize();
    let mut out = Zeroizing::new([0u8; CODE]);
    let bit = |bytes: &[u8], index: usize| bytes.get(index / 8).map_or(0, |b| b >> (7 - index % 8) & 1);
    for (at, digit) in out.iter_mut().enumerate() {
        for n in 0..5 {
            let set = if at < BODY { bit(key, at * 5 + n) } else { bit(&sum, (at - BODY) * 5 + n) };
            *digit = *digit << 1 | set;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::random::Seeded;

    fn code() -> (LockedKey, String) {
        let (key, code) = make(&Seeded::new(26)).unwrap();
        (key, code.expose(str::to_owned))
    }

    #[test]
    fn k_26_a_code_gives_its_key_back_in_either_case_and_with_the_usual_confusions() {
        let (key, text) = code();

        assert_eq!(text.split('-').count(), 14);
        let sloppy = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        for typed in [text.clone(), text.replace('-', ""), sloppy] {
            assert!(read(&Secret::new(typed)).unwrap() == key);
        }
    }

    #[test]
    fn k_26_one_wrong_character_anywhere_is_a_checksum_error() {
        let (_, text) = code();
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at] != b'-') {
            for wrong in ALPHABET.iter().filter(|wrong| **wrong != text.as_bytes()[at]) {
                let mut typed = text.clone().into_bytes();
                typed[at] = *wrong;
                let refused = read(&Secret::new(String::from_utf8(typed).unwrap())).unwrap_err();
                assert!(refused.message().contains("checksum"));
            }
        }
    }

    #[test]
    fn k_26_a_code_of_another_length_or_with_a_foreign_character_is_refused() {
        let (_, text) = code();
        for typed in
            [text[..text.len() - 1].to_owned(), format!("{text}0"), text.replacen('-', "U", 1), String::new()]
        {
            assert!(read(&Secret::new(typed)).is_err());
        }
    }
}
