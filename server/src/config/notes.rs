//! `[notes]`: how much of the catalogue and of changes is kept.

use portolan_pipeline::NoteConfig;
use serde::{Deserialize, Serialize};

/// Bounds of the catalogue and of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notes {
    /// Most subjects of the catalogue.
    pub max_subjects: usize,
    /// Most versions of a subject.
    pub max_versions: usize,
    /// Most changes.
    pub max_changes: usize,
}

impl Notes {
    /// As the line takes it.
    pub(super) fn to_line(&self) -> NoteConfig {
        let Self { max_subjects, max_versions, max_changes } = *self;
        NoteConfig { max_subjects, max_versions, max_changes }
    }
}

impl Default for Notes {
    fn default() -> Self {
        let NoteConfig { max_subjects, max_versions, max_changes } = NoteConfig::default();
        Self { max_subjects, max_versions, max_changes }
    }
}
