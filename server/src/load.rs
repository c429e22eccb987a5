//! `portolan load replay`: puts the messages of a captured file onto Kafka.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use portolan_actors::publish::{Publisher, create_topics};
use portolan_proto::{Captures, DEFAULT_MAX_LINE_BYTES};

use crate::cli::ReplayArgs;
use crate::output;

/// How long the last messages may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(30);

/// `portolan load replay`.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let properties = properties(&args.properties)?;
    let size = std::fs::metadata(&args.file).map_or(0, |m| m.len());
    let bar = progress(size);
    let input: Box<dyn BufRead> = if args.file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(&args.file)
            .with_context(|| format!("cannot read {}", args.file.display()))?;
        Box::new(BufReader::new(bar.wrap_read(file)))
    };
    if let Some(partitions) = args.create {
        create_topics(&args.brokers, &properties, &[(&args.topic, partitions)])
            .with_context(|| format!("cannot make topic {}", args.topic))?;
    }
    let publisher = Publisher::new(&args.brokers, &properties)?;
    let known = publisher.end_offsets(&args.topic).with_context(|| {
        format!(
            "cannot reach Kafka at {}: is it running there? (--brokers says where)",
            args.brokers
        )
    })?;
    if known.is_empty() {
        bail!("there is no topic {}: make it, or give --create PARTITIONS", args.topic);
    }
    let started = Instant::now();
    let mut sent = 0_u64;
    for captured in Captures::new(input, DEFAULT_MAX_LINE_BYTES) {
        let captured = captured.with_context(|| args.file.display().to_string())?;
        publisher
            .send(&args.topic, None, captured.key.as_deref(), &captured.value)
            .with_context(|| format!("{} line {}", args.file.display(), captured.line))?;
        sent += 1;
        if let Some(rate) = args.rate {
            let due = started + Duration::from_secs_f64(sent as f64 / f64::from(rate.max(1)));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    let deliveries = publisher.flush(FLUSH)?;
    bar.finish_and_clear();
    let took = started.elapsed().as_secs_f64();
    output::say(&format!(
        "{} messages to {} in {took:.1} s ({} a second)",
        output::count(deliveries.delivered),
        args.topic,
        output::count((deliveries.delivered as f64 / took.max(1e-3)) as u64)
    ))?;
    if deliveries.delivered != sent {
        bail!(
            "{} of {sent} messages were not taken: {}",
            sent - deliveries.delivered,
            publisher.last_error().unwrap_or_default()
        );
    }
    Ok(())
}

/// Properties of a command line.
pub(crate) fn properties(words: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |word: &String| {
        word.split_once('=')
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .with_context(|| format!("--property {word}: give KEY=VALUE"))
    };
    words.iter().map(pair).collect()
}

fn progress(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    let template = "{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
