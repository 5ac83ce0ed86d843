//! Choices: strings of a few words each.

use toml::de::DeValue;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};
use crate::config::suggest;
use crate::model::{Attach, Protocol, XdpMode};

use super::{Asked, ConfigValue, WriteToml, wrong_type};

/// Something that is on or off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Switch {
    On,
    Off,
}

/// The state that an instance is written to start in, which decides nothing in an election.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum InitialState {
    Master,
    Backup,
}

/// The scheduler of a virtual service; what there is to say about it has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Algorithm {
    WeightedRoundRobin,
    RoundRobin,
    SourceHash,
    DestinationHash,
    Maglev,
    LeastConnection,
    WeightedLeastConnection,
    ShortestExpectedDelay,
    NeverQueue,
    WeightedFailover,
    WeightedOverflow,
    TwoChoices,
}

/// How packets reach the real servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    DirectRouting,
    Tunnel,
}

/// What is around a packet in a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum TunnelType {
    IpInIp,
    Gue,
}

/// How an advertisement is authenticated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum AuthType {
    Password,
}

/// Makes enums the types of keys: the word for each meaning, and after `later` the words that the design knows, but
/// that are not built.
macro_rules! words {
    ($($type:ident { $($word:literal = $meaning:ident),+ } $(later $later:expr)?;)+) => {$(
        impl $type {
            const WORDS: &[(&'static str, Self)] = &[$(($word, Self::$meaning)),+];
        }

        impl ConfigValue for $type {
            fn accepts() -> String {
                quoted_words(&[$($word),+])
            }

            fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
                let later: &[&str] = &[];
                $(let later = [later, $later].concat();)?
                choice(asked, Self::WORDS, &later, value, problems)
            }
        }

        impl WriteToml for $type {
            fn to_toml(&self) -> String {
                let word = Self::WORDS.iter().find(|(_, meaning)| meaning == self);
                format!("\"{}\"", word.map_or("", |(word, _)| word))
            }
        }
    )+};
}

words! {
    XdpMode { "auto" = Auto, "native" = Native, "generic" = Generic };
    Attach { "on_master" = OnMaster, "always" = Always };
    InitialState { "backup" = Backup, "master" = Master };
    AuthType { "pass" = Password } later &["ah"];
    Switch { "on" = On, "off" = Off };
    Protocol { "tcp" = Tcp, "udp" = Udp, "sctp" = Sctp };
    Algorithm {
        "wrr" = WeightedRoundRobin, "rr" = RoundRobin, "wlc" = WeightedLeastConnection, "lc" = LeastConnection,
        "sed" = ShortestExpectedDelay, "nq" = NeverQueue, "fo" = WeightedFailover, "ovf" = WeightedOverflow,
        "twos" = TwoChoices, "sh" = SourceHash, "dh" = DestinationHash, "mh" = Maglev
    } later &["lblc", "lblcr"];
    Kind { "dr" = DirectRouting, "tun" = Tunnel } later &["nat"];
    TunnelType { "ipip" = IpInIp, "gue" = Gue } later &["gre"];
}

/// One of `words`; of those of `later`, it is said that they are not built.
fn choice<T: Copy>(
    asked: &Asked<'_>,
    words: &[(&'static str, T)],
    later: &[&str],
    value: &Value<'_>,
    problems: &mut Problems,
) -> Result<T, Reported> {
    let DeValue::String(word) = value.get_ref() else {
        return Err(wrong_type(value, "a string", problems));
    };
    let word: &str = word;
    if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
        return Ok(*meaning);
    }
    let what = asked.key;
    let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
    if later.contains(&word) {
        let diagnostic = Diagnostic::error(
            value.span(),
            format!("{what} `{word}` is not supported by this version of lbd"),
            "not supported yet",
        );
        return Err(problems.report(diagnostic.help(format!("supported: {}", suggest::list(&known, "and")))));
    }
    let diagnostic = Diagnostic::error(
        value.span(),
        format!("there is no {what} `{}`", word.escape_debug()),
        "unknown value",
    );
    Err(problems.report(match suggest::closest(word, &known) {
        Some(known) => diagnostic.help(format!("did you mean `\"{known}\"`?")),
        None => diagnostic.help(format!("choose {}", suggest::list(&known, "or"))),
    }))
}

/// `"a", "b" or "c"`.
fn quoted_words(words: &[&str]) -> String {
    suggest::list(words, "or").replace('`', "\"")
}
