//! The columns of a flow log: its format string, as the configuration or a header line has it.

use std::str::FromStr;

/// The default format of version 2: what a flow log has unless another was asked for.
pub const DEFAULT_VPC_FIELDS: &str = "version account-id interface-id srcaddr dstaddr srcport \
     dstport protocol packets bytes start end action log-status";

/// Every field of versions 2 to 8 (AWS, "Flow log records"), in the order of their versions. Those
/// that are read come back as their place in here.
const KNOWN: [&str; 42] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "resource-id",
    "encryption-status",
];

/// Without these a record is no flow between two sockets at a time.
const NEEDED: [&str; 5] = ["srcport", "dstport", "protocol", "start", "end"];

/// A format string that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownVpcFields {
    /// A word that is no field; the message lists those that are.
    #[error("unknown field {word:?}, allowed: {allowed}")]
    Unknown {
        /// What was written.
        word: String,
        /// The allowed words, joined with spaces.
        allowed: String,
    },
    /// A field that is there twice.
    #[error("field {0:?} is there twice")]
    Twice(String),
    /// A field without which nothing can be counted.
    #[error("field {0:?} is missing")]
    Missing(&'static str),
}

/// Columns by their place: an index into [`KNOWN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::flow) struct VpcFields(Vec<u8>);

/// Whether a line is the header of a flow log (as files in S3 have one) and not a record.
pub fn is_vpc_header(line: &str) -> bool {
    line.parse::<VpcFields>().is_ok()
}

// === impl VpcFields ===

impl VpcFields {
    /// The names of the columns in their order.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.0.iter().map(|place| KNOWN[usize::from(*place)])
    }
}

impl Default for VpcFields {
    fn default() -> Self {
        DEFAULT_VPC_FIELDS.parse().expect("the default format is one: a test holds it")
    }
}

impl FromStr for VpcFields {
    type Err = UnknownVpcFields;

    /// Names with white space between; `${name}`, as AWS writes formats, and `_` for `-`, as its
    /// Parquet files have them, count as the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut fields = Vec::new();
        for word in text.split_ascii_whitespace() {
            let bare = word.strip_prefix("${").and_then(|w| w.strip_suffix('}')).unwrap_or(word);
            let name = bare.replace('_', "-");
            let Some(place) = KNOWN.iter().position(|known| *known == name) else {
                let word = word.chars().take(64).collect();
                return Err(UnknownVpcFields::Unknown { word, allowed: KNOWN.join(" ") });
            };
            if fields.contains(&(place as u8)) {
                return Err(UnknownVpcFields::Twice(name));
            }
            fields.push(place as u8);
        }
        let has = |name: &str| fields.iter().any(|place| KNOWN[usize::from(*place)] == name);
        if let Some(missing) = NEEDED.into_iter().find(|name| !has(name)) {
            return Err(UnknownVpcFields::Missing(missing));
        }
        for (inner, outer) in [("pkt-srcaddr", "srcaddr"), ("pkt-dstaddr", "dstaddr")] {
            if !has(inner) && !has(outer) {
                return Err(UnknownVpcFields::Missing(outer));
            }
        }
        Ok(Self(fields))
    }
}
