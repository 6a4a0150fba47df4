//! Which server a command or an address is, told by the package it starts.
//!
//! Only the published name counts: a path, a fork or a script of the same name is not recognised.
use std::sync::Arc;

use url::Url;

use super::{Package, Registry, ServerDefinition, Servers, Transport};

impl Servers {
    /// The definition of the server that `command` starts with `args`: `npx -y @scope/package@1.2`, `uvx package`,
    /// `docker run … image:tag`, an installed program, or `npx mcp-remote https://…`.
    pub fn find_for_command<S: AsRef<str>>(
        &self,
        command: &str,
        args: &[S],
    ) -> Option<Arc<ServerDefinition>> {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        // Some clients take the whole line as the command.
        let mut words = command.split_whitespace();
        let started = Started::of(words.next()?, &words.chain(args).collect::<Vec<_>>())?;
        match started {
            Started::Package(registry, name) => {
                let is_it = |p: &Package| p.registry == registry && same_package(registry, &p.name, &name);
                self.definitions().find(|definition| definition.packages.iter().any(is_it)).cloned()
            }
            Started::Images(images) => {
                let is_it = |p: &Package| {
                    p.registry == Registry::Docker && images.iter().any(|image| *image == bare_image(&p.name))
                };
                self.definitions().find(|definition| definition.packages.iter().any(is_it)).cloned()
            }
            Started::Program(name) => {
                self.definitions().find(|definition| definition.programs.contains(&name)).cloned()
            }
            Started::Address(address) => self.find_for_url(&address),
        }
    }

    /// The definition of the server at `address`, whatever its query is.
    pub fn find_for_url(&self, address: &str) -> Option<Arc<ServerDefinition>> {
        let wanted = Url::parse(address).ok()?;
        let same = |known: &str| {
            Url::parse(known).is_ok_and(|known| {
                known.scheme() == wanted.scheme()
                    && known.host_str() == wanted.host_str()
                    && known.port_or_known_default() == wanted.port_or_known_default()
                    && known.path().trim_end_matches('/') == wanted.path().trim_end_matches('/')
            })
        };
        let is_it = |definition: &&Arc<ServerDefinition>| match &definition.transport {
            Transport::Http { url } => same(url),
            Transport::Stdio { .. } => false,
        };
        self.definitions().find(is_it).cloned()
    }
}

/// What a command line starts.
enum Started {
    Package(Registry, String),
    /// The words of a container's command line that may be its image.
    Images(Vec<String>),
    Program(String),
    Address(String),
}

impl Started {
    fn of(command: &str, args: &[&str]) -> Option<Self> {
        let file = command.rsplit(['/', '\\']).next().unwrap_or(command).to_ascii_lowercase();
        let program = [".exe", ".cmd", ".bat"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(&file);
        match (program, args) {
            ("cmd", [slash, next, rest @ ..]) if slash.eq_ignore_ascii_case("/c") => Self::of(next, rest),
            ("npx" | "bunx" | "pnpx", rest) => Self::npm(rest),
            ("pnpm" | "yarn", ["dlx", rest @ ..])
            | ("npm", ["exec" | "x", rest @ ..])
            | ("bun", ["x", rest @ ..]) => Self::npm(rest),
            ("uvx", rest) | ("uv", ["tool", "run", rest @ ..]) | ("pipx", ["run", rest @ ..]) => {
                Self::pypi(rest)
            }
            ("docker" | "podman" | "nerdctl", ["run" | "container", rest @ ..]) => {
                Some(Self::Images(rest.iter().map(|word| bare_image(word)).collect()))
            }
            (python, ["-m", module, ..]) if python.starts_with("python") => {
                Some(Self::Package(Registry::Pypi, (*module).to_owned()))
            }
            (other, _) => Some(Self::Program(other.to_owned())),
        }
    }

    fn npm(args: &[&str]) -> Option<Self> {
        let (spec, rest) =
            package_of(args, &["-p", "--package"], &["-c", "--call", "--registry", "--prefix"])?;
        let name = match spec.char_indices().skip(1).find(|(_, c)| *c == '@') {
            Some((at, _)) => &spec[..at],
            None => spec,
        };
        if name == "mcp-remote" {
            return rest
                .iter()
                .find(|word| word.starts_with("https://"))
                .map(|word| Self::Address((*word).to_owned()));
        }
        Some(Self::Package(Registry::Npm, name.to_owned()))
    }

    fn pypi(args: &[&str]) -> Option<Self> {
        let with_value = ["--with", "--python", "-p", "--index-url", "--index", "--env-file"];
        let (spec, _) = package_of(args, &["--from", "--spec"], &with_value)?;
        let name = spec.split(['=', '@', '[', '<', '>', '!', '~']).next().unwrap_or(spec);
        Some(Self::Package(Registry::Pypi, name.to_owned()))
    }
}

/// The package that a runner fetches: what one of `named_by` gives, or else the first word that is no option. With it
/// what follows. Options of `with_value` take the word after them.
fn package_of<'a>(
    args: &'a [&'a str],
    named_by: &[&str],
    with_value: &[&str],
) -> Option<(&'a str, &'a [&'a str])> {
    let mut at = 0;
    let mut named = None;
    while let Some(word) = args.get(at).copied() {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        let takes_next = value.is_none() && (named_by.contains(&flag) || with_value.contains(&flag));
        if named_by.contains(&flag) {
            named = value.or_else(|| args.get(at + 1).copied());
        } else if !word.starts_with('-') || word == "--" {
            break;
        }
        at += if takes_next { 2 } else { 1 };
    }
    let rest = args.get(at..).unwrap_or_default();
    let rest = rest.strip_prefix(&["--"]).unwrap_or(rest);
    match named {
        Some(named) => Some((named, rest)),
        None => rest.split_first().map(|(first, rest)| (*first, rest)),
    }
}

/// PyPI names differ neither by case nor by `-`, `_` and `.` (PEP 503).
fn same_package(registry: Registry, known: &str, found: &str) -> bool {
    let normal = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    match registry {
        Registry::Pypi => normal(known) == normal(found),
        Registry::Npm | Registry::Docker => known == found,
    }
}

/// An image without its tag, its digest and the host of Docker Hub.
fn bare_image(word: &str) -> String {
    let word = word.split('@').next().unwrap_or(word);
    let slash = word.rfind('/').map_or(0, |at| at + 1);
    let end = word[slash..].find(':').map_or(word.len(), |at| slash + at);
    word[..end].trim_start_matches("docker.io/").to_owned()
}
