//! Encodings of topics, and what belongs to them.

use super::*;

#[test]
fn every_encoding_is_explained() {
    for encoding in Encoding::ALL {
        let example = include_str!("../../../../portolan.example.toml");
        if let Encoding::Flow(encoding) = encoding {
            let formats = include_str!("../../../../docs/FORMATS.md");
            assert!(formats.contains(&format!("`{encoding}`")), "{encoding} is not in FORMATS.md");
        }
        assert!(example.contains(&encoding.to_string()), "{encoding} is not in the example");
    }
}

#[test]
fn fields_of_a_flow_log_are_checked_at_start() {
    let topic = |encoding: &str, fields: &str| {
        let topic = format!("name = \"a\"\nencoding = \"{encoding}\"\nfields = \"{fields}\"\n");
        format!("{KAFKA}[[kafka.topics]]\n{topic}")
    };
    let fields = portolan_proto::DEFAULT_VPC_FIELDS;
    let config = parse(&topic("aws-vpc", fields), &[]).unwrap();
    assert_eq!(config.kafka[0].topics[0].fields.as_deref(), Some(fields));
    assert_eq!(parse(&config.render_masked(), &[]).unwrap(), config);
    refused(
        &topic("aws-vpc", &fields.replace("srcport ", "")),
        &[],
        &expect![[r#"
            portolan.toml, line 6: kafka[0].topics[0].fields: field "srcport" is missing
              allowed: with encoding "aws-vpc", the format string of the flow log: fields with spaces between"#]],
    );
    refused(
        &topic("hubble-json", fields),
        &[],
        &expect![[r#"
            portolan.toml, line 6: kafka[0].topics[0].fields: hubble-json has no choice of fields
              allowed: with encoding "aws-vpc", the format string of the flow log: fields with spaces between"#]],
    );
    let error = parse(&topic("aws-vpc", "version octets"), &[]).unwrap_err().to_string();
    assert!(error.contains("unknown field \"octets\", allowed: version account-id"), "{error}");
}

#[test]
fn every_encoding_is_among_what_is_allowed() {
    let allowed = keys::find("kafka[0].topics[0].encoding").unwrap().allowed;
    for encoding in Encoding::ALL {
        assert!(allowed.contains(&format!("\"{encoding}\"")), "{encoding}");
    }
}

#[test]
fn inventories_are_checked_like_all_else() {
    let with = |text: &str| parse(&format!("{KAFKA}\n[[inventory]]\n{text}"), &[]);
    let good = with("name = \"a\"\npath = \"a.csv\"").unwrap();
    assert_eq!(good.inventory[0].encoding(), Some(portolan_proto::InventoryEncoding::Csv));
    let wrong = |text: &str| with(text).unwrap_err().to_string();
    assert!(
        wrong("name = \"a\"\npath = \"a\"").contains("inventory[0].encoding: a does not end in")
    );
    assert!(wrong("name = \"\"\npath = \"a.csv\"").contains("inventory[0].name"));
    assert!(
        wrong("name = \"a\"\npath = \"a.csv\"\nencoding = \"xml\"").contains("\"inventory-csv\"")
    );
    let twice = "name = \"a\"\npath = \"a.csv\"\n[[inventory]]\nname = \"a\"\npath = \"b.csv\"";
    assert!(wrong(twice).contains("\"a\" is there twice"), "{}", wrong(twice));
    let local = KAFKA.replace("[[kafka]]", "[[kafka]]\nname = \"local\"");
    assert!(parse(&local, &[]).unwrap_err().to_string().contains("kafka[0].name"));
}

#[test]
fn receivers_listen_on_loopback_where_there_is_no_kafka_and_else_where_it_is_said() {
    let text = |config: &Config| {
        let (grpc, http) = config.receivers();
        [grpc, http].map(|addr| addr.map(|addr| addr.to_string()).unwrap_or_default())
    };
    assert_eq!(text(&parse("", &[]).unwrap()), ["127.0.0.1:4317", "127.0.0.1:4318"]);
    assert_eq!(text(&parse(KAFKA, &[]).unwrap()), ["", ""]);
    let said = parse(&format!("[receive]\notlp_http = \"0.0.0.0:4318\"\n{KAFKA}"), &[]).unwrap();
    assert_eq!(text(&said), ["", "0.0.0.0:4318"]);
    let clash = parse("[receive]\notlp_http = \"127.0.0.1:7475\"\n", &[]).unwrap_err().to_string();
    assert!(clash.contains("receive.otlp_http: 127.0.0.1:7475 is taken by listen.http"), "{clash}");
    assert_eq!(parse("", &[]).unwrap().receive.zipkin, None, "off unless it is said");
    let clash = parse("[receive]\nzipkin = \"127.0.0.1:4317\"\n", &[]).unwrap_err().to_string();
    assert!(clash.contains("receive.zipkin: 127.0.0.1:4317 is taken by receive.otlp_grpc"));
}
