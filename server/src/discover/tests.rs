use clap::Parser as _;
use portolan_model::{OwnerKind, OwnerRecord, ValidTime};

use super::*;
use crate::cli::discover::DiscoverCommand;
use crate::cli::{Cli, Command};

fn args(line: &str) -> KubernetesArgs {
    let line = format!("portolan discover kubernetes {line}");
    match Cli::parse_from(line.split_whitespace()).command {
        Command::Discover(DiscoverCommand::Kubernetes(args)) => args,
        other => panic!("{other:?}"),
    }
}

fn named(line: &str) -> Vec<(Option<String>, String, String)> {
    let all = clusters_of(&args(line)).into_iter();
    all.map(|(context, s)| (context, s.environment.to_string(), s.scope.to_string())).collect()
}

#[test]
fn clusters_are_named_by_their_context_and_have_a_scope_each() {
    let own = |s: &str| s.to_owned();
    assert_eq!(named(""), [(None, own("kubernetes"), own("cluster/kubernetes/pod"))]);
    assert_eq!(named("--name lab"), [(None, own("lab"), own("cluster/lab/pod"))]);
    assert_eq!(
        named("--context eu --context us=default"),
        [
            (Some(own("eu")), own("eu"), own("cluster/eu/pod")),
            (Some(own("us")), own("us"), own("default"))
        ]
    );
}

#[test]
fn every_version_has_a_key_of_its_own_and_only_own_records_are_recalled() {
    let version = |uid: &str, from| {
        let valid = ValidTime::since(from);
        OwnerEvent::Upsert(Box::new(OwnerRecord::blank("a", uid, OwnerKind::Pod, valid)))
    };
    assert_eq!(key_of("a", &version("u", 5)).as_deref(), Some("k8s/a/u@5"));
    assert_ne!(key_of("a", &version("u", 5)), key_of("a", &version("u", 6)));
    assert_eq!(key_of("b", &version("u", 5)), None);
    let heartbeat = OwnerEvent::Heartbeat { scope: "a".into(), watermark: 7 };
    assert_eq!(key_of("a", &heartbeat).as_deref(), Some("k8s-alive/a"));
}
