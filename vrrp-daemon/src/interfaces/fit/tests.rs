use super::*;

fn nic(index: u32, name: &str) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        kind: None,
        is_hardware: true,
        lower: None,
        tag: None,
        master: None,
        transmit: Transmit::WithProgram,
        stripping: Stripping::Off,
    }
}

fn device(index: u32, name: &str, kind: &str) -> Interface {
    Interface {
        kind: Some(kind.to_owned()),
        is_hardware: false,
        transmit: Transmit::Unable,
        ..nic(index, name)
    }
}

fn veth(index: u32, name: &str) -> Interface {
    device(index, name, "veth")
}

const TEN: Tag = Tag {
    protocol: 0x8100,
    id: 10,
};

fn vlan(index: u32, name: &str, lower: u32, id: u16) -> Interface {
    Interface {
        lower: Some(lower),
        tag: Some(Tag { id, ..TEN }),
        ..device(index, name, "vlan")
    }
}

fn judged(interfaces: &[Interface], ingress: &[u32], egress: &[u32], mode: XdpMode) -> Fit {
    judged_without_native(interfaces, ingress, egress, mode, &[])
}

fn judged_without_native(
    interfaces: &[Interface],
    ingress: &[u32],
    egress: &[u32],
    mode: XdpMode,
    not_native: &[u32],
) -> Fit {
    let set = |indices: &[u32]| indices.iter().copied().collect();
    fit(&Wish {
        interfaces,
        ingress: &set(ingress),
        egress: &set(egress),
        homes: &BTreeSet::new(),
        mode,
        not_native: &set(not_native),
    })
}

fn says(texts: &BTreeMap<u32, String>, index: u32, words: &[&str]) {
    let text = texts.get(&index).expect("it is told");
    for word in words {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn one_interface_needs_nothing_but_the_program() {
    for transmit in [Transmit::Unable, Transmit::Unknown] {
        let eth0 = Interface {
            transmit,
            ..nic(2, "eth0")
        };
        let fit = judged(&[eth0], &[2], &[2], XdpMode::Auto);
        assert_eq!(
            fit,
            Fit {
                programs: [(2, Mode::Native)].into(),
                ..Fit::default()
            }
        );
    }
}

#[test]
fn an_interface_without_native_mode_gets_the_generic_one() {
    let fit = judged_without_native(&[nic(2, "eth0")], &[2], &[2], XdpMode::Auto, &[2]);
    assert_eq!(fit.programs, [(2, Mode::Generic)].into());
    assert!(
        fit.unmerged.is_empty(),
        "what leaves by the same interface may be merged"
    );
}

#[test]
fn a_driver_that_sends_only_with_a_program_gets_one() {
    let host = [nic(2, "eth0"), nic(3, "eth1")];
    let fit = judged(&host, &[2], &[3], XdpMode::Native);
    assert_eq!(fit.programs, [(2, Mode::Native), (3, Mode::Native)].into());
    says(&fit.remarks, 3, &["eth1", "as well"]);

    let fit = judged_without_native(&host, &[2], &[3], XdpMode::Auto, &[3]);
    assert_eq!(fit.programs, [(2, Mode::Generic)].into());
    says(&fit.remarks, 2, &["generic", "eth1", "takes no native program"]);
}

#[test]
fn a_bridge_takes_nothing_from_a_native_program() {
    let mut port = nic(4, "eth1");
    port.master = Some(3);
    let host = [nic(2, "eth0"), device(3, "br0", "bridge"), port];
    let fit = judged(&host, &[2], &[2, 3], XdpMode::Auto);
    assert_eq!(fit.programs, [(2, Mode::Generic)].into());
    assert!(
        fit.unmerged.is_empty(),
        "the kernel merges nothing where a generic program is"
    );
    says(&fit.remarks, 2, &["br0"]);

    let fit = judged(&host, &[2], &[2, 3], XdpMode::Native);
    assert_eq!(fit.programs, [(2, Mode::Native)].into());
    says(&fit.blocked, 3, &["br0", "eth0", "xdp_mode"]);

    // In the other direction, the bridge's port merges.
    let fit = judged(&host, &[3], &[2], XdpMode::Generic);
    assert_eq!(fit.unmerged, [4].into());
}

#[test]
fn a_veth_whose_other_end_has_no_program_is_named_as_such() {
    let fit = judged(&[veth(2, "eth0"), veth(3, "eth1")], &[2], &[3], XdpMode::Native);
    says(&fit.blocked, 3, &["eth1", "other end"]);
    let able = Interface {
        transmit: Transmit::Able,
        ..veth(3, "eth1")
    };
    let fit = judged(&[veth(2, "eth0"), able], &[2], &[3], XdpMode::Native);
    assert_eq!(fit.programs, [(2, Mode::Native)].into());
    assert_eq!(fit.blocked, [].into());
}

#[test]
fn where_the_kernel_does_not_tell_only_auto_is_careful() {
    let unknown = Interface {
        transmit: Transmit::Unknown,
        ..nic(3, "eth1")
    };
    let host = [nic(2, "eth0"), unknown];
    assert_eq!(
        judged(&host, &[2], &[3], XdpMode::Auto).programs,
        [(2, Mode::Generic)].into()
    );
    let fit = judged(&host, &[2], &[3], XdpMode::Native);
    assert_eq!(
        (fit.programs, fit.blocked),
        ([(2, Mode::Native)].into(), [].into())
    );
}

#[test]
fn a_vlan_device_by_itself_is_as_any_interface() {
    let host = [veth(2, "eth0"), vlan(3, "eth0.10", 2, 10)];
    let fit = judged_without_native(&host, &[3], &[3], XdpMode::Auto, &[3]);
    assert_eq!(
        fit,
        Fit {
            programs: [(3, Mode::Generic)].into(),
            ..Fit::default()
        }
    );
    // The veth below it merges what it receives.
    let fit = judged_without_native(&host, &[3], &[2], XdpMode::Auto, &[3]);
    assert_eq!(fit.unmerged, [2].into());
}

#[test]
fn a_program_on_a_trunk_of_hardware_does_the_work_of_the_vlan_devices() {
    let mut host = [
        nic(2, "eth0"),
        vlan(3, "eth0.10", 2, 10),
        vlan(4, "eth0.10.20", 3, 20),
        vlan(5, "eth0.30", 2, 30),
    ];
    let twenty = Tag { id: 20, ..TEN };
    for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic] {
        for (device, tags) in [(3, vec![TEN]), (4, vec![TEN, twenty])] {
            let fit = judged(&host, &[2], &[device], mode);
            assert_eq!(fit.programs.len(), 1, "nothing is redirected");
            assert_eq!((fit.refused, fit.blocked), ([].into(), [].into()));
            assert_eq!(fit.trunks, [(device, (2, tags))].into());
            assert!(fit.unstripped.is_empty() && fit.unmerged.is_empty());
        }
    }
    // An address is on the VLAN device, which takes no native program.
    let fit = judged(&host, &[2, 3], &[3], XdpMode::Native);
    assert_eq!(
        (fit.programs, fit.refused),
        ([(2, Mode::Native)].into(), [].into())
    );
    host[0].stripping = Stripping::On;
    assert_eq!(judged(&host, &[2], &[3], XdpMode::Auto).unstripped, [2].into());
    assert!(
        judged(&host, &[2], &[2], XdpMode::Auto).unstripped.is_empty(),
        "the VLANs are not ours"
    );
}

#[test]
fn a_trunk_whose_tags_cannot_be_seen_is_refused_by_name() {
    let mut fixed = nic(2, "eth0");
    fixed.stripping = Stripping::Fixed;
    for trunk in [veth(2, "eth0"), fixed] {
        let host = [trunk, vlan(3, "eth0.10", 2, 10)];
        for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic] {
            let fit = judged(&host, &[2], &[3], mode);
            says(&fit.blocked, 3, &["eth0.10", "interfaces = [\"eth0.10\"]"]);
            assert_eq!(fit.programs.len(), 1);
            let fit = judged(&host, &[2, 3], &[3], mode);
            says(
                &fit.refused,
                2,
                &["eth0", "eth0.10", "interfaces = [\"eth0.10\"]"],
            );
            assert!(!fit.programs.contains_key(&2) && fit.programs.contains_key(&3));
        }
    }
}

