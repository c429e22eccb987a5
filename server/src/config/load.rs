//! From text and variables to a checked configuration, or to the reason why not.

use std::path::Path;

use anyhow::Context;
use toml::de::{DeTable, DeValue};

use super::environment::{self, Origins};
use super::refused::Refused;
use super::{Config, check, keys};

/// Larger than any real one by far; a wrong path (a log, a device) is not read to its end.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads the file, if there is one, and then the environment.
    ///
    /// # Errors
    /// A file that cannot be read, or a [`Refused`] at the root of the error.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let text = path.map(read).transpose()?.unwrap_or_default();
        let name =
            path.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
        // A variable that is not Unicode cannot be one of ours, whose names and values are text.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()));
        Ok(Self::parse(&name, &text, variables)?)
    }

    /// The same from text. `name` is how refusals call the text.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(
        name: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Refused> {
        let spans = DeTable::parse(text).map_err(|error| syntax(name, text, &error))?;
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| syntax(name, text, &error))?;
        let origins = environment::overlay(&mut table, variables)?;
        let locate = Locate { name, text, spans: spans.get_ref(), origins };
        let config: Self = serde_path_to_error::deserialize(table)
            .map_err(|error| locate.refuse(&error.path().to_string(), error.inner().message()))?;
        check::check(&config).map_err(|(path, problem)| locate.refuse(&path, &problem))?;
        Ok(config)
    }

    /// The effective configuration as TOML, with secrets masked.
    pub fn render_masked(&self) -> String {
        toml::to_string_pretty(self).expect("every value of the configuration has a TOML form")
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("configuration {shown} cannot be read"))?
        .len();
    anyhow::ensure!(size <= MAX_FILE_BYTES, "configuration {shown} is larger than 1 MiB");
    std::fs::read_to_string(path).with_context(|| format!("configuration {shown} cannot be read"))
}

/// The message and the line, never the line's text: it may hold a secret.
fn syntax(name: &str, text: &str, error: &toml::de::Error) -> Refused {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    Refused {
        place: format!("{name}, line {line}"),
        key: String::new(),
        problem: format!("not TOML: {}", error.message()),
        allowed: None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

/// Finds where a key was set.
struct Locate<'a> {
    name: &'a str,
    text: &'a str,
    spans: &'a DeTable<'a>,
    origins: Origins,
}

impl Locate<'_> {
    fn refuse(&self, path: &str, problem: &str) -> Refused {
        let variable = self
            .origins
            .iter()
            .find(|(set, _)| *set == path || set.starts_with(&format!("{path}.")));
        let place = match (variable, self.line(path)) {
            (Some((_, variable)), _) => variable.clone(),
            (None, Some(line)) => format!("{}, line {line}", self.name),
            (None, None) => self.name.to_owned(),
        };
        Refused {
            place,
            key: path.to_owned(),
            problem: problem.trim().replace('\n', ", "),
            allowed: keys::find(path).map(|key| key.allowed),
        }
    }

    /// The line of the deepest part of the path that stands in the file.
    fn line(&self, path: &str) -> Option<usize> {
        let mut here = self.spans;
        let mut found = None;
        for step in path.split('.') {
            let (name, indexes) = step.split_once('[').unwrap_or((step, ""));
            let Some((key, value)) = here.iter().find(|(key, _)| key.get_ref() == name) else {
                break;
            };
            found = Some(key.span().start);
            let mut value = value;
            for index in indexes.split(['[', ']']).filter(|part| !part.is_empty()) {
                let DeValue::Array(list) = value.get_ref() else { break };
                let Some(item) = index.parse::<usize>().ok().and_then(|i| list.get(i)) else {
                    break;
                };
                found = Some(item.span().start);
                value = item;
            }
            match value.get_ref() {
                DeValue::Table(inner) => here = inner,
                _ => break,
            }
        }
        found.map(|offset| line_of(self.text, offset))
    }
}
