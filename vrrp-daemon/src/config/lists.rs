//! Reads the files that `[dataplane]` names: lists of prefixes, one on each line.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use ipnet::IpNet;
use lb_common::maps;

use crate::model::AccessLists;

use super::diagnostic::{Diagnostic, render};
use super::encoding::decode;
use super::value::Prefix;

/// How many problems of a file are told of.
const TOLD: usize = 10;

/// Adds to `lists` what is in their files, which `read` reads. The text of an error has escapes for `colour`.
///
/// # Errors
/// Why the lists cannot be used, for people: what is wrong, where, and what to do about it.
pub fn read_lists(
    lists: &mut AccessLists,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
    colour: bool,
) -> Result<(), String> {
    let add = |key: &str, file: Option<&Path>, to: &mut BTreeSet<IpNet>| {
        let Some(path) = file else {
            return Ok(());
        };
        let name = path.display().to_string();
        let bytes = read(path).map_err(|error| {
            format!(
                "error: cannot read {name}, the `{key}` of `[dataplane]`: {error}\n  \
                 write one prefix on each line there, or remove the key"
            )
        })?;
        let text =
            decode(bytes).map_err(|error| format!("error: {name}, the `{key}` of `[dataplane]`, {error}"))?;
        let (prefixes, problems) = parse(&text);
        to.extend(prefixes);
        match problems.len() {
            0 => Ok(()),
            count => {
                let told = &problems[..count.min(TOLD)];
                let more = match count - told.len() {
                    0 => String::new(),
                    more => format!("\n\n{more} more in {name}"),
                };
                Err(render(told, &name, &text, colour) + &more)
            }
        }
    };
    add("block_file", lists.block_file.as_deref(), &mut lists.block)?;
    add("allow_file", lists.allow_file.as_deref(), &mut lists.allow)?;
    if let Some(path) = &lists.allow_file
        && lists.allow.is_empty()
    {
        return Err(format!(
            "error: {}, the `allow_file` of `[dataplane]`, has no prefix: nobody could begin a connection\n  \
             write who may, or remove the key to let everybody",
            path.display()
        ));
    }
    let listed = lists.block.union(&lists.allow).count();
    if listed > maps::LISTED_PREFIXES as usize {
        return Err(format!(
            "error: {listed} prefixes in `block` and `allow` of `[dataplane]` and their files: at most {} fit\n  \
             put neighbouring ones together under a shorter prefix",
            maps::LISTED_PREFIXES
        ));
    }
    Ok(())
}

/// The prefixes in the text of a list, and what is wrong with it. What follows a `#` or a `;` is a comment.
fn parse(text: &str) -> (Vec<IpNet>, Vec<Diagnostic>) {
    let (mut prefixes, mut problems) = (Vec::new(), Vec::new());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let written = line.split(['#', ';']).next().unwrap_or_default();
        let word = written.trim();
        if !word.is_empty() {
            let first = start + written.len() - written.trim_start().len();
            match Prefix::parse(word) {
                Ok(Prefix(prefix)) => prefixes.push(prefix),
                Err(reason) => problems.push(reason.at(first..first + word.len())),
            }
        }
        start += line.len();
    }
    (prefixes, problems)
}
