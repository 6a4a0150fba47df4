//! Whether a text that somebody else wrote tells a part of a secret.
//!
//! For what is shown or kept of a service's answer: masked keys, keys with words around them, pieces of a key. It errs on the
//! side of silence, and knows nothing of a secret that was written in another way, such as base64.

/// How long a run of the same characters may not be.
const RUN: usize = 6;
/// From which length on a text that is the whole secret is no chance.
const WHOLE: usize = 3;
/// What stands for the characters that somebody has left out.
const MASKS: [&str; 6] = ["…", "...", "***", "•", "●", "xxxx"];

/// Whether `text` is `secret`, or has 6 or more characters in a row that `secret` has too, in any case.
pub fn tells(secret: &str, text: &str) -> bool {
    let (secret, text) = (secret.trim().as_bytes(), text.trim().as_bytes());
    (secret.len() >= WHOLE && secret.eq_ignore_ascii_case(text))
        || text.windows(RUN).any(|run| secret.windows(RUN).any(|part| part.eq_ignore_ascii_case(run)))
}

/// Whether `text` is what is left of something that somebody has masked.
pub fn is_masked(text: &str) -> bool {
    let text = text.to_lowercase();
    MASKS.iter().any(|mask| text.contains(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_characters_in_a_row_tell_of_a_secret_wherever_they_stand() {
        let secret = format!("  k{}z\n", "Ab9/Q+7".repeat(3));
        for telling in ["b9/Q+7", "the key is B9/q+7 today", "9/Q+7Z", "kAb9/Q"] {
            assert!(tells(&secret, telling), "{telling}");
        }
        for fine in ["b9/Q+", "mia@example.com", "b9/Q 7Ab9", "", "   "] {
            assert!(!tells(&secret, fine), "{fine}");
        }
    }

    #[test]
    fn a_short_secret_is_told_by_all_of_it_and_no_secret_by_nothing() {
        assert!(tells("pw1", "PW1 ") && tells("pässe", "pässe"));
        assert!(!tells("pw1", "my pw1 is") && !tells("", "") && !tells(" ", "words") && !tells("a", "a"));
    }

    #[test]
    fn what_is_left_out_of_a_text_is_seen() {
        for masked in ["sk-or…", "au7...890", "***", "•••1234", "●1", "XXXX-1234"] {
            assert!(is_masked(masked), "{masked}");
        }
        for whole in ["mia@example.com", "read:org", "a..b", "repo**", "Maxx"] {
            assert!(!is_masked(whole), "{whole}");
        }
    }
}
