//! Settings from variables of the environment.

use super::*;

#[test]
fn variable_overrides_the_file() {
    let text = format!("[line]\nhorizon = \"30s\"\n{KAFKA}");
    let config = parse(
        &text,
        &[
            ("PORTOLAN__LINE__HORIZON", "90s"),
            ("PORTOLAN__LINE__MAX_CONNECTIONS", "20_000"),
            ("PORTOLAN__KAFKA__0__NAME", "7"),
            ("PORTOLAN__KAFKA__0__PROPERTIES__SASL_PASSWORD", "hunter2"),
            ("PORTOLAN__KAFKA__0__TOPICS__0__NAME", "flows"),
            ("PORTOLAN__KAFKA__0__TOPICS__0__ENCODING", "netobserv-json"),
            ("PORTOLAN__KAFKA__0__TOPICS__0__GAPS_ARE_LOSSES", "true"),
            ("PORTOLAN_CONFIG", "not ours"),
            ("HOME", "/"),
        ],
    )
    .unwrap();
    assert_eq!(config.line.horizon, Duration::from_secs(90));
    assert_eq!(config.line.max_connections, 20_000);
    let kafka = &config.kafka[0];
    assert_eq!(kafka.name, "7", "a number is a fine name");
    assert_eq!(kafka.brokers, "k1:9092", "the rest of the cluster stays");
    assert_eq!(kafka.properties.iter().collect::<Vec<_>>(), [("sasl.password", "hunter2")]);
    assert_eq!(kafka.topics.len(), 1, "topics that are named replace the defaults");
    assert!(kafka.topics[0].gaps_are_losses);
}

#[test]
fn eleven_clusters_come_from_variables_in_order() {
    let names: Vec<_> = (0..11).map(|i| format!("PORTOLAN__KAFKA__{i}__NAME")).collect();
    let brokers: Vec<_> = (0..11).map(|i| format!("PORTOLAN__KAFKA__{i}__BROKERS")).collect();
    let texts: Vec<_> = (0..11).map(|i| format!("k{i}")).collect();
    let mut variables = Vec::new();
    for i in 0..11 {
        variables.push((names[i].as_str(), texts[i].as_str()));
        variables.push((brokers[i].as_str(), "k:9092"));
    }
    let config = parse("", &variables).unwrap();
    assert_eq!(config.kafka.len(), 11);
    assert_eq!(config.kafka[10].name, "k10");
}

#[test]
fn impossible_variable_is_refused_by_its_own_name() {
    refused(
        KAFKA,
        &[("PORTOLAN__LINE__HORIZN", "60s")],
        &expect![[r#"
        PORTOLAN__LINE__HORIZN: line.horizn: this variable names no key; the commented example lists them all
          allowed: PORTOLAN__SECTION__KEY, in lists with the index: PORTOLAN__KAFKA__0__NAME"#]],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__LINE", "60s")],
        &expect![[r#"
        PORTOLAN__LINE: line: this variable names no key; the commented example lists them all
          allowed: PORTOLAN__SECTION__KEY, in lists with the index: PORTOLAN__KAFKA__0__NAME"#]],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__LINE__HORIZON", "soon")],
        &expect![[r#"
        PORTOLAN__LINE__HORIZON: line.horizon: "soon" is not a duration (expected number at 0)
          allowed: a duration from 10s to 1h in whole seconds, such as "60s""#]],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__LINE__HORIZON", "3h")],
        &expect![[r#"
        PORTOLAN__LINE__HORIZON: line.horizon: 3h is out of range
          allowed: a duration from 10s to 1h in whole seconds, such as "60s""#]],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__LINE__MAX_CONNECTIONS", "many")],
        &expect![[r#"
        PORTOLAN__LINE__MAX_CONNECTIONS: line.max_connections: "many" is not a whole number
          allowed: a whole number from 1000 to 100000000"#]],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__KAFKA__5__BROKERS", "k:9092")],
        &expect![
            "PORTOLAN__KAFKA__5__BROKERS: kafka[5].brokers: index 5 leaves a hole: there are 1, so the next is 1"
        ],
    );
    refused(
        KAFKA,
        &[("PORTOLAN__KAFKA__BROKERS", "k:9092")],
        &expect![[r#"
        PORTOLAN__KAFKA__BROKERS: kafka.brokers: this variable names no key; the commented example lists them all
          allowed: PORTOLAN__SECTION__KEY, in lists with the index: PORTOLAN__KAFKA__0__NAME"#]],
    );
    refused(
        "line = 3",
        &[("PORTOLAN__LINE__HORIZON", "1m")],
        &expect!["PORTOLAN__LINE__HORIZON: line.horizon: line is not a table in the file"],
    );
}
