//! The encodings that a topic or a file can be configured with, by the words that people write.

use std::fmt;
use std::str::FromStr;

/// How flow records are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowEncoding {
    /// `netobserv-pb`: NetObserv's `pbflow.Record`, one a message, or `pbflow.Records`.
    NetobservPb,
    /// `netobserv-json`: flat JSON objects as flowlogs-pipeline writes them: one a message, an
    /// array, or one a line.
    NetobservJson,
    /// `goflow2-pb`: goflow2's `FlowMessage` (NetFlow, IPFIX, sFlow), one a message, with or
    /// without its length in front.
    Goflow2Pb,
    /// `goflow2-json`: the same as JSON objects.
    Goflow2Json,
    /// `hubble-json`: what Cilium Hubble's exporter writes, one object a line.
    HubbleJson,
    /// `aws-vpc`: AWS VPC flow logs, one record a line, columns as the flow log's format has them.
    AwsVpc,
    /// `ztunnel-json`: the access log of Istio's ztunnel as JSON objects.
    ZtunnelJson,
    /// `ztunnel-text`: the same as text.
    ZtunnelText,
    /// `envoy-json`: Envoy's access log as JSON objects.
    EnvoyJson,
    /// `obi-otlp`: network metrics of OpenTelemetry eBPF Instrumentation or Grafana Beyla, as
    /// `ExportMetricsServiceRequest` of OTLP.
    ObiOtlp,
}

/// How ownership records are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerEncoding {
    /// `portolan-pb`: one `portolan.v1.OwnershipRecord` a message.
    PortolanPb,
    /// `portolan-json`: the same as JSON: one object a message, an array, or one a line.
    PortolanJson,
    /// `netobserv-k8scache`: NetObserv's `CacheUpdate` or a `ResourceEntry` alone.
    NetobservK8scache,
}

/// How spans are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanEncoding {
    /// `otlp-proto`: `ExportTraceServiceRequest` of OTLP as protobuf.
    OtlpProto,
    /// `otlp-json`: the same as JSON.
    OtlpJson,
    /// `zipkin-json`: Zipkin's JSON of version 2, a list of spans or one.
    ZipkinJson,
    /// `zipkin-json-v1`: Zipkin's JSON of version 1, a list of spans or one.
    ZipkinJsonV1,
    /// `zipkin-proto`: Zipkin's `ListOfSpans` as protobuf.
    ZipkinProto,
    /// `zipkin-thrift`: a list of spans of version 1 in thrift's binary protocol.
    ZipkinThrift,
    /// `jaeger-proto`: Jaeger's `api_v2.Span` as protobuf, one a message.
    JaegerProto,
    /// `jaeger-json`: the same as protobuf's JSON.
    JaegerJson,
}

/// How notes are written: records of the catalogue, and changes that people made.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteEncoding {
    /// `portolan-catalogue-pb`: one `portolan.v1.CatalogueRecord` a message.
    CataloguePb,
    /// `portolan-catalogue-json`: the same as JSON: one object a message, an array, or one a line.
    CatalogueJson,
    /// `portolan-changes-pb`: one `portolan.v1.ChangeRecord` a message.
    ChangesPb,
    /// `portolan-changes-json`: the same as JSON.
    ChangesJson,
}

/// How metrics are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricEncoding {
    /// `otlp-metrics-proto`: `ExportMetricsServiceRequest` of OTLP as protobuf.
    OtlpProto,
    /// `otlp-metrics-json`: the same as JSON.
    OtlpJson,
    /// `prometheus-remote-write`: Prometheus' `WriteRequest` (version 1) or `Request` (version 2),
    /// compressed with snappy or plain.
    RemoteWrite,
}

/// Any encoding.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Of flow records.
    Flow(FlowEncoding),
    /// Of ownership records.
    Owner(OwnerEncoding),
    /// Of spans.
    Span(SpanEncoding),
    /// Of notes.
    Note(NoteEncoding),
    /// Of metrics.
    Metric(MetricEncoding),
}

/// A word that names no encoding; the message lists those that do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding {word:?}, allowed: {allowed}")]
pub struct UnknownEncoding {
    /// What was written.
    pub word: String,
    /// The allowed words, joined with commas.
    pub allowed: String,
}

/// Defines, for one enum, the list of its values and both directions of its words.
macro_rules! words {
    ($name:ty: $($value:expr => $word:literal),+ $(,)?) => {
        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$($value),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if *self == $value { return f.write_str($word); })+
                Ok(())
            }
        }

        impl FromStr for $name {
            type Err = UnknownEncoding;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($value),)+
                    _ => Err(UnknownEncoding {
                        word: word.chars().take(64).collect(),
                        allowed: [$($word),+].join(", "),
                    }),
                }
            }
        }
    };
}

impl FlowEncoding {
    /// Whether a file of it is lines of text, each a record.
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::AwsVpc | Self::ZtunnelText)
    }
}

words!(FlowEncoding:
    Self::NetobservPb => "netobserv-pb",
    Self::NetobservJson => "netobserv-json",
    Self::Goflow2Pb => "goflow2-pb",
    Self::Goflow2Json => "goflow2-json",
    Self::HubbleJson => "hubble-json",
    Self::AwsVpc => "aws-vpc",
    Self::ZtunnelJson => "ztunnel-json",
    Self::ZtunnelText => "ztunnel-text",
    Self::EnvoyJson => "envoy-json",
    Self::ObiOtlp => "obi-otlp",
);

