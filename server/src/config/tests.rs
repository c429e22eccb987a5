//! What is refused, in the words that people see, and what comes out of what is accepted.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use expect_test::{Expect, expect};

use portolan_pipeline::NoteConfig;

use super::*;

mod encodings;
mod variables;

/// The smallest configuration that is accepted, and what follows in the same table.
const KAFKA: &str = "[[kafka]]\nbrokers = \"k1:9092\"\n";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Refused> {
    let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
    Config::parse("portolan.toml", text, variables)
}

#[track_caller]
fn refused(text: &str, variables: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&parse(text, variables).unwrap_err().to_string());
}

#[test]
fn brokers_are_all_that_must_be_said() {
    let config = parse(KAFKA, &[]).unwrap();
    assert_eq!(config.listen, Listen::default());
    assert_eq!(config.kafka[0].topics, Topic::defaults());
    assert!(config.listen.grpc.ip().is_loopback() && config.listen.http.ip().is_loopback());
    let by_variable = parse("", &[("PORTOLAN__KAFKA__0__BROKERS", "k1:9092")]).unwrap();
    assert_eq!(by_variable, config);
}

#[test]
fn defaults_of_the_line_are_those_of_the_stages() {
    let config = parse(KAFKA, &[]).unwrap();
    assert_eq!(config.line_config(), LineConfig::default());
}

#[test]
fn settings_reach_the_stages() {
    let text = "[store]\nwindow_secs = 60\nretention = \"1day\"\n\
        [line]\nhorizon = \"2m\"\nlate_horizon = \"5m\"\nclock_tolerance = \"500ms\"\nmax_connections = 5000\n";
    let line = parse(&format!("{text}{KAFKA}"), &[]).unwrap().line_config();
    assert_eq!(line.window.secs(), 60);
    assert_eq!(line.retention_secs, 86_400);
    assert_eq!((line.horizon_secs, line.late_secs), (120, 300));
    assert_eq!(line.clock_tolerance_ms, 500);
    assert_eq!(line.max_connections, 5_000);
}

