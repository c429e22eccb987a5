//! Files of flows, spans and metrics: what has a time of its own, and is read in its order.

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context as _;
use portolan_model::{
    FlowBatch, FlowColumns, MetricBatch, MetricColumns, Nanos, PartitionId, ScopeId, SpanBatch,
    SpanColumns,
};
use portolan_pipeline::Intake;
use portolan_proto::{
    Captured, Captures, DEFAULT_MAX_LINE_BYTES, DEFAULT_MAX_MESSAGE_BYTES, Families, FlowDecoder,
    FlowEncoding, MetricEncoding, Refused, SpanEncoding, decode_metrics, decode_spans,
    is_vpc_header,
};

use super::{Drawing, Input};

/// A step reads about this many records of one file: enough to make the staged work pay, and a few
/// milliseconds at most.
const STEP_RECORDS: usize = 4_096;

/// A file that is being read.
pub(super) struct EventFile {
    pub(super) name: String,
    captures: Captures<Box<dyn BufRead>>,
    reader: Reader,
    /// Event time that it is read up to.
    pub(super) reached: Nanos,
    /// The latest end that was read.
    pub(super) newest: Nanos,
}

#[expect(clippy::large_enum_variant, reason = "one of each file")]
enum Reader {
    Flows { encoding: FlowEncoding, decoder: Box<FlowDecoder>, columns: FlowColumns },
    Spans { encoding: SpanEncoding, columns: SpanColumns },
    Metrics { encoding: MetricEncoding, families: Arc<Families>, columns: MetricColumns },
}

/// What a step read.
pub(super) struct Step {
    pub(super) records: usize,
    pub(super) intake: Option<Intake>,
    /// What was refused, with its line.
    pub(super) refused: Vec<(usize, Refused)>,
    /// Whether there is more.
    pub(super) more: bool,
}

impl EventFile {
    /// Opens all files of a drawing.
    pub(super) fn open_all(drawing: &Drawing) -> anyhow::Result<Vec<Self>> {
        let flows = drawing.flows.iter().map(Self::flows);
        let flows_and_spans = flows.chain(drawing.spans.iter().map(Self::spans));
        let metrics = drawing.metrics.iter().map(|input| Self::metrics(input, &drawing.families));
        flows_and_spans.chain(metrics).collect()
    }

    fn flows(input: &Input<FlowEncoding>) -> anyhow::Result<Self> {
        let encoding = input.encoding;
        let decoder = FlowDecoder::new(DEFAULT_MAX_MESSAGE_BYTES).into();
        let columns = FlowColumns::default();
        Self::open(input, encoding.is_lines(), Reader::Flows { encoding, decoder, columns })
    }

    fn spans(input: &Input<SpanEncoding>) -> anyhow::Result<Self> {
        let (encoding, columns) = (input.encoding, SpanColumns::default());
        Self::open(input, false, Reader::Spans { encoding, columns })
    }

    fn metrics(input: &Input<MetricEncoding>, families: &Arc<Families>) -> anyhow::Result<Self> {
        let (encoding, columns) = (input.encoding, MetricColumns::default());
        let families = Arc::clone(families);
        Self::open(input, false, Reader::Metrics { encoding, families, columns })
    }

    fn open<E>(input: &Input<E>, is_text: bool, reader: Reader) -> anyhow::Result<Self> {
        let name = input.path.display().to_string();
        let captures = Captures::new(super::open(&input.path)?, DEFAULT_MAX_LINE_BYTES);
        let captures = captures.with_text(is_text);
        Ok(Self { name, captures, reader, reached: 0, newest: 0 })
    }

    /// Reads on.
    pub(super) fn step(
        &mut self,
        partition: PartitionId,
        scope: ScopeId,
        now: Nanos,
    ) -> anyhow::Result<Step> {
        let mut step = Step { records: 0, intake: None, refused: Vec::new(), more: true };
        while self.reader.records() < STEP_RECORDS {
            let Some(captured) = self.captures.next() else {
                step.more = false;
                break;
            };
            let captured = captured.with_context(|| self.name.clone())?;
            if self.reader.take_header(&captured.value).with_context(|| self.name.clone())? {
                continue;
            }
            self.reader.decode(&captured, scope, now, &mut step.refused);
        }
        step.records = self.reader.records();
        // The middle of the step, not its end: one record with a wrong clock moves nothing.
        let mut ends = self.reader.ends();
        if let Some(newest) = ends.iter().copied().max() {
            self.newest = self.newest.max(newest);
            let middle = ends.len() / 2;
            self.reached = self.reached.max(*ends.select_nth_unstable(middle).1);
            step.intake = Some(self.reader.batch(partition, scope));
        }
        Ok(step)
    }
}

impl Reader {
    fn records(&self) -> usize {
        match self {
            Self::Flows { columns, .. } => columns.len(),
            Self::Spans { columns, .. } => columns.len(),
            Self::Metrics { columns, .. } => columns.len(),
        }
    }

    fn ends(&self) -> Vec<Nanos> {
        match self {
            Self::Flows { columns, .. } => columns.end.clone(),
            Self::Spans { columns, .. } => columns.ends(),
            Self::Metrics { columns, .. } => columns.ends(),
        }
    }

    /// Takes the header of a flow log: its lines are messages of their own, and it holds for all
    /// that follow. Files put together have one in the middle, too.
    fn take_header(&mut self, message: &[u8]) -> anyhow::Result<bool> {
        let Self::Flows { encoding: FlowEncoding::AwsVpc, decoder, .. } = self else {
            return Ok(false);
        };
        let Some(header) = std::str::from_utf8(message).ok().filter(|line| is_vpc_header(line))
        else {
            return Ok(false);
        };
        **decoder = FlowDecoder::new(DEFAULT_MAX_MESSAGE_BYTES).with_vpc_fields(header)?;
        Ok(true)
    }

    fn decode(
        &mut self,
        captured: &Captured,
        scope: ScopeId,
        now: Nanos,
        refused: &mut Vec<(usize, Refused)>,
    ) {
        let mut refuse = |why| refused.push((captured.line, why));
        match self {
            Self::Flows { encoding, decoder, columns } => {
                decoder.decode(*encoding, scope, now, &captured.value, columns, &mut refuse);
            }
            Self::Spans { encoding, columns } => {
                let most = DEFAULT_MAX_MESSAGE_BYTES;
                decode_spans(*encoding, now, most, &captured.value, columns, &mut refuse);
            }
            Self::Metrics { encoding, families, columns } => {
                let (most, payload) = (DEFAULT_MAX_MESSAGE_BYTES, &captured.value);
                decode_metrics(*encoding, families, now, most, payload, columns, &mut refuse);
            }
        }
    }

    fn batch(&mut self, partition: PartitionId, scope: ScopeId) -> Intake {
        match self {
            Self::Flows { columns, .. } => {
                let flows = std::mem::take(columns);
                Intake::Flows(FlowBatch { partition, first_offset: 0, flows })
            }
            Self::Spans { columns, .. } => {
                let spans = std::mem::take(columns);
                Intake::Spans(SpanBatch { partition, first_offset: 0, scope, spans })
            }
            Self::Metrics { columns, .. } => {
                let metrics = std::mem::take(columns);
                Intake::Metrics(MetricBatch { partition, first_offset: 0, scope, metrics })
            }
        }
    }
}
