//! Lists of who may use the virtual servers, and their files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use ipnet::IpNet;

use super::super::{parse, read_lists};
use super::edited;
use crate::model::AccessLists;

fn lists(keys: &str) -> AccessLists {
    let text = edited(&[("[dataplane]", &format!("[dataplane]\n{keys}"))]);
    let loaded = parse(&text).expect("the lists are right");
    loaded.configuration.dataplane.access
}

fn prefixes(prefixes: &[&str]) -> BTreeSet<IpNet> {
    let prefixes = prefixes.iter();
    prefixes.map(|prefix| prefix.parse().expect("a prefix")).collect()
}

/// What people see of files with this text.
fn refusal(keys: &str, text: &str) -> String {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    read_lists(&mut lists(keys), read, false).expect_err("the file is wrong")
}

#[test]
fn files_add_to_what_is_written() {
    let mut lists = lists(
        "block = [\"198.51.100.7\", \"2001:db8::/32\"]\nblock_file = \"/block\"\nallow_file = \"/allow\"",
    );
    assert_eq!(lists.block, prefixes(&["198.51.100.7/32", "2001:db8::/32"]));
    let read = |path: &Path| {
        let text = match path.to_str() {
            Some("/block") => "; a comment\n\n203.0.113.0/24 ; SBL1\r\n198.51.100.7 # twice",
            _ => "0.0.0.0/0\n::/0",
        };
        Ok(text.as_bytes().to_vec())
    };
    read_lists(&mut lists, read, false).expect("the files are right");
    let expected = prefixes(&["198.51.100.7/32", "2001:db8::/32", "203.0.113.0/24"]);
    assert_eq!(lists.block, expected);
    assert_eq!(lists.allow, prefixes(&["0.0.0.0/0", "::/0"]));
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let text = "10.0.0.0/8\n  10.0.0.1/8 # not this\nexample.org\n::ffff:10.0.0.0/104\n10.0.0.0/33\n";
    insta::assert_snapshot!(refusal("block_file = \"/etc/lbd/block\"", text));
}

#[test]
fn of_many_problems_some_are_told() {
    let told = refusal("block_file = \"/etc/lbd/block\"", &"x\n".repeat(25));
    assert_eq!(told.matches("error:").count(), 10, "{told}");
    assert!(told.ends_with("15 more in /etc/lbd/block"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_of() {
    let mut lists = lists("block_file = \"/etc/lbd/block\"");
    let read = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    insta::assert_snapshot!(read_lists(&mut lists, read, false).expect_err("there is none"));
}

#[test]
fn a_file_that_lets_nobody_in_is_refused() {
    insta::assert_snapshot!(refusal("allow_file = \"/etc/lbd/allow\"", "# nothing yet\n"));
}

#[test]
fn more_than_there_is_room_for_is_refused() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for number in 0..=u16::MAX {
        let [high, low] = number.to_be_bytes();
        writeln!(text, "10.0.{high}.{low}").expect("a string takes everything");
    }
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let mut full = lists("block_file = \"/etc/lbd/block\"");
    read_lists(&mut full, read, false).expect("there is room for so many");
    let one_more = "block = [\"192.0.2.1\"]\nblock_file = \"/etc/lbd/block\"";
    insta::assert_snapshot!(refusal(one_more, &text));
}
