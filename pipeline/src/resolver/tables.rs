//! Tables by window, in order of time: few, and the latest are asked for most.

use portolan_model::Window;

use super::table::Table;

/// See the module.
#[derive(Default)]
pub(super) struct Tables {
    list: Vec<(Window, Table)>,
}

impl Tables {
    /// Where a window stands, or would.
    fn place(&self, window: Window) -> Result<usize, usize> {
        // From the end: what is asked for is mostly there.
        let place = self.list.iter().rposition(|(at, _)| *at <= window);
        match place {
            Some(place) if self.list[place].0 == window => Ok(place),
            place => Err(place.map_or(0, |place| place + 1)),
        }
    }

    pub(super) fn get(&self, window: Window) -> Option<&Table> {
        self.place(window).ok().map(|place| &self.list[place].1)
    }

    pub(super) fn get_mut(&mut self, window: Window) -> Option<&mut Table> {
        self.place(window).ok().map(|place| &mut self.list[place].1)
    }

    /// The table of a window; `new` makes it if it is not there.
    pub(super) fn open(&mut self, window: Window, new: impl FnOnce() -> Table) -> &mut Table {
        let place = match self.place(window) {
            Ok(place) => place,
            Err(place) => {
                self.list.insert(place, (window, new()));
                place
            }
        };
        &mut self.list[place].1
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The latest window.
    pub(super) fn latest(&self) -> Option<Window> {
        self.list.last().map(|(window, _)| *window)
    }

    /// All of them, in order of time.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Window, &Table)> {
        self.list.iter().map(|(window, table)| (*window, table))
    }

    /// As [`Self::iter`].
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Window, &mut Table)> {
        self.list.iter_mut().map(|(window, table)| (*window, table))
    }

    /// Those before a window, in order of time.
    pub(super) fn before(&self, window: Window) -> impl DoubleEndedIterator<Item = &Table> {
        let (Ok(end) | Err(end)) = self.place(window);
        self.list[..end].iter().map(|(_, table)| table)
    }

    /// Those after a window.
    pub(super) fn after_mut(&mut self, window: Window) -> impl Iterator<Item = &mut Table> {
        let begin = self.place(window).map_or_else(|place| place, |place| place + 1);
        self.list[begin..].iter_mut().map(|(_, table)| table)
    }

    /// Takes out those before a window.
    pub(super) fn forget_before(
        &mut self,
        window: Window,
    ) -> impl Iterator<Item = (Window, Table)> {
        let (Ok(end) | Err(end)) = self.place(window);
        self.list.drain(..end)
    }
}
