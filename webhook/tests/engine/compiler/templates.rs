//! What may stand in a template, and what is said about anything else.

use super::says;
use crate::support::{World, driver, inject, world};

fn spec(fields: &str) -> World {
    world().spec(&format!("common: {{template: {{spec: {{{fields}}}}}}}"))
}

const AT: &str = "SparkProfile team-a: spec.common.template.spec";

#[test]
fn a_field_that_is_not_supported_is_named_with_those_that_are() {
    for (fields, at) in [
        ("nodeName: n1", ".nodeName"),
        ("restartPolicy: Always", ".restartPolicy"),
        ("hostPID: true", ".hostPID"),
        ("containers: [{name: spark, image: x}]", ".containers[0].image"),
        ("containers: [{name: spark, command: [x]}]", ".containers[0].command"),
        ("containers: [{name: spark, args: [x]}]", ".containers[0].args"),
        ("containers: [{name: spark, resources: {claims: []}}]", ".containers[0].resources.claims"),
    ] {
        says(&spec(fields).problem(), &[&format!("{AT}{at}: not supported"), "supported here: "]);
    }
    says(
        &world().spec("driver: {template: {metadata: {name: x}}}").problem(),
        &["spec.driver.template.metadata.name", "annotations, labels"],
    );
}

#[test]
fn a_misspelt_field_at_any_depth_is_named() {
    for (fields, at) in [
        ("tolerations: [{operator: Exists, kee: a}]", ".tolerations[0].kee"),
        ("volumes: [{name: v, configMap: {nam: x}}]", ".volumes[0].configMap.nam"),
        ("containers: [{name: logs, image: l, envv: []}]", ".containers[0].envv"),
        ("affinity: {nodeAffinty: {}}", ".affinity.nodeAffinty"),
    ] {
        says(&spec(fields).problem(), &[&format!("{AT}{at}: unknown field")]);
    }
    let problems = spec("nodeSelectr: {a: b}").problems();
    assert!(
        problems.iter().all(|problem| problem.contains("nodeSelectr")) && !problems.is_empty(),
        "{problems:?}"
    );
}

#[test]
fn a_wrong_type_is_named() {
    for (fields, at) in [
        ("priorityClassName: 7", ".priorityClassName"),
        ("tolerations: {key: a}", ".tolerations"),
        ("containers: [{name: spark, env: [{name: A, value: 1}]}]", ".containers[0].env[0].value"),
        ("hostNetwork: 'yes'", ".hostNetwork"),
    ] {
        says(&spec(fields).problem(), &[&format!("{AT}{at}"), "invalid type"]);
    }
}

#[test]
fn the_restart_policy_of_every_template_of_spark_is_accepted() {
    let pod = inject(&spec("restartPolicy: Never").catalog(), &driver());
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
}

#[test]
fn nulls_mean_absent_and_numbers_may_be_quantities() {
    let pod = inject(
        &spec("tolerations: null, containers: [{name: spark, env: null, resources: {limits: {cpu: 2.5}}}]")
            .catalog(),
        &driver(),
    );
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"], "2.5");
}

#[test]
fn reserved_names_are_refused() {
    for (fields, at) in [
        ("volumes: [{name: spark-injector-files, emptyDir: {}}]", ".volumes[0].name"),
        ("volumes: [{name: spark-injector-x, emptyDir: {}}]", ".volumes[0].name"),
        ("volumes: [{name: spark-local-dir-1, emptyDir: {}}]", ".volumes[0].name"),
        ("volumes: [{name: Bad_Name, emptyDir: {}}]", ".volumes[0].name"),
        ("initContainers: [{name: spark-injector-init, image: x}]", ".initContainers[0].name"),
        ("initContainers: [{name: spark, image: x}]", ".initContainers[0].name"),
        ("containers: [{name: spark-injector-init, image: x}]", ".containers[0].name"),
        ("containers: [{image: x}]", ".containers[0].name"),
        ("containers: [{name: spark, env: [{name: SPARK_LOCAL_DIRS, value: /x}]}]", ".containers[0].env"),
    ] {
        let problems = spec(fields).problems();
        assert!(
            problems.iter().any(|problem| problem.contains(&format!("{AT}{at}"))),
            "{fields}: {problems:?}"
        );
    }
}

