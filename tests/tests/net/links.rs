//! What interfaces are made of, across network namespaces.

use vrrp_daemon::io::netlink::Netlink;

use crate::namespace::{Namespace, cable, soon};

#[tokio::test]
async fn the_other_end_of_a_veth_has_a_name_wherever_it_is() {
    let (here, there) = (Namespace::new(), Namespace::new());
    cable(&here, "ours", &there, "theirs").await;
    here.ip("link add near type veth peer name far");
    let netlink = here.run(Netlink::new).expect("a netlink socket");
    for (name, other_end, is_elsewhere) in [("ours", "theirs", true), ("near", "far", false)] {
        let link = here.link(name).await;
        assert_eq!(link.build.lower, None, "it is made of nothing");
        let end = link.build.other_end.expect("it is a veth");
        assert_eq!(end.namespace.is_some(), is_elsewhere);
        assert_eq!(soon(netlink.name_of(end)).await.expect("a name"), other_end);
    }
}

/// Its index is another one's here.
#[tokio::test]
async fn what_an_interface_of_another_namespace_is_made_of_is_not_here() {
    let (here, there) = (Namespace::new(), Namespace::new());
    here.ip("link add near type veth peer name far");
    for (namespace, is_here) in [(&here, true), (&there, false)] {
        here.ip(&format!(
            "link add link near name macvlan1 netns {} type macvlan",
            namespace.path()
        ));
        let near = here.link("near").await.index;
        let lower = namespace.link("macvlan1").await.build.lower;
        assert_eq!(lower, is_here.then_some(near));
    }
}