#[test]
fn another_interface_redirects_to_the_trunk_and_not_to_the_vlan_device() {
    let host = [nic(2, "eth0"), vlan(3, "eth0.10", 2, 10), nic(4, "eth1")];
    let fit = judged(&host, &[2, 4], &[3], XdpMode::Native);
    assert_eq!(fit.programs, [(2, Mode::Native), (4, Mode::Native)].into());
    assert_eq!(fit.blocked, [].into());
    // Without a program on the trunk, the VLAN device is what there is.
    let fit = judged(&host, &[4], &[3], XdpMode::Auto);
    assert_eq!(fit.programs, [(4, Mode::Generic)].into());
}

#[test]
fn a_program_on_a_trunk_moves_nothing_from_one_vlan_to_another() {
    let host = [
        nic(2, "eth0"),
        vlan(3, "eth0.10", 2, 10),
        vlan(4, "eth0.20", 2, 20),
    ];
    for (homes, egress) in [(vec![3], vec![4]), (vec![2], vec![3]), (vec![], vec![3, 4])] {
        let fit = fit(&Wish {
            interfaces: &host,
            ingress: &[2].into(),
            egress: &egress.iter().copied().collect(),
            homes: &homes.iter().copied().collect(),
            mode: XdpMode::Native,
            not_native: &BTreeSet::new(),
        });
        says(&fit.refused, 2, &["several VLANs", "eth0", "interfaces ="]);
        assert!(fit.programs.is_empty());
    }
    // By the VLAN devices they go.
    let fit = judged_without_native(&host, &[3, 4], &[3, 4], XdpMode::Auto, &[3, 4]);
    assert_eq!(fit.programs, [(3, Mode::Generic), (4, Mode::Generic)].into());
    assert_eq!((fit.refused, fit.unmerged), ([].into(), [2].into()));
}
