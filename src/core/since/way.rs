//! The way that the items of a listing go, by what `since` reads of them.

use std::cmp::Ordering;

use super::{Point, further, order};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Way {
    furthest: Option<Point>,
    /// Of the item before.
    last: Option<Point>,
    /// What lies further has to be asked for again.
    stop: Option<Point>,
    has_fallen: bool,
    has_risen: bool,
    /// An item does not say where it is.
    has_gaps: bool,
}

impl Way {
    /// The next item.
    pub(crate) fn go_to(&mut self, point: Option<Point>) {
        match (&self.last, &point) {
            (_, None) => self.has_gaps = true,
            (None, Some(_)) => {}
            (Some(last), Some(point)) => match order(last, point) {
                Ordering::Less => self.has_risen = true,
                Ordering::Equal => {}
                Ordering::Greater => self.has_fallen = true,
            },
        }
        self.furthest = further(self.furthest.take(), point.clone());
        self.last = point;
    }

    /// An item of which this is not the state that was taken up: the next poll has to be shown it.
    pub(crate) fn stop_at(&mut self, point: Option<Point>) {
        self.stop = match (self.stop.take(), point) {
            (Some(stop), Some(point)) if order(&point, &stop) == Ordering::Less => Some(point),
            (stop, point) => stop.or(point),
        };
    }

    /// How far it went, but no further than what has to be asked for again.
    pub(crate) fn furthest(&self) -> Option<Point> {
        match (&self.furthest, &self.stop) {
            (Some(furthest), Some(stop)) if order(stop, furthest) == Ordering::Less => {
                Some(stop.clone())
            }
            (furthest, _) => furthest.clone(),
        }
    }

    /// Whether it went from newer items to older ones and never back.
    pub(crate) fn falls(&self) -> bool {
        self.has_fallen && !self.has_risen && !self.has_gaps
    }

    /// Whether a point is the end of a way that only rises: pages that begin with the last item of the one before meet
    /// there.
    pub(crate) fn is_edge(&self, point: Option<&Point>) -> bool {
        let rises = self.has_risen && !self.has_fallen && !self.has_gaps;
        rises && point.is_some() && point == self.furthest.as_ref()
    }
}
