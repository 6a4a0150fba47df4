//! Finds where one of many short beginnings stands in a stream, several times faster than an automaton goes through it.
//!
//! An automaton steps from byte to byte, each step waiting for the one before. Here only every third place is looked at,
//! by a table of bits that tells whether the four bytes there stand in any anchor at all; what passes is compared.
//! (Wu and Manber, "A fast algorithm for multi-pattern searching", 1994, with a bit for each block in place of a shift.)
use zeroize::Zeroizing;

/// How long an anchor is.
pub(super) const ANCHOR_BYTES: usize = super::encodings::MASKED_FROM_BYTES;
/// How many bytes the table tells of.
const BLOCK_BYTES: usize = 4;
/// Every anchor has a block that begins at a multiple of this, wherever the anchor stands.
const STRIDE: usize = ANCHOR_BYTES - BLOCK_BYTES + 1;
/// The table's size, as a power of two of bits: 8 KiB, which stays in the first cache, and at most 128 KiB.
const FEWEST_BITS: u32 = 16;
const MOST_BITS: u32 = 20;
/// So many bits for each block keep the table almost empty.
const BITS_FOR_A_BLOCK: usize = 128;

pub(super) struct Anchors {
    sorted: Zeroizing<Vec<[u8; ANCHOR_BYTES]>>,
    bits: Zeroizing<Vec<u64>>,
    shift: u32,
}

impl Anchors {
    /// `all` in any order, and as often as they come.
    pub fn new(all: impl Iterator<Item = [u8; ANCHOR_BYTES]>) -> Self {
        let mut sorted: Zeroizing<Vec<_>> = Zeroizing::new(all.collect());
        sorted.sort_unstable();
        sorted.dedup();
        let wanted = (sorted.len() * STRIDE * BITS_FOR_A_BLOCK).max(1).next_power_of_two().trailing_zeros();
        let size = wanted.clamp(FEWEST_BITS, MOST_BITS);
        let mut anchors =
            Self { bits: Zeroizing::new(vec![0; 1 << (size - 6)]), shift: u32::BITS - size, sorted };
        for i in 0..anchors.sorted.len() {
            for at in 0..STRIDE {
                let bit = anchors.bit(&anchors.sorted[i][at..]);
                anchors.bits[bit >> 6] |= 1 << (bit & 63);
            }
        }
        anchors
    }

    /// The bit of the block that `text` begins with.
    fn bit(&self, text: &[u8]) -> usize {
        let block = text.first_chunk::<BLOCK_BYTES>().map_or(0, |block| u32::from_le_bytes(*block));
        // The upper bits of a product by the golden ratio depend on all bits of the block.
        (block.wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }

    /// Where the first anchor begins in `text`, at `from` or later.
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        if self.sorted.is_empty() {
            return None;
        }
        let rest = text.get(from..)?;
        let mut at = 0;
        while at + BLOCK_BYTES <= rest.len() {
            let bit = self.bit(&rest[at..]);
            if self.bits[bit >> 6] >> (bit & 63) & 1 == 1
                && let Some(start) =
                    (at.saturating_sub(STRIDE - 1)..=at).find(|&start| self.is_at(&rest[start..]))
            {
                return Some(from + start);
            }
            at += STRIDE;
        }
        None
    }

    fn is_at(&self, text: &[u8]) -> bool {
        text.first_chunk().is_some_and(|begin: &[u8; ANCHOR_BYTES]| self.sorted.binary_search(begin).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plainly(all: &[[u8; ANCHOR_BYTES]], text: &[u8], from: usize) -> Option<usize> {
        (from..text.len()).find(|&at| all.iter().any(|anchor| text[at..].starts_with(anchor)))
    }

    #[test]
    fn an_anchor_is_found_at_every_place_and_only_whole() {
        let anchors = Anchors::new([*b"abcdef", *b"bcdefg"].into_iter());
        for before in 0..40 {
            for after in 0..7 {
                let text = [&vec![b'-'; before][..], b"abcdef", &vec![b'-'; after]].concat();

                assert_eq!(anchors.find(&text, 0), Some(before));
                assert_eq!(anchors.find(&text, before), Some(before));
                assert_eq!(anchors.find(&text, before + 1), None);
                assert_eq!(anchors.find(&text[..before + 5], 0), None);
            }
        }
        assert_eq!(anchors.find(b"abcdefg", 1), Some(1));
        assert_eq!(anchors.find(b"abcdef", 99), None);
        assert_eq!(Anchors::new(std::iter::empty()).find(b"abcdef", 0), None);
    }

    proptest! {
        /// Of two letters only, so that beginnings, ends and repetitions meet everywhere.
        #[test]
        fn it_finds_what_looking_at_every_place_finds(
            all in prop::collection::vec(prop::array::uniform6(b'a'..=b'b'), 0..6),
            text in prop::collection::vec(b'a'..=b'c', 0..80),
            from in 0usize..90,
        ) {
            let anchors = Anchors::new(all.iter().copied());

            prop_assert_eq!(anchors.find(&text, from), plainly(&all, &text, from));
        }

        #[test]
        fn many_anchors_are_found_as_few_are(
            all in prop::collection::vec(prop::array::uniform6(any::<u8>()), 1..3000),
            mut text in prop::collection::vec(any::<u8>(), 0..300),
            which in any::<prop::sample::Index>(),
            place in any::<prop::sample::Index>(),
        ) {
            let at = place.index(text.len() + 1);
            text.splice(at..at, *which.get(&all));
            let anchors = Anchors::new(all.iter().copied());

            prop_assert_eq!(anchors.find(&text, 0), plainly(&all, &text, 0));
        }
    }
}