words!(OwnerEncoding:
    Self::PortolanPb => "portolan-pb",
    Self::PortolanJson => "portolan-json",
    Self::NetobservK8scache => "netobserv-k8scache",
);

words!(SpanEncoding:
    Self::OtlpProto => "otlp-proto",
    Self::OtlpJson => "otlp-json",
    Self::ZipkinJson => "zipkin-json",
    Self::ZipkinJsonV1 => "zipkin-json-v1",
    Self::ZipkinProto => "zipkin-proto",
    Self::ZipkinThrift => "zipkin-thrift",
    Self::JaegerProto => "jaeger-proto",
    Self::JaegerJson => "jaeger-json",
);

words!(NoteEncoding:
    Self::CataloguePb => "portolan-catalogue-pb",
    Self::CatalogueJson => "portolan-catalogue-json",
    Self::ChangesPb => "portolan-changes-pb",
    Self::ChangesJson => "portolan-changes-json",
);

words!(MetricEncoding:
    Self::OtlpProto => "otlp-metrics-proto",
    Self::OtlpJson => "otlp-metrics-json",
    Self::RemoteWrite => "prometheus-remote-write",
);

words!(Encoding:
    Self::Flow(FlowEncoding::NetobservPb) => "netobserv-pb",
    Self::Flow(FlowEncoding::NetobservJson) => "netobserv-json",
    Self::Flow(FlowEncoding::Goflow2Pb) => "goflow2-pb",
    Self::Flow(FlowEncoding::Goflow2Json) => "goflow2-json",
    Self::Flow(FlowEncoding::HubbleJson) => "hubble-json",
    Self::Flow(FlowEncoding::AwsVpc) => "aws-vpc",
    Self::Flow(FlowEncoding::ZtunnelJson) => "ztunnel-json",
    Self::Flow(FlowEncoding::ZtunnelText) => "ztunnel-text",
    Self::Flow(FlowEncoding::EnvoyJson) => "envoy-json",
    Self::Flow(FlowEncoding::ObiOtlp) => "obi-otlp",
    Self::Owner(OwnerEncoding::PortolanPb) => "portolan-pb",
    Self::Owner(OwnerEncoding::PortolanJson) => "portolan-json",
    Self::Owner(OwnerEncoding::NetobservK8scache) => "netobserv-k8scache",
    Self::Span(SpanEncoding::OtlpProto) => "otlp-proto",
    Self::Span(SpanEncoding::OtlpJson) => "otlp-json",
    Self::Span(SpanEncoding::ZipkinJson) => "zipkin-json",
    Self::Span(SpanEncoding::ZipkinJsonV1) => "zipkin-json-v1",
    Self::Span(SpanEncoding::ZipkinProto) => "zipkin-proto",
    Self::Span(SpanEncoding::ZipkinThrift) => "zipkin-thrift",
    Self::Span(SpanEncoding::JaegerProto) => "jaeger-proto",
    Self::Span(SpanEncoding::JaegerJson) => "jaeger-json",
    Self::Note(NoteEncoding::CataloguePb) => "portolan-catalogue-pb",
    Self::Note(NoteEncoding::CatalogueJson) => "portolan-catalogue-json",
    Self::Note(NoteEncoding::ChangesPb) => "portolan-changes-pb",
    Self::Note(NoteEncoding::ChangesJson) => "portolan-changes-json",
    Self::Metric(MetricEncoding::OtlpProto) => "otlp-metrics-proto",
    Self::Metric(MetricEncoding::OtlpJson) => "otlp-metrics-json",
    Self::Metric(MetricEncoding::RemoteWrite) => "prometheus-remote-write",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_named_by_its_own_word() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.to_string().parse::<Encoding>().as_ref(), Ok(encoding));
        }
        for flow in FlowEncoding::ALL {
            assert_eq!(flow.to_string().parse(), Ok(Encoding::Flow(*flow)));
        }
        for span in SpanEncoding::ALL {
            assert_eq!(span.to_string().parse(), Ok(Encoding::Span(*span)));
        }
        for note in NoteEncoding::ALL {
            assert_eq!(note.to_string().parse(), Ok(Encoding::Note(*note)));
        }
        for metric in MetricEncoding::ALL {
            assert_eq!(metric.to_string().parse(), Ok(Encoding::Metric(*metric)));
        }
        for owner in OwnerEncoding::ALL {
            assert_eq!(owner.to_string().parse(), Ok(Encoding::Owner(*owner)));
        }
    }

    #[test]
    fn unknown_word_is_answered_with_the_allowed_ones() {
        let error = "protobuf".parse::<Encoding>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown encoding \"protobuf\", allowed: netobserv-pb, netobserv-json, \
             goflow2-pb, goflow2-json, hubble-json, aws-vpc, ztunnel-json, ztunnel-text, \
             envoy-json, obi-otlp, portolan-pb, portolan-json, netobserv-k8scache, otlp-proto, \
             otlp-json, zipkin-json, zipkin-json-v1, zipkin-proto, zipkin-thrift, jaeger-proto, \
             jaeger-json, portolan-catalogue-pb, portolan-catalogue-json, portolan-changes-pb, \
             portolan-changes-json, otlp-metrics-proto, otlp-metrics-json, \
             prometheus-remote-write"
        );
        let error = "portolan-pb".parse::<FlowEncoding>().unwrap_err().to_string();
        assert!(error.ends_with("envoy-json, obi-otlp"), "{error}");
    }
}
