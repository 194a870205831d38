use ratatui::layout::{Position, Rect};

use crate::input::Action;
use crate::state::Region;

/// What a click can hit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hit {
    /// What a command stands for.
    Do(Action),
    /// An item of a region of the topmost component.
    Item(Region, usize),
    /// A toast.
    Toast(usize),
    /// A region that only the wheel moves.
    Wheel(Region),
    /// Something that is covered.
    Nothing,
}

/// What was drawn where, in the order in which it was drawn.
#[derive(Debug, Default)]
pub struct Hits {
    areas: Vec<(Rect, Hit)>,
}

impl Hits {
    /// Notes that a click on an area hits something.
    pub fn add(&mut self, area: Rect, hit: Hit) {
        self.areas.push((area, hit));
    }

    /// Forgets everything, as it is covered now.
    pub fn clear(&mut self) {
        self.areas.clear();
    }

    /// What a click there hits: what was drawn last.
    #[must_use]
    pub fn at(&self, column: u16, row: u16) -> Option<Hit> {
        let clickable = |hit: &Hit| !matches!(hit, Hit::Wheel(_));
        let mut over = self.over(column, row);
        over.find(clickable)
            .or_else(|| self.wheel_at(column, row).map(|region| Hit::Item(region, 0)))
    }

    /// The region that the wheel moves there.
    #[must_use]
    pub fn wheel_at(&self, column: u16, row: u16) -> Option<Region> {
        self.over(column, row).find_map(|hit| match hit {
            Hit::Wheel(region) => Some(region),
            _ => None,
        })
    }

    fn over(&self, column: u16, row: u16) -> impl Iterator<Item = Hit> {
        let position = Position::new(column, row);
        self.areas
            .iter()
            .rev()
            .filter(move |(area, _)| area.contains(position))
            .map(|(_, hit)| *hit)
    }
}
