//! The VRRP part of an `lbd.toml` as `keepalived.conf`: the same keys in the other language.

use std::fmt::Write;

use toml::{Table, Value};

use crate::Configuration;

/// The text of `keepalived.conf` for the virtual routers of `configuration`.
///
/// # Panics
/// Keepalived has no word for something in it.
pub(crate) fn keepalived_conf(configuration: &Configuration, router_id: &str) -> String {
    let mut text = format!("global_defs {{\n    router_id {router_id}\n}}\n");
    for index in 0..configuration.length("vrrp_instance") {
        let instance = configuration.get(&format!("vrrp_instance[{index}]"));
        let instance = instance.and_then(Value::as_table);
        push_instance(&mut text, instance.expect("a vrrp_instance is a table"));
    }
    text
}

fn push_instance(text: &mut String, instance: &Table) {
    let name = instance
        .get("name")
        .and_then(Value::as_str)
        .expect("a vrrp_instance has a name");
    push(text, 0, &format!("vrrp_instance {name} {{"));
    // The election decides, as with lbd.
    push(text, 1, "state BACKUP");
    for (key, value) in instance {
        match (key.as_str(), value) {
            ("name", _) | ("nopreempt", Value::Boolean(false)) => {}
            ("nopreempt", Value::Boolean(true)) => push(text, 1, "nopreempt"),
            ("advert_int", Value::String(duration)) => {
                let duration = humantime::parse_duration(duration).expect("advert_int is a duration");
                push(text, 1, &format!("advert_int {}", duration.as_secs_f64()));
            }
            ("authentication", Value::Table(authentication)) => {
                push(text, 1, "authentication {");
                for (key, value) in authentication {
                    let value = value.as_str().expect("authentication is made of strings");
                    let value = if key == "auth_type" {
                        value.to_uppercase()
                    } else {
                        value.to_owned()
                    };
                    push(text, 2, &format!("{key} {value}"));
                }
                push(text, 1, "}");
            }
            ("virtual_ipaddress", Value::Array(addresses)) => {
                push(text, 1, "virtual_ipaddress {");
                for address in addresses {
                    push(text, 2, &virtual_address(address));
                }
                push(text, 1, "}");
            }
            (key, Value::String(value)) => push(text, 1, &format!("{key} {value}")),
            (key, Value::Integer(value)) => push(text, 1, &format!("{key} {value}")),
            (key, value) => panic!("Keepalived's word for {key} = {value} is not known here"),
        }
    }
    push(text, 0, "}");
}

/// `10.0.0.100/24`, or with the interface that it is on.
fn virtual_address(address: &Value) -> String {
    match address {
        Value::String(address) => address.clone(),
        Value::Table(table) => {
            let part = |key: &str| table.get(key).and_then(Value::as_str);
            let address = part("address").expect("a virtual address has an address");
            let more = ["dev", "label"].map(|key| {
                part(key)
                    .map(|value| format!(" {key} {value}"))
                    .unwrap_or_default()
            });
            format!("{address}{}", more.concat())
        }
        other => panic!("{other} is no virtual address"),
    }
}

/// Adds a line to a string, which can't fail.
fn push(text: &mut String, depth: usize, line: &str) {
    writeln!(text, "{}{line}", "    ".repeat(depth)).expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::keepalived_conf;
    use crate::Configuration;

    #[test]
    fn keys_keep_their_names() {
        let configuration = Configuration(toml::toml! {
            [[vrrp_instance]]
            name = "VI_1"
            interface = "eth0"
            version = 2
            advert_int = "100ms"
            nopreempt = true
            authentication = { auth_type = "pass", auth_pass = "secret" }
            virtual_ipaddress = ["10.0.0.100/24", { address = "10.0.1.100/24", dev = "eth1" }]
        });
        let expected = "\
global_defs {
    router_id lb1
}
vrrp_instance VI_1 {
    state BACKUP
    advert_int 0.1
    authentication {
        auth_pass secret
        auth_type PASS
    }
    interface eth0
    nopreempt
    version 2
    virtual_ipaddress {
        10.0.0.100/24
        10.0.1.100/24 dev eth1
    }
}
";
        let text = keepalived_conf(&configuration, "lb1");
        let mut lines: Vec<&str> = text.lines().collect();
        let mut expected: Vec<&str> = expected.lines().collect();
        // The order of a table's keys is not the point.
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{text}");
    }
}
