//! H-04: after use, the long-lived keys are nowhere in this process but in their protected mapping.
use super::*;
use aho_corasick::AhoCorasick;
use std::io::{Read, Seek, SeekFrom};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Does `work` on a thread that then stands still, so that nothing runs over the stack it used, and meanwhile counts
/// the copies of the keys that `keys` names.
fn left_after<R: Send + Sync>(
    work: impl FnOnce() -> R + Send,
    keys: impl Fn(&R) -> Vec<usize>,
) -> (R, usize) {
    let (done, go) = (OnceLock::new(), AtomicBool::new(false));
    let mut found = 0;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            assert!(done.set(work()).is_ok());
            while !go.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
        });
        while done.get().is_none() {
            std::thread::yield_now();
        }
        found = done.get().map_or(0, |done| keys(done).into_iter().sum());
        go.store(true, Ordering::Release);
    });
    (done.into_inner().expect("the loop above saw it"), found)
}

#[test]
fn h_04_after_each_use_its_key_is_nowhere_but_in_its_protected_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("keys/root.key"));
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
    let root = |vault: &Vault| left(&vault.root().key);
    let by = || Unlocking { environment: &|_| None, ..Unlocking::new(&data) };

    let (vault, found) = left_after(|| Vault::create("vault-1").unwrap(), |v| vec![root(v)]);
    assert_eq!(found, 0, "root, new");
    let make = || vault.add_slot(NewSlot::File { path: file.clone() }, "", &by(), Millis(0)).unwrap().row;
    let (slot, found) = left_after(make, |_| vec![root(&vault)]);
    assert_eq!(found, 0, "root, after a slot was made");
    let secret = sources::read(&slot, &by()).unwrap();
    drop(vault);
    let unlock = || Vault::unlock("vault-1", std::slice::from_ref(&slot), &by()).unwrap();
    let (vault, found) = left_after(unlock, |v| vec![root(v), left(&secret)]);
    // Without optimisation the reading of a key file leaves copies in frames deeper than what is overwritten.
    if !cfg!(debug_assertions) {
        assert_eq!(found, 0, "root and the slot's secret, after unlocking");
    }

    let load = || vault.load_org_keys(&[vault.new_org_key(&org, 1, Millis(0)).unwrap()]).unwrap();
    let (_, found) = left_after(load, |_| vec![left(&vault.org(&org).unwrap().active().wrap), root(&vault)]);
    assert_eq!(found, 0, "org key and root, after loading");
    let keys = vault.org(&org).unwrap();
    let active = keys.active();
    let (_, found) = left_after(|| vault.row_mac(&org, b"row").unwrap(), |_| vec![left(&active.rowmac)]);
    assert_eq!(found, 0, "row MAC");
    let (_, found) =
        left_after(|| vault.sign_checkpoint(&org, b"c").unwrap(), |_| vec![left(&active.checkpoint)]);
    assert_eq!(found, 0, "checkpoint");

    let new = || vault.new_data_key(&place).unwrap();
    let ((key, wrapped), found) = left_after(new, |(key, _)| vec![left(key.key()), left(&active.wrap)]);
    assert_eq!(found, 0, "data key, new");
    let (sealed, found) = left_after(|| key.seal(&place, b"v").unwrap(), |_| vec![left(key.key())]);
    assert_eq!(found, 0, "data key, after sealing");
    let open = || vault.open_data_key(&place, &wrapped).unwrap();
    let (key, found) = left_after(open, |key| vec![left(key.key()), left(&active.wrap)]);
    assert_eq!(found, 0, "data key, opened");
    let (_, found) = left_after(|| key.open(&place, &sealed).unwrap(), |_| vec![left(key.key())]);
    assert_eq!(found, 0, "data key, after opening");

    let copy = || std::hint::black_box(active.wrap.expose(|k| k.to_vec()));
    let (_, found) = left_after(copy, |_| vec![left(&active.wrap)]);
    assert!(found > 0, "the search finds a copy that was made for it");
}
