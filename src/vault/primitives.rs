//! Tests that the primitives are what they claim: Wycheproof, a second implementation, and the attack that the
//! commitment exists for.
use super::context::Context;
use super::envelope::{self, Content, GCM_OPENS, HEADER, KeyName, TAG};
use super::kdf;
use super::locked::LockedKey;
use super::random::{OsRandom, Random, Seeded};
use crate::error::Code;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, inout::InOutBuf};
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use wycheproof::TestResult;

const PLACE: Context<'_> = Context {
    instance: "i",
    org: "o",
    table: "credentials",
    record: "r",
    version: 1,
    field: "value",
    scope: "org",
    owner: "",
    policy: [0; 32],
};
const NAME: KeyName = KeyName { id: [3; 16], version: 1 };

#[test]
fn k_01_aes_256_gcm_passes_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut ran = 0;
    for group in set.test_groups.iter().filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
            let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
            let tag: [u8; TAG] = test.tag[..].try_into().unwrap();

            let mut text = test.ct.to_vec();
            let opened = cipher.decrypt_inout_detached(
                &nonce.into(),
                &test.aad,
                InOutBuf::from(&mut text[..]),
                &tag.into(),
            );
            let right = opened.is_ok() && text == test.pt[..];
            assert_eq!(right, test.result == TestResult::Valid, "case {}", test.tc_id);

            let mut text = test.pt.to_vec();
            let made = cipher
                .encrypt_inout_detached(&nonce.into(), &test.aad, InOutBuf::from(&mut text[..]))
                .unwrap();
            assert_eq!(
                text == test.ct[..] && made[..] == tag,
                test.result == TestResult::Valid,
                "case {}",
                test.tc_id
            );
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn k_01_hkdf_sha_256_passes_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let mut ran = 0;
    for test in tests {
        let mut out = vec![0u8; test.size];
        let made = kdf::expand(&test.ikm, &test.salt, &[&test.info], &mut out);
        assert_eq!(
            made.is_ok() && out == test.okm[..],
            test.result != TestResult::Invalid,
            "case {}",
            test.tc_id
        );
        ran += 1;
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn k_01_hmac_sha_256_passes_wycheproof() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let mut ran = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let key = LockedKey::copied(&test.key[..].try_into().unwrap());
            let made = kdf::hmac(&key, &[&test.msg]);
            let right = made[..group.tag_size / 8] == test.tag[..];
            assert_eq!(right, test.result == TestResult::Valid, "case {}", test.tc_id);
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

/// Opens an envelope with nothing of ours: ring's HKDF and AES-GCM, and the layout as the page describes it.
fn opened_elsewhere(key: &[u8; 32], place: &[u8], sealed: &[u8]) -> Vec<u8> {
    struct Len;
    impl ring::hkdf::KeyType for Len {
        fn len(&self) -> usize {
            76
        }
    }
    let (header, body) = sealed.split_at(93);
    let prk = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &header[25..57]).extract(key);
    let mut okm = [0u8; 76];
    prk.expand(&[b"cv1/enc/", &[1], &Sha256::digest(place)], Len).unwrap().fill(&mut okm).unwrap();
    assert_eq!(okm[44..76], header[57..89]);
    let gcm = ring::aead::LessSafeKey::new(
        ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, &okm[..32]).unwrap(),
    );
    let nonce = ring::aead::Nonce::try_assume_unique_for_key(&okm[32..44]).unwrap();
    let mut body = body.to_vec();
    let plain = gcm.open_in_place(nonce, ring::aead::Aad::from([header, place].concat()), &mut body).unwrap();
    let len = u32::from_be_bytes(plain[1..5].try_into().unwrap()) as usize;
    plain[5..5 + len].to_vec()
}

fn differential(messages: usize) {
    let random = Seeded::new(13);
    let place = PLACE.encode().unwrap();
    for n in 0..messages {
        let mut key = [0u8; 32];
        random.fill(&mut key).unwrap();
        let mut message = vec![0u8; (n * 37) % 300];
        random.fill(&mut message).unwrap();
        let locked = LockedKey::copied(&key);

        let sealed = envelope::seal(&locked, NAME, &PLACE, Content::Value, &message, &random).unwrap();

        assert_eq!(opened_elsewhere(&key, &place, &sealed), message);
        let ours = envelope::parse(&sealed).unwrap().open(&locked, &PLACE, &[Content::Value]).unwrap();
        assert!(ours.expose(|b| b == message));
    }
}

#[test]
fn k_13_another_implementation_opens_what_we_seal() {
    differential(100_000);
}

#[test]
#[ignore = "a minute or more; before a release"]
fn k_13_another_implementation_opens_a_million_messages() {
    differential(1_000_000);
}

fn salts(messages: usize) -> (HashSet<[u8; 32]>, [u32; 256]) {
    let key = LockedKey::copied(&[9; 32]);
    let mut seen = HashSet::with_capacity(messages);
    let mut ones = [0u32; 256];
    for _ in 0..messages {
        let sealed = envelope::seal(&key, NAME, &PLACE, Content::Value, b"x", &OsRandom).unwrap();
        let salt: [u8; 32] = sealed[25..57].try_into().unwrap();
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from((salt[bit / 8] >> (bit % 8)) & 1);
        }
        assert!(seen.insert(salt), "a salt came twice");
    }
    (seen, ones)
}

