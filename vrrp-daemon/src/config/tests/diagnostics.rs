//! The diagnostics of broken configurations, as people see them.

use super::super::{missing_interfaces, parse, render};
use super::{EXAMPLE, edited, extended};

/// What people see about `text`, errors or warnings.
fn diagnosed(text: &str) -> String {
    let (outcome, diagnostics) = match parse(text) {
        Ok(loaded) => ("valid", loaded.warnings),
        Err(diagnostics) => ("refused", diagnostics),
    };
    format!("{}\n\n({outcome})", render(&diagnostics, "lbd.toml", text, false))
}

/// The example with that many services more, each of two real servers with these weights.
fn many_services(count: usize, weights: [u16; 2]) -> String {
    let services: String = (1..=count)
        .map(|number| {
            let real_servers: String = (21..)
                .zip(weights)
                .map(|(last, weight)| {
                    format!(
                        "[[virtual_server.real_server]]\naddress = \"10.0.0.{last}\"\nweight = {weight}\n"
                    )
                })
                .collect();
            format!("[[virtual_server]]\naddress = \"10.0.0.4\"\nport = {number}\n{real_servers}")
        })
        .collect();
    extended(&services)
}

/// The example with `said` of its service in place of address and port, and a group `web` with this `member`.
fn with_group(said: &str, member: &str) -> String {
    let group = format!("[[virtual_server_group]]\nname = \"web\"\n{member}\n\n[[virtual_server]]\n{said}");
    edited(&[("[[virtual_server]]\naddress = \"10.0.0.3\"\nport = 80", &group)])
}

/// The example as word processors and web pages would have it.
fn with_typographic_quotes() -> String {
    let mut opens = false;
    let quotes = |character: char| match character {
        '"' => {
            opens = !opens;
            if opens { '“' } else { '”' }
        }
        other => other,
    };
    EXAMPLE.chars().map(quotes).collect()
}

/// One test for each problem: the configuration that has it, and a snapshot of what people see.
macro_rules! diagnostics {
    ($($problem:ident: $text:expr;)*) => {$(
        #[test]
        fn $problem() {
            let text: &str = &$text;
            insta::assert_snapshot!(stringify!($problem), diagnosed(text));
        }
    )*};
}

const SECOND_INSTANCE: &str = r#"
[[vrrp_instance]]
name = "VI_2"
interface = "eth0"
virtual_router_id = 52
virtual_ipaddress = ["10.0.0.5"]
"#;