#[test]
fn what_stands_twice_is_named() {
    for (fields, at) in [
        ("volumes: [{name: v, emptyDir: {}}, {name: v, emptyDir: {}}]", ".volumes[1].name"),
        ("hostAliases: [{ip: 1.1.1.1, hostnames: [a]}, {ip: 1.1.1.1, hostnames: [b]}]", ".hostAliases[1].ip"),
        ("dnsConfig: {options: [{name: a}, {name: a}]}", ".dnsConfig.options[1].name"),
        ("containers: [{name: spark, env: [{name: A}, {name: A}]}]", ".containers[0].env[1].name"),
        (
            "volumes: [{name: v, emptyDir: {}}], containers: [{name: spark, volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a/}]}]",
            ".containers[0].volumeMounts[1].mountPath",
        ),
        ("containers: [{name: spark}, {name: spark}]", ".containers[1].name"),
        ("containers: [{name: a, image: i}, {name: a, image: j}]", ".containers[1].name"),
        ("initContainers: [{name: a, image: i}, {name: a, image: j}]", ".initContainers[1].name"),
    ] {
        says(&spec(fields).problem(), &[&format!("{AT}{at}"), "twice"]);
    }
}

#[test]
fn labels_and_selectors_follow_the_grammar() {
    for template in [
        "metadata: {labels: {'a b': c}}",
        "metadata: {labels: {a: 'c d'}}",
        "metadata: {annotations: {'a b': c}}",
        "spec: {nodeSelector: {'a/b/c': d}}",
        "spec: {nodeSelector: {a: '-'}}",
    ] {
        let problem = world().spec(&format!("common: {{template: {{{template}}}}}")).problem();
        says(&problem, &["spec.common.template."]);
    }
    let mixed = world().spec(
        "common: {template: {metadata: {annotations: {Example.COM/Some_Key: 'any text, of any {kind}'}}}}",
    );
    inject(&mixed.catalog(), &driver());
}

#[test]
fn an_enforced_field_must_be_one_that_can_be() {
    let problem = world().spec("enforce: [priorityClassName, tolerations]").problem();
    says(&problem, &["spec.enforce[1]", "\"tolerations\"", "allowed: affinity, annotations"]);
}

#[test]
fn what_the_api_server_would_refuse_in_every_pod_is_refused_in_the_template() {
    for (fields, at, parts) in [
        (
            "containers: [{name: spark, resources: {limits: {cpu: banana}}}]",
            ".containers[0].resources.limits.cpu",
            &["\"banana\"", "such as 500m"][..],
        ),
        (
            "containers: [{name: log, image: l, resources: {requests: {memory: -1Gi}}}]",
            ".containers[0].resources.requests.memory",
            &["quantity"],
        ),
        ("volumes: [{name: v, emptyDir: {sizeLimit: 5q}}]", ".volumes[0].emptyDir.sizeLimit", &["\"5q\""]),
        ("volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]", ".volumes[0]", &["two sources"]),
        (
            "tolerations: [{key: a, operator: equals}]",
            ".tolerations[0].operator",
            &["Equal or Exists or Gt or Lt"],
        ),
        ("tolerations: [{key: a, effect: NoSchedul}]", ".tolerations[0].effect", &["NoSchedule, Prefer"]),
        ("hostAliases: [{ip: nn1, hostnames: [a]}]", ".hostAliases[0].ip", &["\"nn1\" is not an IP address"]),
        ("hostAliases: [{ip: '::1', hostnames: [a_b]}]", ".hostAliases[0].hostnames[0]", &["lower-case"]),
        ("priorityClassName: High One", ".priorityClassName", &["cannot be a name", "lower-case"]),
        ("dnsPolicy: Cluster", ".dnsPolicy", &["ClusterFirst, ClusterFirstWithHostNet, Default, None"]),
        (
            "dnsConfig: {nameservers: [dns.example]}",
            ".dnsConfig.nameservers[0]",
            &["\"dns.example\" is not an IP"],
        ),
        (
            "tolerations: [{operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]",
            ".tolerations[0].tolerationSeconds",
            &["NoExecute"],
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: Ignore}]",
            ".topologySpreadConstraints[0].whenUnsatisfiable",
            &["DoNotSchedule, ScheduleAnyway"],
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]",
            ".topologySpreadConstraints[0].maxSkew",
            &["1 or more"],
        ),
        (
            "containers: [{name: spark, ports: [{containerPort: 0}]}]",
            ".containers[0].ports[0].containerPort",
            &["1 to 65535"],
        ),
        (
            "containers: [{name: spark, ports: [{containerPort: 1, name: prometheus-metrics}]}]",
            ".containers[0].ports[0].name",
            &["at most 15"],
        ),
        (
            "containers: [{name: log, image: l, ports: [{containerPort: 1, protocol: tcp}]}]",
            ".containers[0].ports[0].protocol",
            &["TCP, UDP, SCTP"],
        ),
        (
            "containers: [{name: spark, env: [{name: A=b, value: c}]}]",
            ".containers[0].env[0].name",
            &["other than '='"],
        ),
        (
            "initContainers: [{name: log, image: l, imagePullPolicy: always}]",
            ".initContainers[0].imagePullPolicy",
            &["Always, IfNotPresent, Never"],
        ),
        ("containers: [{name: log}]", ".containers[0].image", &["missing"]),
        ("initContainers: [{name: log}]", ".initContainers[0].image", &["missing"]),
        ("nodeSelector: {'a b': c}", ".nodeSelector.a b", &["not a label key: at most 63 letters"]),
    ] {
        let problem = spec(fields).problem();
        says(&problem, &[&format!("{AT}{at}: ")]);
        says(&problem, parts);
    }
    let problem = world().spec("localDirs: [{emptyDir: {}, mountPath: '/data,1'}]").problem();
    says(&problem, &["spec.localDirs[0].mountPath", "comma"]);
    let problem = world().spec("executorRole: {name: SPARK_LOCAL_DIRS, value: a}").problem();
    says(&problem, &["spec.executorRole.name", "belongs to Spark"]);
    let problem = world().spec("localDirs: [{emptyDir: {sizeLimit: 5q}}]").problem();
    says(&problem, &["spec.localDirs[0].emptyDir.sizeLimit", "\"5q\""]);
}