fn no_salt_repeats(messages: usize) {
    let [one, two] = std::thread::scope(|threads| {
        [(); 2].map(|()| threads.spawn(|| salts(messages / 2))).map(|thread| thread.join().unwrap())
    });

    assert!(one.0.is_disjoint(&two.0), "a salt came twice");
    // Each bit is set half the time, within six standard deviations.
    let (half, six) = (messages as f64 / 2.0, 3.0 * (messages as f64).sqrt());
    assert!(one.1.iter().zip(two.1).all(|(a, b)| (f64::from(a + b) - half).abs() < six));
}

#[test]
fn k_06_a_million_messages_have_a_million_salts() {
    no_salt_repeats(1_000_000);
}

#[test]
#[ignore = "some minutes; before a release"]
fn k_06_ten_million_messages_have_ten_million_salts() {
    no_salt_repeats(10_000_000);
}

/// GCM's multiplication in GF(2^128) (SP 800-38D §6.3), bit by bit.
fn times(x: u128, mut v: u128) -> u128 {
    let mut z = 0;
    for i in 0..128 {
        if x >> (127 - i) & 1 == 1 {
            z ^= v;
        }
        v = if v & 1 == 1 { v >> 1 ^ 0xe1 << 120 } else { v >> 1 };
    }
    z
}

/// x^(2^128 - 2), which is 1/x.
fn inverse(x: u128) -> u128 {
    let (mut out, mut square) = (1 << 127, x);
    for _ in 1..128 {
        square = times(square, square);
        out = times(out, square);
    }
    out
}

/// The keys of one message, as the format derives them.
struct Message {
    okm: [u8; 76],
}

impl Message {
    fn of(key: &LockedKey, salt: &[u8], place: &[u8]) -> Self {
        let mut okm = [0u8; 76];
        let info: [&[u8]; 3] = [b"cv1/enc/", &[1], &Sha256::digest(place)];
        key.expose(|k| kdf::expand(k, salt, &info, &mut okm)).unwrap();
        Self { okm }
    }

    fn block(&self, block: [u8; 16]) -> u128 {
        let mut block = block.into();
        Aes256::new_from_slice(&self.okm[..32]).unwrap().encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }

    /// E(J0), which masks the tag.
    fn mask(&self) -> u128 {
        self.block([&self.okm[32..44], &[0, 0, 0, 1]].concat().try_into().unwrap())
    }

    fn opens(&self, associated: &[u8], text: &[u8], tag: [u8; 16]) -> bool {
        let cipher = Aes256Gcm::new_from_slice(&self.okm[..32]).unwrap();
        let nonce: [u8; 12] = self.okm[32..44].try_into().unwrap();
        let mut text = text.to_vec();
        cipher
            .decrypt_inout_detached(&nonce.into(), associated, InOutBuf::from(&mut text[..]), &tag.into())
            .is_ok()
    }

    fn hash(&self, blocks: &[u128]) -> u128 {
        let h = self.block([0; 16]);
        blocks.iter().fold(0, |y, block| times(y ^ block, h))
    }
}

#[test]
fn k_08_a_ciphertext_that_is_valid_under_two_keys_opens_only_under_the_one_it_commits_to() {
    let (alice, mallory) = (LockedKey::copied(&[1; 32]), LockedKey::copied(&[2; 32]));
    let mut sealed = envelope::seal(&alice, NAME, &PLACE, Content::Value, b"x", &Seeded::new(8)).unwrap();
    let place = PLACE.encode().unwrap();
    let [a, b] = [&alice, &mallory].map(|key| Message::of(key, &sealed[25..57], &place));
    let associated = [&sealed[..HEADER], &place].concat();
    let text_len = sealed.len() - HEADER - TAG;

    // GHASH's input: associated data, ciphertext, lengths. One block of the ciphertext is solved for, so that
    // both tags become the same.
    let padded = |bytes: &[u8]| -> Vec<u128> {
        let block = |part: &[u8]| std::array::from_fn(|n| part.get(n).copied().unwrap_or(0));
        bytes.chunks(16).map(|part| u128::from_be_bytes(block(part))).collect()
    };
    let lengths = ((associated.len() as u128 * 8) << 64) | (text_len as u128 * 8);
    sealed[HEADER..HEADER + 16].fill(0);
    let mut blocks = padded(&associated);
    let free = blocks.len();
    blocks.extend(padded(&sealed[HEADER..HEADER + text_len]));
    blocks.push(lengths);
    let power = |m: &Message| {
        let h = m.block([0; 16]);
        (free..blocks.len()).fold(1 << 127, |p, _| times(p, h))
    };
    let difference = a.hash(&blocks) ^ a.mask() ^ b.hash(&blocks) ^ b.mask();
    let solved = times(difference, inverse(power(&a) ^ power(&b)));
    blocks[free] = solved;
    sealed[HEADER..HEADER + 16].copy_from_slice(&solved.to_be_bytes());
    let tag = (a.hash(&blocks) ^ a.mask()).to_be_bytes();
    let end = sealed.len();
    sealed[end - TAG..].copy_from_slice(&tag);

    let text = &sealed[HEADER..end - TAG];
    assert!(
        a.opens(&associated, text, tag) && b.opens(&associated, text, tag),
        "GCM accepts it under both keys"
    );
    let before = GCM_OPENS.get();
    let refused = envelope::parse(&sealed).unwrap().open(&mallory, &PLACE, &[Content::Value]).unwrap_err();
    assert_eq!((refused.code, GCM_OPENS.get()), (Code::Integrity, before), "and we do not even ask it");
}