diagnostics! {
    unknown_key_with_a_suggestion: edited(&[("virtual_router_id =", "virtual_router_idd ="), ("delay_loop", "delay-loop")]);
    unknown_key_that_resembles_nothing: edited(&[("router_id = \"lb1\"", "colour = \"blue\"")]);
    unknown_key_that_is_a_part_of_one: edited(&[("virtual_router_id", "router_id")]);
    unknown_table: extended("[data_plane]\n");
    unknown_value_with_a_suggestion: edited(&[("\"on_master\"", "\"on-master\""), ("\"backup\"", "\"BACKUP\"")]);
    unknown_value_that_resembles_nothing: edited(&[("\"auto\"", "\"fast\"")]);
    number_in_quotes: edited(&[("priority = 150", "priority = \"150\""), ("nopreempt = false", "nopreempt = \"false\"")]);
    string_without_quotes: edited(&[("\"1s\"", "1s"), ("\"10.0.0.11\"", "10.0.0.11")]);
    string_that_is_a_number: edited(&[("name = \"VI_1\"", "name = 1")]);
    single_brackets: edited(&[("[[vrrp_instance]]", "[vrrp_instance]")]);
    table_that_is_none: "node = 1\n[dataplane]\ninterfaces = \"eth0\"";
    missing_keys: "[[vrrp_instance]]\nname = \"VI_1\"\n\n[[virtual_server]]\n[[virtual_server.real_server]]\n";
    empty_string: edited(&[("\"lb1\"", "\"\"")]);
    several_problems_at_once: edited(&[
        ("priority = 150", "priority = 300"), ("port = 80", "port = \"http\""), ("weight = 3", "wieght = 3"),
        ("\"10.0.0.3/24\"", "\"10.0.0/24\""), ("version = 2 ", "version = 4 "),
    ]);

    virtual_server_that_is_there_twice: extended("\n[[virtual_server]]\naddress = \"10.0.0.3\"\nport = 80\n[[virtual_server.real_server]]\naddress = \"10.0.0.12\"\n");
    virtual_server_in_no_instance: edited(&[("address = \"10.0.0.3\"", "address = \"10.0.0.9\"")]);
    virtual_server_without_real_servers: extended("\n[[virtual_server]]\naddress = \"10.0.0.3\"\nport = 443\n");
    mixed_families: edited(&[("\"10.0.0.11\"", "\"2001:db8::11\"")]);
    mixed_families_in_a_tunnel: edited(&[("\"10.0.0.11\"", "\"2001:db8::11\"\nlb_kind = \"tun\"")]);
    tunnel_that_is_not_built: edited(&[("\"dr\"", "\"tun\"\ntun_type = \"gre\"")]);
    tunnel_of_gue: edited(&[("\"dr\"", "\"tun\"\ntun_type = \"gue\"\ntun_port = 6080")]);
    tunnel_of_gue_without_a_port: edited(&[("\"dr\"", "\"tun\"\ntun_type = \"gue\"")]);
    tunnel_of_a_real_server_without_a_port: edited(&[("weight = 3", "lb_kind = \"tun\"\ntun_type = \"gue\"")]);
    tunnel_without_effect: edited(&[
        ("\"dr\"", "\"dr\"\ntun_type = \"gue\"\ntun_port = 6080"),
        ("weight = 3", "tun_type = \"ipip\"\ntun_port = 6081"),
    ]);
    tunnel_port_without_effect: edited(&[("\"dr\"", "\"tun\"\ntun_port = 6080")]);
    real_server_with_the_virtual_address: edited(&[("\"10.0.0.11\"", "\"10.0.0.3\"")]);
    real_server_with_another_virtual_address: edited(&[("\"10.0.0.11\"", "\"10.0.0.4\"")]);
    successor_that_nobody_hears: edited(&[("interface = \"eth0\"", "interface = \"eth1\""), ("[\"10.0.0.3/24\"", "[{ address = \"10.0.0.3/24\", dev = \"eth0\" }")]);
    weights_that_only_seventy_services_round: many_services(70, [65_535, 65_534]);
    weights_that_are_rounded_a_lot: many_services(9, [1, 65_535]);
    large_weights_that_fit: many_services(7, [9_999, 4_000]);
    real_server_that_is_there_twice: extended("\n[[virtual_server.real_server]]\naddress = \"10.0.0.11\"\n");
    real_server_with_another_port: edited(&[("weight = 3", "port = 8080")]);
    weight_out_of_range: edited(&[("weight = 3", "weight = 65536")]);
    negative_weight: edited(&[("weight = 3", "weight = -1")]);
    port_out_of_range: edited(&[("port = 80", "port = 65536")]);
    ranges_of_ports_that_are_none: edited(&[("port = 80", "port = \"8100-8000\""), ("weight = 3", "\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"0-1023\"\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"443\"\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"443-443\"\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"http-https\"\n[[virtual_server.real_server]]\naddress = \"10.0.0.11\"")]);
    every_port_and_none_to_check: edited(&[("port = 80", "port = 0"), ("weight = 3", "port = 80")]);
    ranges_of_ports_that_cross: extended("\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"8000-8100\"\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = \"8100-8200\"\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = 0\n");
    one_packet_scheduling_of_tcp: edited(&[("lb_algo = \"wrr\"", "lb_algo = \"wrr\"\nops = true")]);
    group_without_a_server_of_its_own: with_group("group = \"web\"", "member = [{ address = \"10.0.0.3\", port = 80 }, { address = \"10.0.0.4\", port = \"8000-8100\" }]");
    group_that_is_not_there: with_group("group = \"wep\"", "member = [{ address = \"10.0.0.3\", port = 80 }]");
    group_without_a_member: with_group("group = \"web\"", "");
    group_beside_an_address: with_group("group = \"web\"\naddress = \"10.0.0.3\"\nport = 80", "member = [{ address = \"10.0.0.3\", port = 80 }]");
    group_that_is_there_twice: with_group("group = \"web\"", "member = [{ address = \"10.0.0.3\", port = 80 }]\n[[virtual_server_group]]\nname = \"web\"\nmember = [{ address = \"10.0.0.4\", port = 80 }]");
    group_of_marked_packets: with_group("group = \"web\"", "member = [{ fwmark = 1 }]");
    group_of_two_families: with_group("group = \"web\"", "member = [{ address = \"10.0.0.3\", port = 80 }, { address = \"2001:db8::3\", port = 80 }]");
    ranges_of_addresses_that_are_none: with_group("group = \"web\"", "member = [{ address = \"10.0.0.9-4\", port = 80 }, { address = \"10.0.0.3-10.1.0.3\", port = 80 }, { address = \"10.0.0.3-2001:db8::3\", port = 80 }, { address = \"10.0.0.3-x\", port = 80 }]");
    virtual_server_that_a_group_has_as_well: with_group("group = \"web\"", "member = [{ address = \"10.0.0.3-4\", port = 80 }]\n[[virtual_server]]\naddress = \"10.0.0.4\"\nport = 80");
    scheduler_that_is_not_built: edited(&[("\"wrr\"", "\"lblc\"")]);
    thresholds_the_wrong_way_round: edited(&[("weight = 3", "weight = 3\nuthreshold = 100\nlthreshold = 200")]);
    lower_threshold_alone: edited(&[("weight = 3", "weight = 3\nlthreshold = 200")]);
    threshold_below_zero: edited(&[("weight = 3", "weight = 3\nuthreshold = -1")]);
    options_of_another_scheduler: edited(&[("lb_algo = \"wrr\"", "lb_algo = \"sh\"\nsh_port = true\nmh_port = false\nmh_fallback = true")]);
    maglev_whose_weights_fit_as_well_as_a_table_allows: edited(&[("\"wrr\"", "\"mh\"")]);
    maglev_whose_weights_do_not_fit: many_services(1, [1, 65_535]).replace("port = 1\n", "port = 1\nlb_algo = \"mh\"\n");
    new_flow_limit_out_of_range: edited(&[("lb_kind", "new_flow_limit = 999\nlb_kind")]);
    new_flow_limit_that_is_none: edited(&[("lb_kind", "new_flow_limit = \"none\"\nlb_kind")]);
    new_flow_limit_in_quotes: edited(&[("lb_kind", "new_flow_limit = \"5000\"\nlb_kind")]);
    forwarding_that_is_not_built: edited(&[("\"dr\"", "\"nat\"")]);
    address_that_is_none: edited(&[("\"10.0.0.11\"", "\"web1\""), ("address = \"10.0.0.3\"", "address = \"10.0.0.3/32\"")]);
    address_of_no_host: edited(&[("\"10.0.0.11\"", "\"224.0.0.1\"")]);

    duration_without_unit: edited(&[("\"1s\"", "1"), ("\"6s\"", "\"6\""), ("\"3s\"", "2.5")]);
    duration_that_is_none: edited(&[("\"6s\"", "\"6 lightyears\"")]);
    connection_timeouts_out_of_range:
        edited(&[("flow_table_size = 1048576", "lvs_timeouts = { tcp = \"0s\", tcpfin = 120, udp = \"32d\" }")]);
    prefixes_that_are_none: edited(&[("[dataplane]", "[dataplane]\nblock = [\"198.51.100.7/24\", \"example.org\", \"2001:db8::/129\", \"::ffff:10.0.0.1\", 10]\nallow = []")]);
    flow_table_out_of_range: edited(&[("1048576", "134217728")]);
    duration_too_long: edited(&[("\"6s\"", "\"1000000h\"")]);
    zero_timeouts: edited(&[("connect_timeout = \"3s\"", "connect_timeout = \"0s\""), ("\"6s\"", "\"1us\"")]);

    virtual_router_id_zero: edited(&[("virtual_router_id = 51", "virtual_router_id = 0")]);
    virtual_router_id_too_large: edited(&[("virtual_router_id = 51", "virtual_router_id = 256")]);
    virtual_router_id_that_is_there_twice: extended(&SECOND_INSTANCE.replace("52", "51"));
    instance_name_that_is_there_twice: extended(&SECOND_INSTANCE.replace("VI_2", "VI_1"));
    virtual_address_in_two_instances: extended(&SECOND_INSTANCE.replace("10.0.0.5", "10.0.0.4"));
    virtual_address_that_is_there_twice: edited(&[("10.0.0.4/32", "10.0.0.3")]);
    virtual_address_with_a_bad_prefix: edited(&[("10.0.0.3/24", "10.0.0.3/33")]);
    virtual_address_of_ipv6: edited(&[("10.0.0.3/24", "2001:db8::3/64")]);
    no_virtual_address: "[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvirtual_router_id = 51\nvirtual_ipaddress = []\n";
    virtual_address_of_another_type: edited(&[("\"10.0.0.3/24\"", "10")]);
    label_of_another_interface: edited(&[("\"eth0:1\"", "\"eth1:1\"")]);
    label_too_long: edited(&[("\"eth0:1\"", "\"eth0:abcdefghijk\"")]);
    interface_name_too_long: edited(&[("interface = \"eth0\"", "interface = \"enp0s31f6v1000000\""), ("interfaces = [\"eth0\"]", "interfaces = [\"eth 0\"]")]);
    priority_zero: edited(&[("priority = 150", "priority = 0")]);
    priority_too_large: edited(&[("priority = 150", "priority = 256")]);
    advert_int_below_a_second_in_version_2: edited(&[("\"1s\"", "\"250ms\"")]);
    advert_int_too_long_for_version_2: edited(&[("\"1s\"", "\"256s\"")]);
    advert_int_between_steps_in_version_3: edited(&[("version = 2 ", "version = 3 "), ("\"1s\"", "\"15ms\""), ("authentication", "#")]);
    advert_int_too_long_for_version_3: edited(&[("version = 2 ", "version = 3 "), ("\"1s\"", "\"41s\""), ("authentication", "#")]);
    advert_int_zero: edited(&[("\"1s\"", "\"0s\"")]);
    auth_pass_too_long: edited(&[("\"1111\"", "\"correct horse\"")]);
    authentication_in_version_3: edited(&[("version = 2 ", "version = 3 ")]);
    authentication_that_is_not_built: edited(&[("\"pass\"", "\"ah\"")]);
    no_interface_at_all: "[[virtual_server]]\naddress = \"10.0.0.3\"\nport = 80\n[[virtual_server.real_server]]\naddress = \"10.0.0.11\"\n";
    empty_file: "";

    broadcast_address_as_virtual_address: edited(&[("10.0.0.3/24", "10.0.0.255/24")]);
    network_address_as_virtual_address: edited(&[("10.0.0.3/24", "10.0.0.0/24")]);
    addresses_of_no_host: edited(&[("[\"10.0.0.3/24\"", "[\"0.0.0.0/24\", \"255.255.255.255\", \"224.0.0.18\", \"127.0.0.1/8\", \"0.1.2.3/8\", \"240.0.0.1/24\", \"10.0.0.3/0\"")]);
    addresses_of_no_host_in_ipv6: edited(&[("\"10.0.0.3\"", "\"::\""), ("weight = 3", "\n[[virtual_server]]\naddress = \"::1\"\nport = 80\n[[virtual_server]]\naddress = \"2001:db8::3\"\nport = 80\n[[virtual_server.real_server]]\naddress = \"fe80::1\"")]);
    control_characters_in_names: edited(&[("\"lb1\"", "\"lb\\u001b[31m1\""), ("\"VI_1\"", "\"VI\\n1\""), ("\"eth0\"]", "\"eth\\t0\"]"), ("[dataplane]", "pin_dir = \"/sys/fs/bpf/\\u0000lbd\"\n[dataplane]")]);
    invisible_characters_in_values: edited(&[("\"10.0.0.11\"", "\"10.0.0.11\u{200b}\""), ("\"10.0.0.3/24\"", "\"10.0.0.3/24\u{a0}\"")]);
    interface_names_that_the_kernel_refuses: edited(&[("[\"eth0\"]", "[\"eth/0\", \"eth 0\", \"..\", \"eth0:1\"]")]);
    socket_path_too_long: edited(&[("router_id = \"lb1\"", &format!("control_socket = \"/{}\"", "a".repeat(107)))]);

    typographic_quotes: with_typographic_quotes();
    typographic_quotes_in_one_place: edited(&[("\"VI_1\"", "‘VI_1’"), ("port = 80", "port = 65536")]);
    no_break_spaces: edited(&[("name = ", "name\u{a0}= "), ("port = ", "port =\u{a0}"), ("priority", "\u{a0}\u{a0}priority")]);
    zero_width_space: edited(&[("name = ", "name\u{200b} = ")]);
    byte_order_mark_in_the_middle: format!("\u{feff}# a\n\u{feff}{EXAMPLE}");
    addresses_with_ports: edited(&[("\"10.0.0.11\"", "\"10.0.0.11:80\""), ("\"10.0.0.3/24\"", "\"10.0.0.3:80\""), ("address = \"10.0.0.3\"", "address = \"[2001:db8::3]:80\"")]);
    address_with_leading_zeros: edited(&[("\"10.0.0.11\"", "\"10.0.0.011\"")]);
    prefix_length_as_a_mask: edited(&[("10.0.0.3/24", "10.0.0.3/255.255.255.0"), ("10.0.0.4/32", "10.0.0.4/32 ")]);
    single_brackets_below: edited(&[("[[virtual_server.real_server]]", "[virtual_server.real_server]")]);
    single_brackets_twice: format!("{}\n[virtual_server.real_server]\naddress = \"10.0.0.12\"\n", edited(&[("[[virtual_server.real_server]]", "[virtual_server.real_server]")]));
    single_brackets_everywhere: format!("{}\n[virtual_server]\naddress = \"10.0.0.4\"\nport = 80\n[virtual_server.real_server]\naddress = \"10.0.0.12\"\n", EXAMPLE.replace("[[", "[").replace("]]", "]"));
    header_with_a_name: edited(&[("[[vrrp_instance]]", "[[vrrp_instance]] VI_1")]);
    header_with_a_name_inside: edited(&[("[[vrrp_instance]]", "[vrrp_instance VI_1]")]);
    table_in_the_wrong_place: edited(&[("[[virtual_server.real_server]]", "[[real_server]]")]);
    keys_in_the_wrong_table: edited(&[("weight = 3", "lb_algo = \"rr\""), ("port = 80", "port = 80\nweight = 3"), ("authentication = { auth_type = \"pass\", auth_pass = \"1111\" }", "auth_pass = \"1111\"")]);
    words_of_keepalived: edited(&[("nopreempt = false", "preempt = true\nunicast_peer = [\"10.0.0.2\"]"), ("weight = 3", "HTTP_GET = {}"), ("[node]", "[global_defs]")]);
    configuration_of_keepalived: include_str!("keepalived.conf");
    yaml: EXAMPLE.replace(" = ", ": ").replace("[[vrrp_instance]]", "vrrp_instance:");
    json: "{\"node\": {\"router_id\": \"lb1\"}}\n";
    keys_without_equals_signs: EXAMPLE.replace(" = ", " ");
    merge_conflict: edited(&[("priority = 150\n", "<<<<<<< HEAD\npriority = 150\n=======\npriority = 100\n>>>>>>> theirs\n")]);
    semicolon: edited(&[("port = 80", "port = 80;")]);
    string_where_an_array_is_expected: edited(&[("interfaces = [\"eth0\"]", "interfaces = \"eth0\"")]);
    whole_number_with_a_fraction: edited(&[("weight = 3", "weight = 3.0")]);
    master_by_state: edited(&[("\"backup\"", "\"master\""), ("priority = 150\n", ""), ("nopreempt = false", "nopreempt = true")]);

    syntax_errors_beside_others: edited(&[("name = \"VI_1\"", "name = \"VI_1"), ("priority = 150", "priority ="), ("port = 80", "port = 65536")]);
    boolean_written_large: edited(&[("nopreempt = false", "nopreempt = False")]);
    table_that_is_there_twice: extended("[node]\nstate_dir = \"/tmp\"\n");
    key_that_is_there_twice: edited(&[("delay_loop", "port = 443\ndelay_loop")]);
    array_that_is_not_closed: edited(&[("[\"eth0\"]  ", "[\"eth0\"  "), ("port = 80", "port = 65536")]);
    header_that_is_not_closed: edited(&[("[[virtual_server]]", "[[virtual_server]")]);
}

/// A person who made one mistake in many places is told once.
#[test]
fn a_mistake_is_one_sentence_however_often_it_was_made() {
    for text in [
        with_typographic_quotes(),
        EXAMPLE.replace(" = ", "\u{a0}= "),
        EXAMPLE.replace(" = ", ": "),
        EXAMPLE.replace(" = ", " "),
        EXAMPLE.replace("[[", "[").replace("]]", "]")
            + "[virtual_server]\naddress = \"10.0.0.4\"\nport = 80\n",
        include_str!("keepalived.conf").to_owned(),
    ] {
        let diagnostics = parse(&text).expect_err("it is no TOML, or has single brackets");
        assert_eq!(
            diagnostics.len(),
            1,
            "{}",
            render(&diagnostics, "lbd.toml", &text, false)
        );
    }
}

#[test]
fn no_interface_is_missed_that_was_guessed() {
    for text in [
        with_typographic_quotes(),
        include_str!("keepalived.conf").to_owned(),
    ] {
        assert_eq!(missing_interfaces(&text, |_| false), []);
    }
}
