//! Closed lists of words that look the same in the database, in JSON and on a terminal.

/// An enum of fixed words. `parse` returns `None` for any other word.
pub trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
    fn as_str(self) -> &'static str;
    fn parse(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
                 serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[schemars(inline, description = "")]
        pub enum $name { $(#[serde(rename = $word)] $item),* }

        impl $crate::model::Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $name::$item)),*];
            fn as_str(self) -> &'static str {
                match self { $($name::$item => $word),* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::model::Word::as_str(*self))
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                use $crate::model::Word;
                Self::parse(text).ok_or_else(|| {
                    let known: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
                    format!("choose one of: {}", known.join(", "))
                })
            }
        }
    };
}