#[test]
fn words_numbers_and_handlers_that_are_none_are_refused_in_the_template() {
    for (fields, at, parts) in [
        ("terminationGracePeriodSeconds: -5", ".terminationGracePeriodSeconds", ["below 0"]),
        ("securityContext: {runAsUser: -1}", ".securityContext.runAsUser", ["below 0"]),
        (
            "securityContext: {seccompProfile: {type: runtime/default}}",
            ".securityContext.seccompProfile.type",
            ["Localhost, RuntimeDefault, Unconfined"],
        ),
        (
            "containers: [{name: spark, securityContext: {appArmorProfile: {type: x}}}]",
            ".containers[0].securityContext.appArmorProfile.type",
            ["RuntimeDefault"],
        ),
        ("volumes: [{name: v, hostPath: {path: /a, type: dir}}]", ".volumes[0].hostPath.type", ["Directory"]),
        (
            "containers: [{name: log, image: l, livenessProbe: {periodSeconds: 1}}]",
            ".containers[0].livenessProbe",
            ["exactly one of exec, grpc, httpGet, tcpSocket"],
        ),
        (
            "containers: [{name: spark, lifecycle: {preStop: {exec: {command: [a]}, sleep: {seconds: 1}}}}]",
            ".containers[0].lifecycle.preStop",
            ["exactly one of exec, httpGet, sleep, tcpSocket"],
        ),
        (
            "containers: [{name: log, image: l, volumeMounts: [{name: v, mountPath: /a, mountPropagation: Both}]}]",
            ".containers[0].volumeMounts[0].mountPropagation",
            ["HostToContainer"],
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone}]",
            ".topologySpreadConstraints[0].whenUnsatisfiable",
            ["missing"],
        ),
        ("tolerations: [{key: a, value: b c}]", ".tolerations[0].value", ["not a label value"]),
    ] {
        let problem = spec(fields).problem();
        says(&problem, &[&format!("{AT}{at}: ")]);
        says(&problem, &parts);
    }
}

#[test]
fn what_the_api_server_takes_is_taken() {
    for fields in [
        "tolerations: [{key: speed, operator: Gt, value: '950'}, {operator: Exists}]",
        "schedulerName: Batch_Scheduler",
        "dnsPolicy: None, dnsConfig: {nameservers: ['2001:db8::1'], searches: [.]}",
        "tolerations: [{operator: Exists, effect: NoExecute, tolerationSeconds: 5}]",
        "containers: [{name: spark, env: [{name: '1 a', value: b}], ports: [{containerPort: 1, name: a-1, protocol: SCTP}]}]",
        "containers: [{name: log, image: l, imagePullPolicy: '', ports: [{containerPort: 1, name: '', hostPort: 0, protocol: ''}]}]",
        "volumes: [{name: v, csi: {driver: d, volumeAttributes: {protocol: nfs, imagePullPolicy: x}}}]",
        "containers: [{name: spark, resources: {limits: {ephemeral-storage: 0.5Gi, example.com/gpu: 0}}}]",
        "hostAliases: [{ip: '::ffff:10.0.0.1', hostnames: [a.b-c]}]",
        "terminationGracePeriodSeconds: 0, volumes: [{name: v, hostPath: {path: /a, type: ''}}]",
        "containers: [{name: spark, lifecycle: {stopSignal: SIGTERM, preStop: {sleep: {seconds: 1}}}}]",
        "containers: [{name: log, image: l, terminationMessagePolicy: '', volumeMounts: [{name: v, mountPath: /a, mountPropagation: None}]}], volumes: [{name: v}]",
    ] {
        inject(&spec(fields).catalog(), &driver());
    }
}
