//! Host aliases by ip, DNS servers and search domains once, resolver options by name, the host's network.

use serde_json::json;

use super::{added, common, kept};
use crate::support::{catalog, driver, inject, inject_with_warnings, with, world};

#[test]
fn host_aliases_unite_by_ip_without_double_names() {
    let catalog = catalog(&common(
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a, b]}, {ip: 10.0.0.2, hostnames: [c]}]",
        "",
    ));
    let own =
        json!([{ "ip": "10.0.0.9", "hostnames": ["z"] }, { "ip": "10.0.0.1", "hostnames": ["b", "x"] }]);
    let pod = inject(&catalog, &with(driver(), "/spec/hostAliases", own));
    let expected = json!([
        { "ip": "10.0.0.9", "hostnames": ["z"] },
        { "ip": "10.0.0.1", "hostnames": ["b", "x", "a"] },
        { "ip": "10.0.0.2", "hostnames": ["c"] },
    ]);
    assert_eq!(pod["spec"]["hostAliases"], expected);
}

#[test]
fn an_alias_without_names_gets_them() {
    let catalog = catalog(&common("hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", ""));
    for own in [json!([{ "ip": "10.0.0.1" }]), json!([{ "ip": "10.0.0.1", "hostnames": null }])] {
        let pod = inject(&catalog, &with(driver(), "/spec/hostAliases", own));
        assert_eq!(pod["spec"]["hostAliases"], json!([{ "ip": "10.0.0.1", "hostnames": ["a"] }]));
    }
}

const DNS: &str = "dnsConfig: {nameservers: [10.9.9.9], searches: [corp.example], options: [{name: ndots, value: '2'}, {name: single-request-reopen}]}";

#[test]
fn dns_settings_are_added_where_there_are_none() {
    let expected = json!({
        "nameservers": ["10.9.9.9"], "searches": ["corp.example"],
        "options": [{ "name": "ndots", "value": "2" }, { "name": "single-request-reopen" }],
    });
    for own in [json!(null), json!({})] {
        added(
            &catalog(&common(DNS, "")),
            &with(driver(), "/spec/dnsConfig", own),
            "/spec/dnsConfig",
            &expected,
        );
    }
}

#[test]
fn dns_settings_of_the_pod_come_first_and_nothing_stands_twice() {
    let own =
        json!({ "nameservers": ["1.1.1.1", "10.9.9.9"], "options": [{ "name": "timeout", "value": "1" }] });
    let pod = inject(&catalog(&common(DNS, "")), &with(driver(), "/spec/dnsConfig", own));
    let expected = json!({
        "nameservers": ["1.1.1.1", "10.9.9.9"], "searches": ["corp.example"],
        "options": [{ "name": "timeout", "value": "1" }, { "name": "ndots", "value": "2" }, { "name": "single-request-reopen" }],
    });
    assert_eq!(pod["spec"]["dnsConfig"], expected);
}

#[test]
fn a_resolver_option_of_the_user_stays() {
    let own = json!({ "options": [{ "name": "ndots", "value": "5" }] });
    kept(
        &catalog(&common(DNS, "")),
        &with(driver(), "/spec/dnsConfig", own),
        "/spec/dnsConfig/options/0",
        "ndots",
    );
}

#[test]
fn no_more_servers_are_added_than_the_api_accepts() {
    let own = json!({ "nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3"] });
    let (pod, warnings) =
        inject_with_warnings(&catalog(&common(DNS, "")), &with(driver(), "/spec/dnsConfig", own.clone()));
    assert_eq!(pod["spec"]["dnsConfig"]["nameservers"], own["nameservers"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // Not "the pod's own nameserver 10.9.9.9": that one is the profile's.
    assert!(warnings[0].contains("kept the pod's own nameservers; team-a: "), "{warnings:?}");
}

#[test]
fn more_servers_than_the_api_accepts_are_a_mistake_of_the_profile() {
    let dns = |servers: &str| format!("{{template: {{spec: {{dnsConfig: {{nameservers: [{servers}]}}}}}}}}");
    let spec = |driver: &str| format!("{{common: {}, driver: {}}}", dns("10.0.0.1, 10.0.0.2"), dns(driver));
    inject(&world().spec(&spec("10.0.0.3, 10.0.0.1")).catalog(), &driver());
    let problem = world().spec(&spec("10.0.0.3, 10.0.0.4")).problem();
    for part in ["spec.driver.template.spec.dnsConfig.nameservers[1]", "4 nameservers", "at most 3"] {
        assert!(problem.contains(part), "{part} in {problem}");
    }
}

#[test]
fn the_hosts_network_brings_a_dns_policy_that_still_resolves_the_cluster() {
    let catalog = catalog(&common("hostNetwork: true", ""));
    for own in [json!(null), json!("ClusterFirst")] {
        let pod = inject(&catalog, &with(driver(), "/spec/dnsPolicy", own));
        assert_eq!(pod["spec"]["hostNetwork"], true);
        assert_eq!(pod["spec"]["dnsPolicy"], "ClusterFirstWithHostNet");
    }
    let pod = inject(&catalog, &with(driver(), "/spec/dnsPolicy", "Default"));
    assert_eq!(pod["spec"]["dnsPolicy"], "Default");
}

#[test]
fn a_dns_policy_of_the_profile_wins_over_the_one_for_the_hosts_network() {
    let pod = inject(&catalog(&common("hostNetwork: true, dnsPolicy: Default", "")), &driver());
    assert_eq!(pod["spec"]["dnsPolicy"], "Default");
}

#[test]
fn a_pod_on_the_hosts_network_stays_there() {
    let own = with(driver(), "/spec/hostNetwork", true);
    kept(&catalog(&common("hostNetwork: false", "")), &own, "/spec/hostNetwork", "hostNetwork");
}

#[test]
fn the_absence_of_the_hosts_network_is_what_false_asks_for() {
    for own in [json!(null), json!(false)] {
        inject(
            &catalog(&common("hostNetwork: false", "hostNetwork")),
            &with(driver(), "/spec/hostNetwork", own),
        );
    }
}