#[test]
fn the_whole_is_shown_without_its_secrets() {
    let text = format!(
        "{KAFKA}[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\n\"sasl.password\" = \"hunter2\"\n\
         ssl.key.pem = \"hunter2\"\nfetch.wait.max.ms = 10\n"
    );
    let config = parse(&text, &[]).unwrap();
    expect![[r#"
        [listen]
        grpc = "127.0.0.1:7474"
        http = "127.0.0.1:7475"

        [store]
        path = "portolan-store"
        window_secs = 10
        retention = "7days"
        max_bytes = 0
        on_damage = "recover"

        [line]
        horizon = "1m"
        late_horizon = "10m"
        clock_tolerance = "2s"
        max_connections = 2000000
        commit_interval = "1s"
        max_epoch_records = 1000000
        now_range = "5m"

        [traces]
        wait = "15s"
        horizon = "1m"
        link_lag = "10m"
        max_spans = 1000000
        max_operations = 50
        max_exemplars = 5000
        user = "user"
        strict = false
        links = "messaging"

        [metrics]
        horizon = "1m"
        gap = "5m"
        max_points = 2000000

        [notes]
        max_subjects = 100000
        max_versions = 64
        max_changes = 100000

        [log]
        format = "text"
        level = "info"

        [limits]
        max_message_bytes = 16777216
        dead_letters = 100

        [receive]

        [[kafka]]
        name = "main"
        brokers = "k1:9092"

        [kafka.properties]
        "fetch.wait.max.ms" = "10"
        "sasl.password" = "********"
        "security.protocol" = "SASL_SSL"
        "ssl.key.pem" = "********"

        [[kafka.topics]]
        name = "network-flows"
        encoding = "netobserv-pb"
        scope = "default"
        gaps_are_losses = false

        [[kafka.topics]]
        name = "portolan.ownership"
        encoding = "portolan-pb"
        scope = "default"
        gaps_are_losses = false
    "#]]
    .assert_eq(&config.render_masked());
    assert!(!format!("{config:?}").contains("hunter2"));
    let real: Vec<_> = config.kafka[0].properties.iter().collect();
    assert!(real.contains(&("sasl.password", "hunter2")), "the client gets the real one");
}

#[test]
fn what_is_shown_can_be_read_again() {
    let config = parse(KAFKA, &[]).unwrap();
    assert_eq!(parse(&config.render_masked(), &[]).unwrap(), config);
}

#[test]
fn bounds_of_notes_reach_the_line() {
    let set = "[notes]\nmax_subjects = 200\nmax_versions = 3\nmax_changes = 400";
    let variable = [("PORTOLAN__NOTES__MAX_CHANGES", "500")];
    let config = parse(&format!("{set}\n{KAFKA}"), &variable).unwrap();
    let line = NoteConfig { max_subjects: 200, max_versions: 3, max_changes: 500 };
    assert_eq!(config.line_config().notes, line);
    assert_eq!(parse(KAFKA, &[]).unwrap().line_config().notes, NoteConfig::default());
}

#[test]
fn unknown_key_is_refused_with_its_line_and_the_known_ones() {
    refused(
        &format!("[line]\nhorizon = \"60s\"\nhorizn = \"60s\"\n{KAFKA}"),
        &[],
        &expect![
            "portolan.toml, line 3: line.horizn: unknown field `horizn`, expected one of `horizon`, `late_horizon`, `clock_tolerance`, `max_connections`, `commit_interval`, `max_epoch_records`, `now_range`"
        ],
    );
    refused(
        &format!("[lines]\n{KAFKA}"),
        &[],
        &expect![
            "portolan.toml, line 1: lines: unknown field `lines`, expected one of `listen`, `store`, `line`, `traces`, `metrics`, `notes`, `log`, `limits`, `receive`, `kafka`, `inventory`"
        ],
    );
    refused(
        &format!(
            "{KAFKA}[[kafka.topics]]\nname = \"a\"\nencoding = \"netobserv-pb\"\nscop = \"b\"\n"
        ),
        &[],
        &expect![
            "portolan.toml, line 6: kafka[0].topics[0].scop: unknown field `scop`, expected one of `name`, `encoding`, `scope`, `gaps_are_losses`, `fields`"
        ],
    );
}

#[test]
fn impossible_value_is_refused_with_what_is_allowed() {
    let with = |head: &str| format!("{head}\n{KAFKA}");
    refused(
        &with("[line]\nhorizon = \"2 fortnights\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: line.horizon: "2 fortnights" is not a duration (unknown time unit "fortnights", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations))
          allowed: a duration from 10s to 1h in whole seconds, such as "60s""#]],
    );
    refused(
        &with("[line]\nhorizon = 60"),
        &[],
        &expect![[r#"
        portolan.toml, line 2: line.horizon: invalid type: integer `60`, expected a string
          allowed: a duration from 10s to 1h in whole seconds, such as "60s""#]],
    );
    refused(
        &with("[line]\nhorizon = \"2h\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: line.horizon: 2h is out of range
          allowed: a duration from 10s to 1h in whole seconds, such as "60s""#]],
    );
    refused(
        &with("[line]\nmax_connections = -1"),
        &[],
        &expect![[r#"
        portolan.toml, line 2: line.max_connections: invalid value: integer `-1`, expected usize
          allowed: a whole number from 1000 to 100000000"#]],
    );
    refused(
        &with("[notes]\nmax_changes = 99"),
        &[],
        &expect![[r#"
        portolan.toml, line 2: notes.max_changes: 99 is out of range
          allowed: a whole number from 100 to 10000000"#]],
    );
    refused(
        &with("[notes]\nmax_versions = 0"),
        &[],
        &expect![[r#"
        portolan.toml, line 2: notes.max_versions: 0 is out of range
          allowed: a whole number from 1 to 10000"#]],
    );
    refused(
        &with("[store]\n\nwindow_secs = 7"),
        &[],
        &expect![[r#"
        portolan.toml, line 3: store.window_secs: 7 is not allowed
          allowed: seconds that divide a day: 1 to 3600, such as 10"#]],
    );
    refused(
        &with("[store]\nretention = \"1m\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: store.retention: 1m is out of range
          allowed: "0s" for ever, or a duration from 10m to 100years and no shorter than line.horizon"#]],
    );
    refused(
        &with("[store]\non_damage = \"ignore\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: store.on_damage: unknown variant `ignore`, expected `recover` or `refuse`
          allowed: "recover" or "refuse""#]],
    );
    refused(
        &with("[log]\nlevel = \"inof\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: log.level: "inof" is not a level
          allowed: off, error, warn, info, debug or trace; by module with commas: "info,portolan_actors=debug""#]],
    );
    refused(
        &with("[listen]\ngrpc = \"localhost\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: listen.grpc: invalid socket address syntax
          allowed: an IP address and a port, such as "127.0.0.1:7474""#]],
    );
    refused(
        &with("[listen]\nhttp = \"127.0.0.1:7474\""),
        &[],
        &expect![[r#"
        portolan.toml, line 2: listen.http: 127.0.0.1:7474 is taken by listen.grpc
          allowed: an IP address and a port, such as "127.0.0.1:7475""#]],
    );
}

#[test]
fn impossible_cluster_is_refused_with_what_is_allowed() {
    refused(
        "[[kafka]]\nname = \"main\"\n",
        &[],
        &expect![[r#"
        portolan.toml, line 1: kafka[0].brokers: it is missing
          allowed: host:port, several with commas"#]],
    );
    refused(
        "[[kafka]]\nbrokers = \"k1\"\n",
        &[],
        &expect![[r#"
        portolan.toml, line 2: kafka[0].brokers: "k1" is not host:port
          allowed: host:port, several with commas"#]],
    );
    refused(
        &format!("{KAFKA}\n{KAFKA}"),
        &[],
        &expect![[r#"
            portolan.toml, line 4: kafka[1].name: "main" is there twice
              allowed: 1 to 64 of A-Z a-z 0-9 . _ -, different for every cluster, not "local""#]],
    );
    refused(
        &format!("{KAFKA}\n[kafka.properties]\nenable.auto.commit = true\n"),
        &[],
        &expect![[r#"
            portolan.toml, line 5: kafka[0].properties.enable.auto.commit: it is not for the configuration: offsets are committed with the store
              allowed: librdkafka's consumer properties, names as it has them"#]],
    );
    refused(
        &format!("{KAFKA}[[kafka.topics]]\nname = \"a\"\nencoding = \"avro\"\n"),
        &[],
        &expect![[r#"
            portolan.toml, line 5: kafka[0].topics[0].encoding: "avro" is not an encoding
              allowed: "netobserv-pb", "netobserv-json", "goflow2-pb", "goflow2-json", "hubble-json", "aws-vpc", "ztunnel-json", "ztunnel-text", "envoy-json", "obi-otlp", "portolan-pb", "portolan-json", "netobserv-k8scache", "otlp-proto", "otlp-json", "zipkin-json", "zipkin-json-v1", "zipkin-proto", "zipkin-thrift", "jaeger-proto", "jaeger-json", "otlp-metrics-proto", "otlp-metrics-json", "prometheus-remote-write", "portolan-catalogue-pb", "portolan-catalogue-json", "portolan-changes-pb" or "portolan-changes-json""#]],
    );
    refused(
        &format!("{KAFKA}[[kafka.topics]]\nname = \"a\"\n"),
        &[],
        &expect!["portolan.toml, line 3: kafka[0].topics[0]: missing field `encoding`"],
    );
    refused(
        &format!("{KAFKA}[[kafka.topics]]\nname = \"a b\"\nencoding = \"netobserv-pb\"\n"),
        &[],
        &expect![[r#"
            portolan.toml, line 4: kafka[0].topics[0].name: "a b" is not allowed
              allowed: 1 to 249 of A-Z a-z 0-9 . _ -, different for every topic of the cluster"#]],
    );
}

#[test]
fn broken_file_is_refused_with_its_line_and_none_of_its_text() {
    let text = format!("{KAFKA}[kafka.properties]\n\"sasl.password\" = \"hunter2\n");
    refused(
        &text,
        &[],
        &expect![[r#"portolan.toml, line 4: not TOML: invalid basic string, expected `"`"#]],
    );
    let text = format!("{KAFKA}properties = \"sasl.password=hunter2\"\n");
    refused(
        &text,
        &[],
        &expect![[r#"
        portolan.toml, line 3: kafka[0].properties: it is not a table of names and values
          allowed: librdkafka's consumer properties, names as it has them"#]],
    );
    let text = format!("{KAFKA}properties = {{ \"sasl.password\" = [\"hunter2\"] }}\n");
    refused(
        &text,
        &[],
        &expect![[r#"
        portolan.toml, line 3: kafka[0].properties: sasl.password is neither text, number nor boolean
          allowed: librdkafka's consumer properties, names as it has them"#]],
    );
}

#[test]
fn every_key_that_is_shown_says_what_is_allowed() {
    let mut config = parse(KAFKA, &[]).unwrap();
    // Shown where it is set: it has no default to show.
    config.kafka[0].topics[0].fields = Some(portolan_proto::DEFAULT_VPC_FIELDS.to_owned());
    config.receive.otlp_grpc = Some(([127, 0, 0, 1], 4317).into());
    config.receive.otlp_http = Some(([127, 0, 0, 1], 4318).into());
    config.receive.zipkin = Some(([127, 0, 0, 1], 9411).into());
    let day = std::time::Duration::from_secs(86_400);
    config.store.levels = Some(vec![Level { length: day, retention: day }]);
    config.inventory.push(InventoryFile {
        name: "main".into(),
        path: "inventory.yaml".into(),
        encoding: Some(portolan_proto::InventoryEncoding::Yaml),
        scope: "default".into(),
    });
    let shown: toml::Table = toml::from_str(&config.render_masked()).unwrap();
    let mut paths = Vec::new();
    leaves("", &toml::Value::Table(shown), &mut paths);
    for path in &paths {
        assert!(keys::find(path).is_some(), "{path} is not in the list of keys");
    }
    for key in keys::KEYS.iter().filter(|key| !keys::FREE.contains(&key.path)) {
        assert!(
            paths.iter().any(|path| keys::generalise(path) == key.path),
            "{} is in the list of keys and nowhere else",
            key.path
        );
    }
}

fn leaves(prefix: &str, value: &toml::Value, paths: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&path, value, paths);
            }
        }
        toml::Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                leaves(&format!("{prefix}[{index}]"), value, paths);
            }
        }
        _ => paths.push(prefix.to_owned()),
    }
}

#[test]
fn commented_example_is_accepted_and_says_the_defaults() {
    let example = include_str!("../../../portolan.example.toml");
    let config = parse(example, &[]).unwrap();
    let expected = parse("[[kafka]]\nbrokers = \"127.0.0.1:9092\"\n", &[]).unwrap();
    assert_eq!(config, expected);
    // A commented setting is a default or a sample: either way it has to be a real key.
    let uncommented = example
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    parse(&uncommented, &[]).unwrap();
    for key in keys::KEYS {
        let last = key.path.rsplit('.').next().unwrap();
        assert!(example.contains(last), "{} is not in the example", key.path);
    }
}

#[test]
fn image_and_compose_file_set_real_keys() {
    let files = [include_str!("../../../Dockerfile"), include_str!("../../../docker-compose.yml")];
    let lines = files.iter().flat_map(|file| file.lines());
    let variables: Vec<_> = lines
        .filter_map(|line| line.trim_start_matches("ENV").trim().split_once(['=', ':']))
        .filter(|(name, _)| name.starts_with("PORTOLAN__"))
        .map(|(name, value)| (name, value.trim_end_matches('\\').trim()))
        .collect();
    assert_eq!(variables.len(), 5, "{variables:?}");
    let config = parse("", &variables).unwrap();
    assert!(!config.listen.grpc.ip().is_loopback(), "loopback reaches nobody in a container");
    assert_eq!(config.kafka[0].brokers, "kafka:9092");
}

#[test]
fn missing_file_is_named() {
    let error = Config::load(Some(std::path::Path::new("/nowhere/portolan.toml"))).unwrap_err();
    assert_eq!(error.to_string(), "configuration /nowhere/portolan.toml cannot be read");
}

#[test]
fn levels_are_merged_one_from_the_other_and_a_mistake_is_named() {
    let with = |levels: &[(&str, &str)]| {
        let each = levels.iter().map(|(length, retention)| {
            format!("[[store.levels]]\nlength = \"{length}\"\nretention = \"{retention}\"\n")
        });
        parse(&format!("{}{KAFKA}", each.collect::<String>()), &[])
    };
    let config = with(&[("1m", "30days"), ("1h", "0s")]).unwrap();
    let levels = config.store.levels.unwrap();
    assert_eq!(levels[0].length.as_secs(), 60);
    assert_eq!(levels[1].retention.as_secs(), 0);
    assert!(parse(&format!("[store]\nlevels = []\n{KAFKA}"), &[]).is_ok());
    let refused = |levels: &[(&str, &str)]| with(levels).unwrap_err().to_string();
    for (levels, at) in [
        (&[("7m", "30days")][..], "store.levels[0].length"),
        (&[("15s", "30days")], "store.levels[0].length"),
        (&[("10m", "30days"), ("1m", "60days")], "store.levels[1].length"),
        (&[("1m", "1day")], "store.levels[0].retention"),
        (&[("1m", "30days"), ("1h", "20days")], "store.levels[1].retention"),
        (&[("1m", "0s"), ("1h", "60days")], "store.levels[1].retention"),
    ] {
        let error = refused(levels);
        assert!(error.contains(at), "{levels:?}: {error}");
    }
    let small = parse(&format!("[store]\nmax_bytes = 1000\n{KAFKA}"), &[]).unwrap_err();
    assert!(small.to_string().contains("store.max_bytes"), "{small}");
}
