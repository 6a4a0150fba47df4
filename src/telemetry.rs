//! The log: one well-formed line an event, on standard error, and only events of our own.
//!
//! Libraries log what they handle (rmcp logs whole requests), so nothing of theirs gets through, whatever the
//! environment says (C-11, C-12). Control characters are shown as escapes, so that no name can forge a line (C-15).
use crate::clock::{Clock, SystemClock};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging at `level`; a second call changes nothing.
pub fn start(level: LevelFilter) {
    let lines = Lines { level, write: |line| drop(std::io::stderr().write_all(line.as_bytes())) };
    // Fails only when a log was set up already, and then that one goes on.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

/// The level that `UNSAID_LOG` and `--verbose` ask for; warnings where neither says anything.
pub fn level(variable: Option<&str>, is_verbose: bool) -> LevelFilter {
    let asked = variable.and_then(|word| word.trim().parse::<LevelFilter>().ok());
    match (asked, is_verbose) {
        (Some(level), true) => level.max(LevelFilter::DEBUG),
        (Some(level), false) => level,
        (None, true) => LevelFilter::DEBUG,
        (None, false) => LevelFilter::WARN,
    }
}

/// Makes a panic say where it was and nothing else: its message may hold what was being worked on.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("", 0), |at| (at.file(), at.line()));
        // A path of the machine that built this tells nobody anything.
        let file = file.rsplit_once("/src/").map_or(file, |(_, inside)| inside);
        let text = format!("error[internal]: a bug in unsaid stopped this call (at {file}:{line})\n");
        // Where standard error is gone there is nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }));
}

/// Whether an event is of this program.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "unsaid" || target.starts_with("unsaid::")
}

struct Lines {
    level: LevelFilter,
    write: fn(&str),
}

/// The fields of a span, as its events show them.
struct Fields(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_ours(metadata) && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut line = Line::default();
        attributes.record(&mut line);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(line.fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.fields.push_str(&fields.0);
            }
        }
        (self.write)(&line.finish(*event.metadata().level(), event.metadata().target()));
    }
}

/// One line in the making.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self, level: Level, target: &str) -> String {
        format!("{} {level} {target}: {}{}\n", SystemClock.now(), self.message, self.fields)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }
}

impl Line {
    fn record(&mut self, field: &Field, text: &str) {
        let text = escaped(text);
        if field.name() == "message" {
            self.message = text;
            return;
        }
        let quote = if text.is_empty() || text.contains([' ', '"', '=']) { "\"" } else { "" };
        // Writing to a String does not fail.
        let _ = write!(self.fields, " {}={quote}{}{quote}", field.name(), text.replace('"', "\\\""));
    }
}

/// `text` with whatever could break a line, move a cursor or turn writing around shown as `\u{…}`.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe_to_show(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Control characters, line separators, bidirectional and other invisible format characters.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static SEEN: RefCell<String> = const { RefCell::new(String::new()) };
    }

    fn log(level: LevelFilter, work: impl FnOnce()) -> String {
        SEEN.take();
        let lines = Lines { level, write: |line| SEEN.with_borrow_mut(|seen| seen.push_str(line)) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        SEEN.take()
    }

    #[test]
    fn c_11_c_12_what_libraries_log_is_dropped_at_every_level() {
        let seen = log(LevelFilter::TRACE, || {
            for _ in 0..2 {
                tracing::error!(target: "rmcp::service", "received request");
                tracing::trace!(target: "hyper::proto", "body");
                tracing::warn!(target: "unsaidish", "not ours");
                tracing::warn!(target: "rusqlite", "sql");
            }
        });

        assert_eq!(seen, "");
    }

    #[test]
    fn an_event_of_ours_is_one_line_with_its_fields_and_those_of_its_span() {
        let seen = log(LevelFilter::INFO, || {
            let span = tracing::info_span!("call", request = "r1");
            let _inside = span.enter();
            tracing::info!(code = "store_busy", wait_ms = 5, "the store is busy");
            tracing::debug!("too fine");
        });

        assert_eq!(seen.lines().count(), 1);
        assert!(seen.ends_with("the store is busy code=store_busy wait_ms=5 request=r1\n"), "{seen}");
    }

    #[test]
    fn c_15_no_text_can_forge_a_line_or_drive_the_terminal() {
        let seen = log(LevelFilter::INFO, || {
            tracing::info!(name = "a\r\nERROR forged\u{1b}[2J\u{202e}\u{2028}\"", "first\nsecond");
        });

        assert_eq!(seen.lines().count(), 1);
        assert!(!seen.trim_end().contains(['\r', '\n', '\u{1b}', '\u{202e}', '\u{2028}']), "{seen:?}");
        assert!(seen.contains(r"first\nsecond"));
    }

    #[test]
    fn the_level_comes_from_the_variable_and_verbose_only_raises_it() {
        assert_eq!(level(None, false), LevelFilter::WARN);
        assert_eq!(level(Some("off"), false), LevelFilter::OFF);
        assert_eq!(level(Some("trace"), true), LevelFilter::TRACE);
        assert_eq!(level(Some("info,rmcp=trace"), false), LevelFilter::WARN);
        assert_eq!(level(None, true), LevelFilter::DEBUG);
    }
}
