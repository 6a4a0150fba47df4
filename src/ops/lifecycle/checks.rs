//! What `doctor` looks at outside the vault: where the settings come from, memory, swap, core dumps.
use super::doctor::Check;
use crate::app::servers_folder;
use crate::config::{Config, File};
use crate::error::Result;
use crate::ops::notice;
use crate::services::{Catalogue, Servers};
use crate::store::Reader;
use crate::vault::{Guarantee, guarantee};

/// Each setting with its origin.
pub fn configuration(config: &Config) -> Check {
    let file = &config.file;
    let from_file = |is_set: bool| if is_set { "file" } else { "default" };
    let rate = match file.broker.requests_per_minute() {
        Ok(rate) => rate,
        Err(e) => return Check::fail("configuration", &e),
    };
    Check::ok(
        "configuration",
        format!(
            "folders ({}), identity ({}), key command ({}), own catalogue ({}), broker {} requests a minute ({}), tests every {} hours \
             ({}), tests on entry {} ({}), notices ({}), rotation by {} services and {} programs ({}); file {}",
            config.places.origin,
            from_file(!file.identity.user.is_empty()),
            from_file(!file.key.command.is_empty()),
            from_file(file.catalogue.folder.is_some()),
            rate.value,
            rate.origin,
            file.tests.every_hours,
            from_file(file.tests.every_hours > 0),
            if file.tests.on_entry { "on" } else { "off" },
            from_file(file.tests.on_entry),
            from_file(!file.notices.is_empty()),
            file.rotation.services.len(),
            file.rotation.credential.values().filter(|said| !said.command.is_empty()).count(),
            from_file(file.rotation != Default::default()),
            config.places.file().display()
        ),
    )
}

/// Whether the files of one's own can be used: a line for each folder that there is. One wrong file, and none of its folder counts.
pub fn own_files(config: &Config) -> Vec<Check> {
    let mut found = Vec::new();
    let mut own = None;
    if let Some(folder) = &config.file.catalogue.folder {
        match Catalogue::with_folder(folder) {
            Ok(catalogue) => {
                own = Some(catalogue);
                found.push(Check::ok("own catalogue", "its files are in order"));
            }
            Err(e) => {
                found.push(Check::warn("own catalogue", format!("not used: {}", e.message()), e.next_step()))
            }
        }
    }
    let folder = servers_folder(config);
    if config.file.catalogue.servers.is_some() || folder.is_dir() {
        found.push(match Servers::with_folder(&folder, own.as_ref().unwrap_or(Catalogue::embedded())) {
            Ok(_) => Check::ok("own servers", "its files are in order"),
            Err(e) => Check::warn("own servers", format!("not used: {}", e.message()), e.next_step()),
        });
    }
    found
}

/// Whether notices can go out: a line for each setting that keeps them, none where there is nowhere to send them.
pub fn notices(tx: &Reader<'_>, file: &File) -> Result<Vec<Check>> {
    let missing = notice::missing(tx, file)?;
    if missing.is_empty() && !file.notices.is_empty() {
        return Ok(vec![Check::ok("notices", "the credentials that they take are there")]);
    }
    Ok(missing.into_iter().map(|one| Check::warn("notices", one.what, one.next)).collect())
}

/// How this machine treats what is in memory.
pub fn machine() -> Vec<Check> {
    let memory = match guarantee() {
        Guarantee::Plain => Check::warn(
            "memory",
            Guarantee::Plain.sentence(),
            "Raise the limit of locked memory (`ulimit -l`) to 64 KiB or more.",
        ),
        kind => Check::ok("memory", kind.sentence()),
    };
    let mut found = vec![memory, core_dumps()];
    if cfg!(target_os = "linux") {
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        found.push(swap(&swaps, &|device| is_encrypted(device)));
    }
    found
}

fn core_dumps() -> Check {
    use rustix::process::{Resource, getrlimit};
    match getrlimit(Resource::Core).current {
        Some(0) => Check::ok("core dumps", "this process leaves none"),
        _ => Check::warn(
            "core dumps",
            "a crash of this process could write its memory to the disk",
            "Run `ulimit -c 0` before, or in your shell's profile.",
        ),
    }
}

/// Values pass through ordinary memory for a moment, so swap should be encrypted.
fn swap(table: &str, is_encrypted: &dyn Fn(&str) -> bool) -> Check {
    let open: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        // zram is memory.
        .filter(|device| !device.starts_with("/dev/zram") && !is_encrypted(device))
        .collect();
    match open.is_empty() {
        true => Check::ok("swap", "there is none that is not encrypted"),
        false => Check::warn(
            "swap",
            format!(
                "{} is not encrypted, as far as can be told: values may be written to it",
                open.join(", ")
            ),
            "Encrypt the swap space, or switch it off.",
        ),
    }
}

/// Whether a device is a dm-crypt mapping.
fn is_encrypted(device: &str) -> bool {
    let Ok(real) = std::fs::canonicalize(device) else { return false };
    let Some(name) = real.file_name().and_then(|name| name.to_str()) else { return false };
    std::fs::read_to_string(format!("/sys/block/{name}/dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::lifecycle::doctor::Level;

    const HEAD: &str = "Filename Type Size Used Priority\n";

    #[test]
    fn plain_swap_is_warned_about_and_encrypted_or_compressed_is_not() {
        let plain = format!("{HEAD}/dev/sda2 partition 8388604 0 -2\n");

        assert_eq!(swap(&plain, &|_| false).level, Level::Warn);
        assert!(swap(&plain, &|_| false).what.contains("/dev/sda2"));
        assert_eq!(swap(&plain, &|_| true).level, Level::Ok);
        assert_eq!(swap(&format!("{HEAD}/dev/zram0 partition 1 0 5\n"), &|_| false).level, Level::Ok);
        assert_eq!(swap(HEAD, &|_| false).level, Level::Ok);
        assert_eq!(swap("", &|_| false).level, Level::Ok);
    }
}
