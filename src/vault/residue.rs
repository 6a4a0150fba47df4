//! H-04: after use, the long-lived keys are nowhere in this process but in their protected mapping.
use super::*;
use aho_corasick::AhoCorasick;
use std::io::{Read, Seek, SeekFrom};

/// The middle of a key to search for, and the whole of it under a mask, so that the search does not find itself.
struct Wanted {
    middle: [u8; 8],
    masked: [u8; 32],
}

const MASK: u8 = 0x5c;

impl Wanted {
    fn of(key: &LockedKey) -> Self {
        key.expose(|k| Self {
            middle: std::array::from_fn(|n| k[12 + n]),
            masked: std::array::from_fn(|n| k[n] ^ MASK),
        })
    }

    fn at(&self, memory: &[u8], middle: usize) -> bool {
        let Some(start) = middle.checked_sub(12) else { return false };
        let whole = memory.get(start..start + 32);
        whole.is_some_and(|bytes| bytes.iter().zip(self.masked).all(|(b, m)| b ^ MASK == m))
    }
}

/// How often the keys stand in readable memory, outside the arena where that is not secret memory.
fn copies(wanted: &[Wanted]) -> usize {
    let search = AhoCorasick::new(wanted.iter().map(|w| w.middle)).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        if to - from > 64 << 20 || locked::is_arena(from as usize, to as usize) {
            continue;
        }
        let mut bytes = vec![0; (to - from) as usize];
        let read = memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read_exact(&mut bytes));
        if read.is_ok() {
            found += search
                .find_overlapping_iter(&bytes)
                .filter(|hit| wanted[hit.pattern().as_usize()].at(&bytes, hit.start()))
                .count();
        }
    }
    found
}

fn left(key: &LockedKey) -> usize {
    copies(&[Wanted::of(key)])
}

#[test]
fn h_04_after_each_use_its_key_is_nowhere_but_in_its_protected_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("keys/root.key"));
    let by = Unlocking { environment: &|_| None, ..Unlocking::new(&data) };
    let org = OrgId::from("org-1");
    let place = Context {
        instance: "vault-1",
        org: "org-1",
        table: "credentials",
        record: "r",
        version: 1,
        field: "value",
        scope: "org",
        owner: "",
        policy: [0; 32],
    };

    let vault = Vault::create("vault-1").unwrap();
    let slot = vault.add_slot(NewSlot::File { path: file }, "", &by, Millis(0)).unwrap().row;
    assert_eq!(left(&vault.root().key), 0, "root, after a slot was made");
    let vault = Vault::unlock("vault-1", std::slice::from_ref(&slot), &by).unwrap();
    assert_eq!(left(&vault.root().key), 0, "root, after unlocking");
    let secret = stack::clean(|| sources::read(&slot, &by)).unwrap();
    assert_eq!(left(&secret), 0, "the slot's secret");

    let row = vault.new_org_key(&org, 1, Millis(0)).unwrap();
    vault.load_org_keys(&[row]).unwrap();
    let keys = vault.org(&org).unwrap();
    let active = keys.active();
    assert_eq!((left(&active.wrap), left(&vault.root().key)), (0, 0), "org key and root, after loading");
    vault.row_mac(&org, b"row").unwrap();
    assert_eq!(left(&active.rowmac), 0);
    vault.sign_checkpoint(&org, b"checkpoint").unwrap();
    assert_eq!(left(&active.checkpoint), 0);

    let (key, wrapped) = vault.new_data_key(&place).unwrap();
    assert_eq!((left(key.key()), left(&active.wrap)), (0, 0), "data key, new");
    let sealed = key.seal(&place, b"v").unwrap();
    assert_eq!(left(key.key()), 0, "data key, after sealing");
    let key = vault.open_data_key(&place, &wrapped).unwrap();
    assert_eq!((left(key.key()), left(&active.wrap)), (0, 0), "data key, opened");
    key.open(&place, &sealed).unwrap();
    assert_eq!(left(key.key()), 0, "data key, after opening");

    let control = active.wrap.expose(|k| k.to_vec());
    assert!(left(&active.wrap) > 0, "the search finds a copy that was made for it");
    drop(control);
}
