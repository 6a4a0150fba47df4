//! How hard a value is to guess: whether a password is weak, and whether a value may be looked for among others.
//!
//! What few guesses reach is left out of the search for duplicates, or the search would tell whoever may add values
//! which ones others have.

words! {
    /// How many guesses a value takes.
    Strength {
        /// Fewer than a hundred million (10^8).
        Weak = "weak",
        /// Fewer than ten thousand million (10^10): too few to be compared with others.
        Guessable = "guessable",
        Strong = "strong",
    }
}

/// How much of a value is judged, in characters: more of it costs time and changes nothing.
const JUDGED: usize = 40;
/// A value this long, of this many different characters, digits among letters, is made by a machine.
const MACHINE_LENGTH: usize = 20;
const MACHINE_CHARACTERS: usize = 10;

/// Judges `value`, whose blanks around it count for nothing.
pub fn strength(value: &[u8]) -> Strength {
    let Ok(text) = std::str::from_utf8(value) else {
        return if value.len() >= 16 { Strength::Strong } else { Strength::Guessable };
    };
    let text = text.trim();
    if is_machine_made(text) {
        return Strength::Strong;
    }
    let judged: String = text.chars().take(JUDGED).collect();
    let judged = crate::secret::Secret::new(judged);
    match judged.expose(|text| zxcvbn::zxcvbn(text, &[]).guesses()) {
        ..100_000_000 => Strength::Weak,
        100_000_000..10_000_000_000 => Strength::Guessable,
        _ => Strength::Strong,
    }
}

fn is_machine_made(text: &str) -> bool {
    let mut seen = [false; 128];
    let (mut letters, mut digits) = (0, 0);
    // The last characters tell as much as the first, and a prefix tells nothing.
    for b in text.bytes().rev().take(JUDGED) {
        seen[usize::from(b & 127)] = true;
        letters += usize::from(b.is_ascii_alphabetic());
        digits += usize::from(b.is_ascii_digit());
    }
    text.len() >= MACHINE_LENGTH
        && seen.iter().filter(|seen| **seen).count() >= MACHINE_CHARACTERS
        && digits >= 3
        && letters >= 3
        && !text.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_patterns_are_weak() {
        for text in [
            "hunter2",
            "password123",
            "Summer2026!",
            "qwertyuiop",
            "letmein",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            " admin\n",
            "12345678901234567890",
        ] {
            assert_eq!(strength(text.as_bytes()), Strength::Weak, "{text}");
        }
    }

    #[test]
    fn what_a_machine_made_is_strong() {
        let words = "correct horse battery staple lantern";
        for text in [
            "7f3a9c0d1e8b4a6250c9",
            "Zk4-tR9w_Qm2xV7pLs1b",
            words,
            "-----BEGIN X KEY-----\nMIIEvQ1x8Zk4tR9w2V7p3bN6",
        ] {
            assert_eq!(strength(text.as_bytes()), Strength::Strong, "{text}");
        }
        assert_eq!(strength(&[0xff; 32]), Strength::Strong);
    }

    #[test]
    fn what_is_short_is_never_compared_with_others() {
        for text in ["", "x", "4711", "Zk4-tR", "words"] {
            assert_ne!(strength(text.as_bytes()), Strength::Strong, "{text}");
        }
        assert_eq!(strength(&[0xff; 4]), Strength::Guessable);
    }
}
