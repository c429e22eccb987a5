//! Notes as readers see them: the catalogue, ready in memory, and the changes of a range.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_model::{
    CatalogueKey, CatalogueRecord, ChangeRecord, HealthRow, Notes, TimeRange, TraceRow,
};

use crate::Error;

/// Every row of the catalogue: bounded by the line's settings.
pub type CatalogueRows = BTreeMap<CatalogueKey, Arc<CatalogueRecord>>;

/// Reads what people and tools say of entities, and what was judged of them. Every method sees one
/// whole epoch.
pub trait ReadNotes: Send + Sync {
    /// The catalogue; the same value until it changes.
    fn catalogue(&self) -> Arc<CatalogueRows>;

    /// Visits what was judged of every edge and service, in the order of keys.
    fn health(&self, visit: &mut dyn FnMut(&HealthRow)) -> Result<(), Error>;

    /// Visits every trace that is kept as an exemplar, in order.
    fn traces(&self, visit: &mut dyn FnMut(&TraceRow)) -> Result<(), Error>;

    /// Visits the changes of a range, in the order of time, until told to stop.
    fn changes(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(ChangeRecord) -> bool,
    ) -> Result<(), Error>;
}

/// What an epoch makes of the catalogue. Readers keep the one that they have.
pub(crate) fn advance(rows: &mut Arc<CatalogueRows>, notes: &Notes) {
    if notes.catalogue.is_empty() && notes.catalogue_gone.is_empty() {
        return;
    }
    let rows = Arc::make_mut(rows);
    for gone in &notes.catalogue_gone {
        rows.remove(gone);
    }
    for row in &notes.catalogue {
        rows.insert(row.key(), Arc::new(row.clone()));
    }
}
