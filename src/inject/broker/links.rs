//! `Link` headers (RFC 8288), by which answers in pages name the next one.
//!
//! What is not understood to its end is left as it is: half a reading could name another target than the client's.

/// `value` with each of its targets as `tell` tells it. `None` where it is no list of links.
pub(super) fn retold(value: &str, tell: impl Fn(&str) -> String) -> Option<String> {
    let mut text = String::with_capacity(value.len() + 64);
    let mut rest = value;
    loop {
        let (between, after) = rest.split_at(rest.len() - rest.trim_start_matches([' ', '\t', ',']).len());
        text.push_str(between);
        if after.is_empty() {
            return Some(text);
        }
        let (target, after) = after.strip_prefix('<')?.split_once('>')?;
        let is_plain = target.bytes().all(|b| b.is_ascii_graphic() && !b"<\"\\".contains(&b));
        if !is_plain {
            return None;
        }
        text.push('<');
        text.push_str(&tell(target));
        text.push('>');
        let (parameters, after) = after.split_at(parameters(after)?);
        text.push_str(parameters);
        rest = after;
    }
}

/// How long the parameters at the beginning of `text` are: up to the comma before the next link.
fn parameters(text: &str) -> Option<usize> {
    if !matches!(text.trim_start_matches([' ', '\t']).bytes().next(), None | Some(b';' | b',')) {
        return None;
    }
    let mut is_quoted = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => drop(bytes.next()?),
            b',' if !is_quoted => return Some(at),
            b'<' | b'>' if !is_quoted => return None,
            _ => {}
        }
    }
    (!is_quoted).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(value: &str) -> Option<String> {
        retold(value, |target| format!("[{target}]"))
    }

    #[test]
    fn every_target_is_told_and_nothing_else_is_touched() {
        for (value, told) in [
            ("</a?page=2>; rel=\"next\"", "<[/a?page=2]>; rel=\"next\""),
            (
                "<https://a.example/x>; rel=next, </y>;rel=\"last\"",
                "<[https://a.example/x]>; rel=next, <[/y]>;rel=\"last\"",
            ),
            (
                "</a,b;c>; title=\"one, <two>; \\\"three\\\"\", </d>",
                "<[/a,b;c]>; title=\"one, <two>; \\\"three\\\"\", <[/d]>",
            ),
            (" , </a> ;rel=x ,, </b>,", " , <[/a]> ;rel=x ,, <[/b]>,"),
            ("</a>; anchor=\"https://b.example/\"", "<[/a]>; anchor=\"https://b.example/\""),
            ("", ""),
        ] {
            assert_eq!(marked(value).as_deref(), Some(told), "{value}");
        }
    }

    #[test]
    fn what_is_no_list_of_links_is_not_understood() {
        for value in [
            "next",
            "https://a.example/x; rel=next",
            "</a; rel=next",
            "</a>; title=\"open",
            "</a>; title=\"open\\",
            "</a> </b>",
            "</a>rel=next",
            "</a>; rel=<b>",
            "</a b>",
            "<<a>>; rel=next",
            "</\u{e9}>",
            "</a>; rel=next, b",
        ] {
            assert_eq!(marked(value), None, "{value}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20_000))]

        /// Whoever tells every target as it is changes nothing.
        #[test]
        fn what_is_understood_is_written_as_it_was(
            value in "(<|>|\"|\\\\|,|;| |\t|/a|rel=next|https://a\\.example|\\PC){0,16}"
        ) {
            if let Some(told) = retold(&value, str::to_owned) {
                proptest::prop_assert_eq!(told, value);
            }
        }
    }
}
